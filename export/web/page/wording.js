/** What the page says of a result. */

export const NOTHING = "Nothing was found.";
const DOUBTFUL =
  "The outline is doubtful, or this is no image like those that the model was " +
  "trained on.";

/** Returns a share in percent. */
export function percent(share) {
  return `${(100 * share).toFixed(1)} %`;
}

/** Returns an area of square millimeters. */
export function squareMillimeters(area) {
  return `${area.toPrecision(3)} mm²`;
}

/** Says what share of the image each label covers. */
export function describeShares(shares, names) {
  if (isNothing(shares)) return NOTHING;
  const parts = names.map((name, i) => `${name} ${percent(shares[i])}`);
  return `Of the image: ${parts.join(", ")}.`;
}

/** Returns the expected Dice as text; "" if it is unknown, or of no outline. */
export function describeExpected({ shares, expectedDice }) {
  const isShown = expectedDice !== null && !isNothing(shares);
  return isShown ? expectedDice.toFixed(2) : "";
}

/** Says why a result is to be checked; "" for no reason. */
export function warning({ shares, isDoubtful }) {
  if (isNothing(shares)) return NOTHING;
  return isDoubtful ? DOUBTFUL : "";
}

/** Says how long it took until the outline was seen. */
export function describeTime({ all, model }) {
  return (
    `Done in ${(all / 1000).toFixed(2)} s on this device, of which the ` +
    `model took ${Math.round(model)} ms.`
  );
}

/** Names a value of the slider from -1, tight, to 1, generous. */
export function describeTightness(value) {
  if (value === 0) return "as calibrated";
  const part = Math.round(100 * Math.abs(value));
  return `${part} % ${value < 0 ? "tighter" : "more generous"}`;
}

function isNothing(shares) {
  return shares.every((share) => share === 0);
}
