/** Lengths and areas in millimeters, from a ruler that is seen in the image. */

/**
 * Returns the longest of 1, 2 and 5 times a power of ten that is not longer.
 *
 * @param {number} most millimeters, above 0
 */
export function barLength(most) {
  const power = 10 ** Math.floor(Math.log10(most));
  const factor = [5, 2, 1].find((one) => one * power <= most) ?? 1;
  return Number((factor * power).toPrecision(1));
}

/**
 * Computes how many pixels a millimeter has.
 *
 * @param {{x: number, y: number}[]} marks the two ends, in pixels of the image
 * @param {number} millimeters between them
 */
export function pixelsPerMm([one, other], millimeters) {
  return Math.hypot(other.x - one.x, other.y - one.y) / millimeters;
}

/**
 * Computes the area of a share of an image.
 *
 * @param {number} share 0 to 1
 * @param {{width: number, height: number}} size
 * @param {number} perMm pixels of a millimeter
 * @returns {number} square millimeters
 */
export function areaMm2(share, { width, height }, perMm) {
  return (share * width * height) / perMm ** 2;
}
