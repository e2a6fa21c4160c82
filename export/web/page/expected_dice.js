/**
 * Computes the Dice to expect of a label map, as segan_tf/inference/agreement.py
 * and segan_tf/expected_dice.py do.
 */

import { decideLabelMaps } from "./label_map.js";

// Of an image, at most so many pixels are compared.
const MAX_PIXELS = 1 << 16;
// Factor of the odds of the thresholds around the decision's own.
const ODDS = 9;

/**
 * Reads the expected Dice of an image from how well its outlines at three
 * thresholds agree.
 *
 * @param {{data: Float32Array, width: number, height: number, count: number}}
 *   probabilityMap [height, width, count] in [0, 1]
 * @param {{width: number, height: number}} size of the image
 * @param {{multiclass: boolean, thresholds: number[]}} rule a threshold for
 *   each label
 * @param {{agreement: number[], dice: number[]}} curve rising
 * @returns {Promise<number>} 0 to 1
 */
export async function expectDice(probabilityMap, size, rule, curve) {
  const step = Math.ceil(Math.sqrt((size.width * size.height) / MAX_PIXELS));
  const outlines = [];
  for (const odds of [1 / ODDS, 1, ODDS]) {
    const thresholds = rule.thresholds.map((t) => (t * odds) / (t * odds + 1 - t));
    outlines.push(
      await decideLabelMaps(probabilityMap, size, { ...rule, thresholds }, step),
    );
  }
  return interpolate(curve, meanPairwiseDice(outlines, probabilityMap.count));
}

/**
 * Computes the mean Dice of all pairs, over the labels that any outline has; 0
 * if none has any.
 */
function meanPairwiseDice(outlines, count) {
  const areas = outlines.map((one) => labelAreas(one, one, count));
  const used = Array.from({ length: count }, (_, i) => i + 1).filter((label) =>
    areas.some((one) => one[label] > 0),
  );
  const values = [];
  for (let i = 0; i < outlines.length; i += 1) {
    for (let j = 0; j < i; j += 1) {
      const both = labelAreas(outlines[i], outlines[j], count);
      for (const label of used) {
        const each = areas[i][label] + areas[j][label];
        values.push(each > 0 ? (2 * both[label]) / each : 1);
      }
    }
  }
  return values.reduce((sum, value) => sum + value, 0) / Math.max(values.length, 1);
}

/** Counts the pixels where two outlines have the same label, by its number. */
function labelAreas(one, other, count) {
  const areas = new Float64Array(count + 1);
  one.forEach((labelMap, at) => {
    for (let i = 0; i < labelMap.length; i += 1) {
      if (labelMap[i] === other[at][i]) areas[labelMap[i]] += 1;
    }
  });
  return areas;
}

/** Reads a curve that is linear between its points, and flat outside. */
function interpolate({ agreement, dice }, value) {
  const passed = agreement.filter((point) => point <= value).length;
  const low = Math.max(passed - 1, 0);
  const high = Math.min(passed, agreement.length - 1);
  const distance = agreement[high] - agreement[low];
  const share = distance > 0 ? (value - agreement[low]) / distance : 0;
  return dice[low] + share * (dice[high] - dice[low]);
}
