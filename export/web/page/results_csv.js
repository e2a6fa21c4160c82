/** Writes the results of all images as CSV, with the columns of --mode=predict. */

import { slug } from "./file_names.js";
import { areaMm2 } from "./ruler.js";

// What a spreadsheet takes for the start of a formula; see
// segan_tf/csv_files.py.
const FORMULA = /^ *[=+\-@\t\r\uff1d\uff0b\uff0d\uff20]/;

/**
 * Writes a row for each image that was segmented, or could not be.
 *
 * @param {object[]} items of the gallery
 * @param {string[]} labelNames
 * @param {function(object): string} warningOf an item
 * @returns {string}
 */
export function toCsv(items, labelNames, warningOf) {
  const slugs = labelNames.map(slug);
  const columns = [
    "id", "width", "height",
    ...slugs.flatMap((one) => [`${one}_area_px`, `${one}_fraction`, `${one}_area_mm2`]),
    "expected_dice", "warning", "pixels_per_mm", "tightness", "problem",
  ];
  const rows = items.map((item) => rowOf(item, slugs, warningOf));
  const lines = rows.map((row) => columns.map((name) => cell(row[name] ?? "")).join(","));
  return `${[columns.join(","), ...lines].join("\n")}\n`;
}

function rowOf(item, slugs, warningOf) {
  const row = { id: item.name, problem: item.problem };
  if (item.state !== "done") return row;
  const { size } = item.segmented;
  const { shares, expectedDice } = item.outline;
  Object.assign(row, {
    ...size,
    expected_dice: expectedDice?.toFixed(6),
    warning: warningOf(item),
    pixels_per_mm: item.pixelsPerMm ? String(item.pixelsPerMm) : "",
    tightness: item.tightness.value.toFixed(2),
  });
  slugs.forEach((name, i) => {
    row[`${name}_area_px`] = Math.round(shares[i] * size.width * size.height);
    row[`${name}_fraction`] = shares[i].toFixed(6);
    if (item.pixelsPerMm) {
      row[`${name}_area_mm2`] = areaMm2(shares[i], size, item.pixelsPerMm).toFixed(4);
    }
  });
  return row;
}

/** Returns a cell that no spreadsheet computes. */
function cell(value) {
  const isNumber = value !== "" && !Number.isNaN(Number(value));
  const guarded = !isNumber && FORMULA.test(value) ? `'${value}` : String(value);
  return /[",\r\n]/.test(guarded) ? `"${guarded.replaceAll('"', '""')}"` : guarded;
}
