/** The controls of how the image and its outline are seen. */

import { byId } from "./elements.js";
import * as stage from "./stage.js";
import { describeTightness } from "./wording.js";

const ZOOM_PER_CLICK = 1.5;

/** Attaches zoom, opacity, and the button that hides the outline. */
export function attachViewControls() {
  byId("zoom-in").addEventListener("click", () => stage.zoom(ZOOM_PER_CLICK));
  byId("zoom-out").addEventListener("click", () => stage.zoom(1 / ZOOM_PER_CLICK));
  byId("fit").addEventListener("click", stage.fit);
  byId("opacity").addEventListener("input", applyOpacity);
  applyOpacity();
  attachHold();
}

function applyOpacity() {
  stage.setOverlay({ line: 1, fill: overlayFill() });
  byId("opacity-shown").textContent = `${byId("opacity").value} %`;
}

/** Returns the opacity of the fill, 0 to 1. */
export function overlayFill() {
  return byId("opacity").value / 100;
}

/** Hides the outline while a button or a key is held. */
function attachHold() {
  const button = byId("hide");
  button.addEventListener("pointerdown", (event) => {
    button.setPointerCapture(event.pointerId);
    stage.setHidden(true);
  });
  for (const kind of ["pointerup", "pointercancel", "blur", "keyup"]) {
    button.addEventListener(kind, () => stage.setHidden(false));
  }
  // A long touch would open a menu.
  button.addEventListener("contextmenu", (event) => event.preventDefault());
  button.addEventListener("keydown", ({ key }) => {
    if (key === " " || key === "Enter") stage.setHidden(true);
  });
  byId("view").addEventListener("keydown", ({ key }) => {
    if (key.toLowerCase() === "h") stage.setHidden(true);
  });
  for (const kind of ["keyup", "blur"]) {
    byId("view").addEventListener(kind, () => stage.setHidden(false));
  }
}

/**
 * Attaches the slider from tight to generous.
 *
 * @param {{moved: function(number), settled: function(number)}} calls with a
 *   value from -1 to 1: while it moves, and where it stays
 */
export function attachTightness({ moved, settled }) {
  const slider = byId("tightness");
  slider.addEventListener("input", () => {
    describe();
    moved(slider.value / 100);
  });
  slider.addEventListener("change", () => settled(slider.value / 100));
}

/** Shows where the slider is, and how far it goes; disabled without a range. */
export function showTightness(value, range) {
  const slider = byId("tightness");
  slider.disabled = !range;
  slider.min = 100 * (range?.low ?? -1);
  slider.max = 100 * (range?.high ?? 1);
  slider.value = 100 * value;
  describe();
}

function describe() {
  const text = describeTightness(byId("tightness").value / 100);
  byId("tightness-shown").textContent = text;
  byId("tightness").setAttribute("aria-valuetext", text);
}
