/**
 * Resizing with the program's own formulas. Canvases smooth differently in
 * every browser, and the segmentor would see another picture in each.
 */

import { breathe } from "./breath.js";

const CHANNELS = 3;

/**
 * Shrinks or enlarges a picture bilinearly, with antialiasing when it shrinks.
 *
 * Each output pixel is the mean of the inputs around it, weighted by a
 * triangle that is as wide as the picture shrinks (tf.image.resize with
 * antialias=True). The rows are used up as they come, so that a photograph is
 * never held a second time.
 *
 * @param {Iterable<{rgba: Uint8ClampedArray, rows: number}>} strips
 * @param {{width: number, height: number}} from
 * @param {{width: number, height: number}} to
 * @returns {Promise<Float32Array>} [height, width, 3], 0 to 255
 */
export async function resizeAntialiased(strips, from, to) {
  const columns = triangles(from.width, to.width);
  const rows = triangles(from.height, to.height);
  const line = new Float64Array(to.width * CHANNELS);
  const resized = new Float32Array(to.height * line.length);
  let y = 0;
  for (const strip of strips) {
    for (let row = 0; row < strip.rows; row += 1, y += 1) {
      resizeLine(strip.rgba, row * from.width * 4, columns, line);
      addLine(line, y, rows, resized);
    }
    await breathe();
  }
  return resized;
}

/**
 * Lists, for every output position, the inputs it is made of.
 *
 * @returns {{first: number, weights: Float64Array}[]}
 */
function triangles(inputSize, outputSize) {
  const shrink = inputSize / outputSize;
  const reach = Math.max(shrink, 1);
  return Array.from({ length: outputSize }, (_, position) => {
    const center = (position + 0.5) * shrink;
    const first = Math.max(0, Math.ceil(center - reach - 0.5));
    const last = Math.min(inputSize - 1, Math.floor(center + reach - 0.5));
    const weights = Float64Array.from({ length: last - first + 1 }, (_, i) =>
      Math.max(0, 1 - Math.abs(first + i + 0.5 - center) / reach),
    );
    const sum = weights.reduce((total, weight) => total + weight);
    return { first, weights: weights.map((weight) => weight / sum) };
  });
}

function resizeLine(rgba, start, columns, line) {
  columns.forEach(({ first, weights }, column) => {
    let red = 0;
    let green = 0;
    let blue = 0;
    let at = start + first * 4;
    for (let i = 0; i < weights.length; i += 1, at += 4) {
      red += weights[i] * rgba[at];
      green += weights[i] * rgba[at + 1];
      blue += weights[i] * rgba[at + 2];
    }
    line[column * CHANNELS] = red;
    line[column * CHANNELS + 1] = green;
    line[column * CHANNELS + 2] = blue;
  });
}

function addLine(line, y, rows, resized) {
  rows.forEach(({ first, weights }, row) => {
    const weight = weights[y - first]; // undefined outside of the triangle
    if (!weight) return;
    const start = row * line.length;
    for (let i = 0; i < line.length; i += 1) {
      resized[start + i] += weight * line[i];
    }
  });
}

/**
 * Finds, for every output position, the two inputs between which it lies, with
 * half-pixel centers (tf.image.resize without antialiasing).
 *
 * @returns {{low: Int32Array, high: Int32Array, share: Float32Array}} `share`
 *   is how much of `high` a position takes, 0 to 1
 */
export function betweens(inputSize, outputSize) {
  const step = inputSize / outputSize;
  const found = {
    low: new Int32Array(outputSize),
    high: new Int32Array(outputSize),
    share: new Float32Array(outputSize),
  };
  for (let position = 0; position < outputSize; position += 1) {
    const place = (position + 0.5) * step - 0.5;
    const low = Math.floor(place);
    found.low[position] = Math.max(low, 0);
    found.high[position] = Math.min(Math.ceil(place), inputSize - 1);
    found.share[position] = place - low;
  }
  return found;
}
