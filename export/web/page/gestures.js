/** Zooms and pans with wheel, fingers, mouse and keyboard. */

const ZOOM_PER_WHEEL_PIXEL = 1.0015;
const ZOOM_PER_KEY = 1.25;
const PAN_PER_KEY = 60;
const LINE_PIXELS = 16; // of a wheel that counts lines
// A press that moved less is a tap.
const TAP_PIXELS = 6;

const PANS = {
  ArrowLeft: [PAN_PER_KEY, 0],
  ArrowRight: [-PAN_PER_KEY, 0],
  ArrowUp: [0, PAN_PER_KEY],
  ArrowDown: [0, -PAN_PER_KEY],
};

/**
 * Lets a viewport be zoomed and panned in an element.
 *
 * @param {HTMLElement} element
 * @param {Viewport} viewport
 * @param {{changed: function(), tapped: function(number, number)}} calls
 *   `tapped` with a point of the frame
 */
export function attachGestures(element, viewport, { changed, tapped }) {
  element.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault(); // the page would scroll
      const pixels = event.deltaY * (event.deltaMode === 1 ? LINE_PIXELS : 1);
      viewport.zoom(ZOOM_PER_WHEEL_PIXEL ** -pixels, ...pointIn(element, event));
      changed();
    },
    { passive: false },
  );
  element.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (!act(viewport, event.key)) return;
    event.preventDefault();
    changed();
  });
  attachPointers(element, viewport, { changed, tapped });
}

/** Does what a key says; returns whether it says something. */
function act(viewport, key) {
  if (key in PANS) viewport.pan(...PANS[key]);
  else if (key === "+" || key === "=") viewport.zoom(ZOOM_PER_KEY);
  else if (key === "-") viewport.zoom(1 / ZOOM_PER_KEY);
  else if (key === "0") viewport.fit();
  else return false;
  return true;
}

function attachPointers(element, viewport, { changed, tapped }) {
  const held = new Map();
  let moved = 0;
  element.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    element.setPointerCapture(event.pointerId);
    if (held.size === 0) moved = 0;
    held.set(event.pointerId, pointIn(element, event));
  });
  element.addEventListener("pointermove", (event) => {
    const before = held.get(event.pointerId);
    if (!before) return;
    const now = pointIn(element, event);
    const other = [...held].find(([id]) => id !== event.pointerId)?.[1];
    moved += distance(before, now);
    if (other) pinch(viewport, other, before, now);
    else viewport.pan(now[0] - before[0], now[1] - before[1]);
    held.set(event.pointerId, now);
    changed();
  });
  for (const kind of ["pointerup", "pointercancel"]) {
    element.addEventListener(kind, (event) => {
      const isTap = held.size === 1 && moved < TAP_PIXELS && kind === "pointerup";
      if (held.delete(event.pointerId) && isTap) tapped(...pointIn(element, event));
    });
  }
}

/** Zooms around the finger that rests. */
function pinch(viewport, resting, before, now) {
  const factor = distance(resting, now) / Math.max(1, distance(resting, before));
  viewport.zoom(factor, ...resting);
}

function pointIn(element, event) {
  const { left, top } = element.getBoundingClientRect();
  return [event.clientX - left, event.clientY - top];
}

function distance([x, y], [otherX, otherY]) {
  return Math.hypot(x - otherX, y - otherY);
}
