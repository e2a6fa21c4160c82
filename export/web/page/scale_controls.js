/** Lets the user tell the scale of an image, by a ruler's ends or as a number. */

import { byId } from "./elements.js";
import { pixelsPerMm } from "./ruler.js";
import * as stage from "./stage.js";

let marks = [];
let isMarking = false;

/**
 * Attaches the controls of the scale.
 *
 * @param {function({pixelsPerMm: ?number, isForAll: boolean})} changed
 */
export function attachScale(changed) {
  const tell = () => {
    const given = Number(byId("pixels-per-mm").value);
    const isKnown = Number.isFinite(given) && given > 0;
    changed({
      pixelsPerMm: isKnown ? given : null,
      isForAll: byId("scale-for-all").checked,
    });
  };
  byId("mark").addEventListener("click", () => setMarking(!isMarking));
  byId("pixels-per-mm").addEventListener("input", tell);
  byId("scale-for-all").addEventListener("change", tell);
  byId("ruler-mm").addEventListener("input", () => measure(tell));
  stage.setTapped((point) => {
    if (!isMarking) return;
    marks = marks.length === 2 ? [point] : [...marks, point];
    stage.showMarks(marks);
    if (marks.length === 2) {
      setMarking(false);
      measure(tell);
    }
  });
}

/** Shows the scale of an image, without the marks of another. */
export function showScale(perMm) {
  marks = [];
  setMarking(false);
  stage.showMarks(marks);
  byId("pixels-per-mm").value = perMm ? perMm.toPrecision(4) : "";
  stage.showScale(perMm);
}

function measure(tell) {
  const millimeters = Number(byId("ruler-mm").value);
  if (marks.length < 2 || !(millimeters > 0)) return;
  byId("pixels-per-mm").value = pixelsPerMm(marks, millimeters).toPrecision(4);
  tell();
}

function setMarking(isOn) {
  isMarking = isOn;
  byId("mark").setAttribute("aria-pressed", String(isOn));
  byId("mark").textContent = isOn ? "Tap both ends in the image" : "Mark two ends";
  byId("view").classList.toggle("marking", isOn);
}
