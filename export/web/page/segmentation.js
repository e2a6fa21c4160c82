/** Segments a decoded image, and outlines it at an adjustable tightness. */

import { adjustedRule, adjustedWeights } from "./adjustment.js";
import { traceContours } from "./contours.js";
import { expectDice } from "./expected_dice.js";
import { decideLabelMaps, shares } from "./label_map.js";
import { resizeAntialiased } from "./resize.js";
import { strips } from "./strips.js";

/**
 * Runs the model on an image.
 *
 * @param {Segmentor} segmentor
 * @param {ImageBitmap} bitmap
 * @returns {Promise<object>} what is kept of the image: `size`, `input`, the
 *   image at the size of a model that takes styles, `probabilityMap`, `modelMs`
 */
export async function segmentBitmap(segmentor, bitmap) {
  const size = { width: bitmap.width, height: bitmap.height };
  const input = await resizeAntialiased(strips(bitmap), size, segmentor.inputSize);
  const started = performance.now();
  const probabilityMap = await segmentor.segment(input);
  const modelMs = performance.now() - started;
  const kept = segmentor.styleInput ? input : null;
  return { size, input: kept, probabilityMap, modelMs };
}

/**
 * Runs the model again in the style that a slider asks for.
 *
 * @param {Segmentor} segmentor
 * @param {object} segmented of `segmentBitmap`
 * @param {object} tightness of `adjustment.js`
 * @returns {Promise<object>} `segmented` with another probability map
 */
export async function redraw(segmentor, segmented, tightness) {
  const weights = adjustedWeights(segmentor, tightness);
  if (!weights) return segmented;
  const probabilityMap = await segmentor.segment(segmented.input, weights);
  return { ...segmented, probabilityMap };
}

/**
 * Decides the outline of a segmented image.
 *
 * @param {Segmentor} segmentor
 * @param {{size: object, probabilityMap: object}} segmented
 * @param {object} tightness of `adjustment.js`
 * @returns {Promise<object>} label maps at the image's size, their shares, and
 *   the expected Dice: null if the model does not know it, or where the outline
 *   was adjusted
 */
export async function decideOutline(segmentor, segmented, tightness) {
  const { probabilityMap, size } = segmented;
  const rule = {
    multiclass: segmentor.isMulticlass,
    thresholds: adjustedRule(segmentor, tightness),
  };
  const labelMaps = await decideLabelMaps(probabilityMap, size, rule);
  const { curve, low } = segmentor.expectation;
  const isKnown = curve && tightness.value === 0;
  const expectedDice = isKnown
    ? await expectDice(probabilityMap, size, rule, curve)
    : null;
  return {
    labelMaps,
    shares: shares(labelMaps, segmentor.contract.label_names.length),
    expectedDice,
    isDoubtful: expectedDice !== null && expectedDice < low,
  };
}

/** Traces the borders in all label maps of an image. */
export function traceAll(labelMaps, size) {
  return labelMaps.flatMap((labelMap) => traceContours(labelMap, size));
}
