/** Writes contours as SVG and as GeoJSON. */

import { groupPolygons } from "./contours.js";

/**
 * Writes an SVG drawing of the image's size, a path for each label.
 *
 * @param {{label: number, points: number[]}[]} contours
 * @param {{width: number, height: number}} size
 * @param {{names: string[], colors: number[][]}} labels
 * @returns {string}
 */
export function toSvg(contours, { width, height }, { names, colors }) {
  const line = Math.max(1, Math.max(width, height) / 400);
  const paths = names.map((name, i) => {
    const rings = contours.filter(({ label }) => label === i + 1).map(svgRing);
    const color = `#${colors[i].map((v) => v.toString(16).padStart(2, "0")).join("")}`;
    return (
      `  <path fill="none" stroke="${color}" stroke-width="${line}" ` +
      `d="${rings.join("")}"><title>${escaped(name)}</title></path>\n`
    );
  });
  return (
    '<svg xmlns="http://www.w3.org/2000/svg" ' +
    `width="${width}" height="${height}" viewBox="0 0 ${width} ${height}">\n` +
    `${paths.join("")}</svg>\n`
  );
}

function svgRing({ points }) {
  let path = `M${points[0]} ${points[1]}`;
  for (let i = 2; i < points.length; i += 2) {
    // Corner to corner, along the edges of pixels.
    const isAcross = points[i + 1] === points[i - 1];
    path += isAcross ? `H${points[i]}` : `V${points[i + 1]}`;
  }
  return `${path}Z`;
}

function escaped(text) {
  return text.replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt(0)};`);
}

/**
 * Writes a feature for each label, of polygons in pixels: x to the right, y down
 * from the image's upper left corner.
 *
 * @param {{label: number, points: number[]}[]} contours
 * @param {{width: number, height: number}} size
 * @param {{names: string[], image: string, pixelsPerMm: ?number}} about
 * @returns {string}
 */
export function toGeoJson(contours, { width, height }, { names, image, pixelsPerMm }) {
  const features = names.map((name, i) => {
    const rings = contours
      .filter(({ label }) => label === i + 1)
      .map(({ points }) => points);
    const coordinates = groupPolygons(rings).map((polygon) => polygon.map(closed));
    return {
      type: "Feature",
      properties: { label: name, image, width, height, pixels_per_mm: pixelsPerMm },
      geometry: { type: "MultiPolygon", coordinates },
    };
  });
  return `${JSON.stringify({ type: "FeatureCollection", features })}\n`;
}

/** Lists the points of a ring, the first one also at its end. */
function closed(points) {
  const listed = [];
  for (let i = 0; i < points.length; i += 2) listed.push([points[i], points[i + 1]]);
  return [...listed, listed[0]];
}
