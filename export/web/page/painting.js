/** Paints an image, and the outlines of its labels. */

const LINE_PIXELS = 2.5; // of the screen
// A dark rim on both sides keeps light colors clear on light skin.
const RIM_PIXELS = 1.25;
const RIM_COLOR = "rgb(0 0 0 / 55%)";

/**
 * Makes a path of each label's border, in pixels of the image.
 *
 * @param {{label: number, points: number[]}[]} contours
 * @returns {Map<number, Path2D>} by the label's number
 */
export function contourPaths(contours) {
  const paths = new Map();
  for (const { label, points } of contours) {
    const path = paths.get(label) ?? new Path2D();
    path.moveTo(points[0], points[1]);
    for (let i = 2; i < points.length; i += 2) path.lineTo(points[i], points[i + 1]);
    path.closePath();
    paths.set(label, path);
  }
  return paths;
}

/**
 * Paints outlines and fills over what is there.
 *
 * @param {CanvasRenderingContext2D} context
 * @param {Map<number, Path2D>} paths
 * @param {number[][]} colors RGB of the labels, from number 1
 * @param {{scale: number, left: number, top: number}} place of the image on the
 *   canvas
 * @param {{line: number, fill: number}} overlay `line`: the factor of its width,
 *   0 for none; `fill`: opacity, 0 to 1
 */
export function paintOutlines(context, paths, colors, place, { line, fill }) {
  context.save();
  context.translate(place.left, place.top);
  context.scale(place.scale, place.scale);
  context.lineJoin = "bevel"; // of many short lines the cheapest
  for (const [label, path] of paths) {
    context.fillStyle = context.strokeStyle = `rgb(${colors[label - 1].join(" ")})`;
    if (fill > 0) {
      context.globalAlpha = fill;
      context.fill(path);
      context.globalAlpha = 1;
    }
    if (line === 0) continue;
    const color = context.strokeStyle;
    context.strokeStyle = RIM_COLOR;
    context.lineWidth = (line * (LINE_PIXELS + 2 * RIM_PIXELS)) / place.scale;
    context.stroke(path);
    context.strokeStyle = color;
    context.lineWidth = (line * LINE_PIXELS) / place.scale;
    context.stroke(path);
  }
  context.restore();
}

/** Copies an image, over white where it is transparent. */
export function paintImage(canvas, bitmap, { width, height }) {
  Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.fillStyle = "white";
  context.fillRect(0, 0, width, height);
  context.drawImage(bitmap, 0, 0, width, height);
}

/** Returns a size of the same shape whose longer side is at most `side`. */
export function sizeWithin({ width, height }, side) {
  const scale = Math.min(1, side / Math.max(width, height));
  return {
    width: Math.max(1, Math.round(width * scale)),
    height: Math.max(1, Math.round(height * scale)),
  };
}
