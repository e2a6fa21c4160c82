/**
 * The slider from tight to generous. A model that takes the annotation style
 * draws in styles between its tightest and its most generous one; of another
 * the thresholds move.
 *
 * A tightness is {value, stops, start}: `value` from -1, tight, over 0, as
 * calibrated, to 1, generous; of a model with styles `stops` lists mixtures of
 * them from the tightest on, and `start` is the position of the default one.
 */

// As far as the outlines that the expected Dice is computed from: of a threshold
// of 0.5 to 0.9 and 0.1.
const ODDS = 9;

/** The outline as the model was calibrated. */
export const CALIBRATED = { value: 0, stops: [], start: 0 };

/**
 * Orders the styles of a model by the area that they outline in an image.
 *
 * @param {Segmentor} segmentor
 * @param {Float32Array} input the image at the model's size
 * @returns {Promise<object>} a tightness with value 0
 */
export async function orderStyles(segmentor, input) {
  if (!segmentor.styleInput) return CALIBRATED;
  const { styles, mean, default: usual } = segmentor.styleInput;
  const single = styles.map((_, i) => styles.map((__, j) => (i === j ? 1 : 0)));
  const mixtures = [usual, mean, ...single].filter(
    (one, i, all) => all.findIndex((other) => isEqual(one, other)) === i,
  );
  const measured = [];
  for (const mixture of mixtures) {
    const { data } = await segmentor.segment(input, mixture);
    measured.push({ mixture, area: data.reduce((sum, value) => sum + value, 0) });
  }
  const stops = measured
    .sort((one, other) => one.area - other.area)
    .map(({ mixture }) => mixture);
  return { value: 0, stops, start: stops.findIndex((one) => isEqual(one, usual)) };
}

/** Returns the lowest and the highest value that change something. */
export function range({ stops, start }) {
  if (stops.length === 0) return { low: -1, high: 1 };
  return { low: start > 0 ? -1 : 0, high: start < stops.length - 1 ? 1 : 0 };
}

/** Returns the weight of each style; null for a model without styles. */
export function adjustedWeights(segmentor, { value, stops, start }) {
  if (!segmentor.styleInput) return null;
  if (value === 0) return segmentor.styleInput.default;
  const end = value < 0 ? 0 : stops.length - 1;
  const position = start + Math.abs(value) * (end - start);
  const low = Math.min(Math.floor(position), stops.length - 1);
  const high = Math.min(low + 1, stops.length - 1);
  const part = position - low;
  return stops[low].map((weight, i) => weight + part * (stops[high][i] - weight));
}

/** Returns the threshold of each label. */
export function adjustedRule(segmentor, { value }) {
  if (value === 0) return segmentor.thresholds;
  // The thresholds of a contract are for its default style.
  if (segmentor.styleInput) return segmentor.thresholds.map(() => 0.5);
  const odds = ODDS ** -value;
  return segmentor.thresholds.map((t) => (t * odds) / (t * odds + 1 - t));
}

function isEqual(one, other) {
  return one.every((value, i) => value === other[i]);
}
