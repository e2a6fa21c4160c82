/**
 * Resizes with the program's own formulas. Canvases interpolate differently in
 * every browser, and the segmentor would see another image in each.
 */

import { pause } from "./pause.js";

const CHANNELS = 3;

/**
 * Resizes an image bilinearly, with antialiasing when it shrinks.
 *
 * Each output pixel is the mean of the inputs around it, weighted by a triangle
 * whose width is the factor by which the image shrinks (tf.image.resize with
 * antialias=True). Rows are processed as they come, so that no second copy of a
 * photograph is in memory.
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
    await pause();
  }
  return resized;
}

/**
 * Lists the inputs of every output position, with their weights.
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
 * Finds the two inputs to interpolate between for every output position, with
 * half-pixel centers (tf.image.resize without antialiasing).
 *
 * @returns {{low: Int32Array, high: Int32Array, share: Float32Array}} `share`
 *   is the weight of `high`, 0 to 1
 */
export function neighbors(inputSize, outputSize) {
  const step = inputSize / outputSize;
  const found = {
    low: new Int32Array(outputSize),
    high: new Int32Array(outputSize),
    share: new Float32Array(outputSize),
  };
  for (let position = 0; position < outputSize; position += 1) {
    const center = (position + 0.5) * step - 0.5;
    const low = Math.floor(center);
    found.low[position] = Math.max(low, 0);
    found.high[position] = Math.min(Math.ceil(center), inputSize - 1);
    found.share[position] = center - low;
  }
  return found;
}
