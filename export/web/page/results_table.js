/** The table of all images. */

import { byId, element } from "./elements.js";
import { areaMm2 } from "./ruler.js";
import { describeExpected, percent, squareMillimeters, warning } from "./wording.js";

const STATES = { waiting: "waiting", busy: "in work", failed: "failed" };

/**
 * Shows a row for each image.
 *
 * @param {object[]} items of the gallery
 * @param {string[]} labelNames
 * @param {function(object)} select is called with the item of a row
 */
export function showTable(items, labelNames, select) {
  byId("all").hidden = items.length < 2;
  const hasScale = items.some(({ pixelsPerMm }) => pixelsPerMm);
  const hasDice = items.some(({ outline }) => outline && outline.expectedDice !== null);
  const isOnly = labelNames.length === 1;
  const columns = [
    "File",
    ...labelNames.map((name) => (isOnly ? "Share" : name)),
    ...(hasDice ? ["Expected Dice"] : []),
    ...(hasScale ? labelNames.map((name) => (isOnly ? "Area" : `${name}, area`)) : []),
  ];
  byId("columns").replaceChildren(
    ...columns.map((name) => element("th", name, { scope: "col" })),
  );
  const links = () => [...byId("rows").querySelectorAll("button")];
  const focused = links().indexOf(document.activeElement);
  byId("rows").replaceChildren(
    ...items.map((item) => tableRow(item, { columns, hasDice, hasScale, select })),
  );
  links()[focused]?.focus({ preventScroll: true });
}

function tableRow(item, { columns, hasDice, hasScale, select }) {
  const row = element("tr");
  const link = element("button", item.name, { type: "button", className: "link" });
  link.addEventListener("click", () => select(item));
  const name = element("th", "", { scope: "row" });
  name.append(link);
  row.append(name);
  if (item.state !== "done") {
    row.append(element("td", STATES[item.state], { colSpan: columns.length - 1 }));
    return row;
  }
  const { shares } = item.outline;
  const cells = shares.map(percent);
  if (hasDice) cells.push(describeExpected(item.outline) || "–");
  if (hasScale) {
    for (const share of shares) {
      const area = areaMm2(share, item.segmented.size, item.pixelsPerMm);
      cells.push(item.pixelsPerMm ? squareMillimeters(area) : "–");
    }
  }
  row.append(...cells.map((cell) => element("td", cell)));
  row.classList.toggle("doubtful", Boolean(warning(item.outline)));
  return row;
}
