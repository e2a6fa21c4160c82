/** Converts probability maps to label maps, and computes their shares. */

import { pause } from "./pause.js";
import { neighbors } from "./resize.js";

const PIXELS_PER_PAUSE = 1 << 21;

/**
 * Decides which labels hold at each pixel of an image.
 *
 * A single label, or each of several multilabel ones, holds where its
 * probability is above its threshold t. Of multiclass labels the one with the
 * highest score, probability (1 - t) / t, holds, unless the background, whose
 * score is the rest of the probability, has as high a one.
 *
 * @param {{data: Float32Array, width: number, height: number, count: number}}
 *   probabilityMap [height, width, count] in [0, 1]
 * @param {{width: number, height: number}} size of the image
 * @param {{multiclass: boolean, thresholds: number[]}} rule a threshold for
 *   each label
 * @param {number} step of every so many rows and columns one is decided, from
 *   the middle of the first ones on
 * @returns {Promise<Uint8Array[]>} label maps [height, width]: one of all
 *   multiclass labels, with their numbers from 1, or one for each label, with
 *   its number. 0 is no label.
 */
export async function decideLabelMaps(probabilityMap, size, rule, step = 1) {
  const { count } = probabilityMap;
  const first = step >> 1;
  const decided = (side) => Math.ceil((side - first) / step);
  const single = rule.multiclass || count === 1;
  const labelMaps = Array.from(
    { length: single ? 1 : count },
    () => new Uint8Array(decided(size.width) * decided(size.height)),
  );
  const decide = (rule.multiclass && count > 1 ? decideLikeliest : decideAbove)(
    rule.thresholds,
  );
  const columns = neighbors(probabilityMap.width, size.width);
  const rows = neighbors(probabilityMap.height, size.height);
  const row = new Float32Array(probabilityMap.width * count);
  const pixel = new Float32Array(count);
  let untilPause = PIXELS_PER_PAUSE;
  for (let y = first, i = 0; y < size.height; y += step) {
    mix(probabilityMap.data, rows, y, row);
    for (let x = first; x < size.width; x += step, i += 1) {
      mix(row, columns, x, pixel);
      decide(pixel, labelMaps, i);
    }
    untilPause -= size.width;
    if (untilPause < 0) {
      await pause();
      untilPause = PIXELS_PER_PAUSE;
    }
  }
  return labelMaps;
}

/** Interpolates between two rows, or two pixels, of `data`. */
function mix(data, { low, high, share }, position, mixed) {
  const length = mixed.length;
  const first = low[position] * length;
  const second = high[position] * length;
  const part = share[position];
  for (let i = 0; i < length; i += 1) {
    const value = data[first + i];
    mixed[i] = value + part * (data[second + i] - value);
  }
}

function decideLikeliest(thresholds) {
  const factors = Float32Array.from(thresholds, (t) => (1 - t) / t);
  return (pixel, [labelMap], at) => {
    let most = 1;
    for (let label = 0; label < pixel.length; label += 1) most -= pixel[label];
    for (let label = 0; label < pixel.length; label += 1) {
      const score = pixel[label] * factors[label];
      if (score > most) {
        most = score;
        labelMap[at] = label + 1;
      }
    }
  };
}

function decideAbove(thresholds) {
  // Of float32, as the probabilities: 0.3 is another number in float64.
  const limits = Float32Array.from(thresholds);
  return (pixel, labelMaps, at) => {
    for (let label = 0; label < pixel.length; label += 1) {
      if (pixel[label] > limits[label]) labelMaps[label][at] = label + 1;
    }
  };
}

/**
 * Computes how much of the image each label covers.
 *
 * @param {Uint8Array[]} labelMaps
 * @param {number} count of the labels
 * @returns {number[]} 0 to 1
 */
export function shares(labelMaps, count) {
  const pixels = new Float64Array(count + 1);
  for (const labelMap of labelMaps) {
    for (let i = 0; i < labelMap.length; i += 1) pixels[labelMap[i]] += 1;
  }
  return Array.from(pixels.subarray(1), (covered) => covered / labelMaps[0].length);
}
