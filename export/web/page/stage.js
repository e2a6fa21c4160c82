/** The stage: an image with its outline that can be zoomed and panned. */

import { attachGestures } from "./gestures.js";
import { contourPaths, paintImage, paintOutlines, sizeWithin } from "./painting.js";
import { barLength } from "./ruler.js";
import { Viewport } from "./viewport.js";

// Pixels of the longer side of the copy that is shown while all of the image is.
const PREVIEW_SIDE = 2048;
const BAR_SHARE = 0.25; // of the frame's width, at most
const BAR_MARGIN = 16;
const MARK_PIXELS = 9;

const view = document.getElementById("view");
const imageCanvas = document.getElementById("shown-image");
const outlineCanvas = document.getElementById("shown-outline");
const preview = document.createElement("canvas");

const viewport = new Viewport();
const shown = {
  bitmap: null,
  paths: new Map(),
  colors: [],
  overlay: { line: 1, fill: 0.15 },
  isHidden: false,
  marks: [],
  pixelsPerMm: null,
};
let onTap = () => {};
let isScheduled = false;

/** Shows an image without an outline; the stage closes it when another comes. */
export function showImage(bitmap) {
  clear();
  shown.bitmap = bitmap;
  paintImage(preview, bitmap, sizeWithin(bitmap, PREVIEW_SIDE));
  viewport.show({ width: bitmap.width, height: bitmap.height });
  measureFrame();
}

/** Returns the image that is shown. */
export function shownBitmap() {
  return shown.bitmap;
}

/** Forgets the image. */
export function clear() {
  shown.bitmap?.close();
  const nothing = { bitmap: null, paths: new Map(), marks: [], pixelsPerMm: null };
  Object.assign(shown, nothing);
  draw();
}

/**
 * Shows outlines over the image.
 *
 * @param {{label: number, points: number[]}[]} contours
 * @param {number[][]} colors RGB of the labels
 */
export function showContours(contours, colors) {
  shown.paths = contourPaths(contours);
  shown.colors = colors;
  drawOutlines();
}

/** Sets how the outlines look: {line, fill}. */
export function setOverlay(overlay) {
  shown.overlay = overlay;
  scheduleDraw();
}

/** Hides the outlines for a while, so that the border can be seen. */
export function setHidden(isHidden) {
  shown.isHidden = isHidden;
  outlineCanvas.dataset.hidden = isHidden;
  drawOutlines();
}

/** Shows the marked ends of a ruler: points of the image. */
export function showMarks(marks) {
  shown.marks = marks;
  scheduleDraw();
}

/** Shows a bar of known length; none for null. */
export function showScale(pixelsPerMm) {
  shown.pixelsPerMm = pixelsPerMm;
  scheduleDraw();
}

/** Calls back with the point of the image that is tapped. */
export function setTapped(callback) {
  onTap = callback;
}

/** Enlarges around the middle. */
export function zoom(factor) {
  viewport.zoom(factor);
  scheduleDraw();
}

/** Shows all of the image. */
export function fit() {
  viewport.fit();
  scheduleDraw();
}

/** Resolves when what was drawn is on the screen. */
export function painted() {
  return new Promise((resolve) => {
    // A hidden tab paints nothing.
    if (document.hidden) resolve();
    else requestAnimationFrame(() => setTimeout(resolve));
  });
}

function measureFrame() {
  const { clientWidth: width, clientHeight: height } = view;
  if (width === 0 || height === 0) return;
  const ratio = window.devicePixelRatio;
  for (const canvas of [imageCanvas, outlineCanvas]) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  viewport.resize({ width, height });
  draw();
}

function scheduleDraw() {
  if (isScheduled) return;
  isScheduled = true;
  requestAnimationFrame(() => {
    isScheduled = false;
    draw();
  });
}

function draw() {
  drawImage();
  drawOutlines();
  view.dataset.zoom = (viewport.scale / viewport.fittedScale).toFixed(2);
}

function place() {
  const ratio = window.devicePixelRatio;
  return {
    scale: viewport.scale * ratio,
    left: viewport.left * ratio,
    top: viewport.top * ratio,
  };
}

function cleared(canvas) {
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, canvas.width, canvas.height);
  return context;
}

/** Draws the part in the frame: of the preview, or of the image where enlarged. */
function drawImage() {
  const context = cleared(imageCanvas);
  if (!shown.bitmap) return;
  const { scale, left, top } = place();
  const { width, height } = shown.bitmap;
  const shrink = preview.width / width;
  const source = scale > shrink ? shown.bitmap : preview;
  const factor = source === preview ? shrink : 1;
  // Enlarged so far, single pixels are to be seen.
  context.imageSmoothingEnabled = scale < 6;
  context.setTransform(scale / factor, 0, 0, scale / factor, left, top);
  context.fillStyle = "white";
  context.fillRect(0, 0, width * factor, height * factor);
  context.drawImage(source, 0, 0);
  context.resetTransform();
}

function drawOutlines() {
  const context = cleared(outlineCanvas);
  if (!shown.bitmap) return;
  const ratio = window.devicePixelRatio;
  if (!shown.isHidden) {
    const line = shown.overlay.line * ratio;
    paintOutlines(context, shown.paths, shown.colors, place(), {
      ...shown.overlay,
      line,
    });
  }
  context.scale(ratio, ratio);
  for (const mark of shown.marks) drawMark(context, mark);
  if (shown.pixelsPerMm) drawBar(context);
  context.resetTransform();
}

function drawMark(context, mark) {
  const x = viewport.left + mark.x * viewport.scale;
  const y = viewport.top + mark.y * viewport.scale;
  for (const [color, width] of [["black", 4], ["white", 1.5]]) {
    context.strokeStyle = color;
    context.lineWidth = width;
    context.beginPath();
    context.moveTo(x - MARK_PIXELS, y);
    context.lineTo(x + MARK_PIXELS, y);
    context.moveTo(x, y - MARK_PIXELS);
    context.lineTo(x, y + MARK_PIXELS);
    context.stroke();
  }
}

function drawBar(context) {
  const perMm = shown.pixelsPerMm * viewport.scale;
  const millimeters = barLength((viewport.frame.width * BAR_SHARE) / perMm);
  const length = millimeters * perMm;
  const [x, y] = [BAR_MARGIN, viewport.frame.height - BAR_MARGIN];
  context.fillStyle = "rgb(0 0 0 / 65%)";
  context.fillRect(x - 8, y - 26, Math.max(length, 44) + 16, 34);
  context.fillStyle = "white";
  context.fillRect(x, y - 4, length, 4);
  context.font = "600 13px system-ui, sans-serif";
  context.fillText(`${millimeters} mm`, x, y - 10);
}

attachGestures(view, viewport, {
  changed: scheduleDraw,
  tapped: (x, y) => onTap(viewport.toImage(x, y)),
});
new ResizeObserver(measureFrame).observe(view);
