/** The colors of labels. */

// Okabe and Ito's palette in the order of segan_tf/labels.py.
const COLORS = [
  [86, 180, 233],
  [230, 159, 0],
  [0, 158, 115],
  [240, 228, 66],
  [213, 94, 0],
  [0, 114, 178],
  [204, 121, 167],
  [255, 255, 255],
];

/** Returns the RGB of so many labels. */
export function labelColors(count) {
  return Array.from({ length: count }, (_, i) => COLORS[i % COLORS.length]);
}
