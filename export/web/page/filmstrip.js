/** The strip of images, of which one is shown. */

import { byId, element } from "./elements.js";
import { paintImage, sizeWithin } from "./painting.js";

const SIDE = 72;
const STATES = {
  waiting: "waiting",
  busy: "being outlined",
  done: "outlined",
  failed: "could not be outlined",
  doubtful: "to be checked",
};

/** Makes a small copy of an image for the strip. */
export function makeThumbnail(bitmap) {
  const canvas = element("canvas");
  paintImage(canvas, bitmap, sizeWithin(bitmap, 2 * SIDE));
  canvas.setAttribute("aria-hidden", "true");
  return canvas;
}

/**
 * Shows the images.
 *
 * @param {Gallery} gallery
 * @param {{select: function(object), stateOf: function(object): string}} calls
 *   `stateOf` returns a key of STATES
 */
export function showStrip(gallery, { select, stateOf }) {
  const { items, shown } = gallery;
  byId("strip").hidden = items.length < 2;
  const hadFocus = byId("thumbnails").contains(document.activeElement);
  byId("thumbnails").replaceChildren(
    ...items.map((item) => thumbnail(item, item === shown, { select, stateOf })),
  );
  byId("previous").disabled = !gallery.neighbor(-1);
  byId("next").disabled = !gallery.neighbor(1);
  const current = byId("thumbnails").querySelector("[aria-current]");
  if (hadFocus) current?.focus({ preventScroll: true });
  if (current && items.length > 1) {
    const list = byId("thumbnails");
    list.scrollLeft = current.offsetLeft - (list.clientWidth - SIDE) / 2;
  }
}

function thumbnail(item, isShown, { select, stateOf }) {
  const state = stateOf(item);
  const button = element("button", "", { type: "button", className: "thumbnail" });
  button.dataset.state = state;
  button.setAttribute("aria-label", `${item.name}, ${STATES[state]}`);
  button.title = item.name;
  button.tabIndex = isShown ? 0 : -1; // arrow keys go from one to the next
  if (isShown) button.setAttribute("aria-current", "true");
  if (item.thumbnail) button.append(item.thumbnail);
  button.addEventListener("click", () => select(item));
  const row = element("li");
  row.append(button);
  return row;
}

/** Calls back with -1 or 1 where the user wants the previous or the next image. */
export function attachSteps(step) {
  byId("previous").addEventListener("click", () => step(-1));
  byId("next").addEventListener("click", () => step(1));
  const keys = { ArrowLeft: -1, ArrowRight: 1, PageUp: -1, PageDown: 1 };
  byId("strip").addEventListener("keydown", (event) => go(event, keys));
  const { PageUp, PageDown } = keys;
  byId("view").addEventListener("keydown", (event) => go(event, { PageUp, PageDown }));

  function go(event, steps) {
    if (!(event.key in steps)) return;
    event.preventDefault();
    step(steps[event.key]);
  }
}
