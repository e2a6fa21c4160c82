/** Makes the files that a user saves. */

import { decideOutline, traceAll } from "./segmentation.js";
import { distinct, slug, stem } from "./file_names.js";
import { contourPaths, paintImage, paintOutlines, sizeWithin } from "./painting.js";
import { encodeNumbers, encodeTwoValued } from "./png.js";
import { toCsv } from "./results_csv.js";
import { toGeoJson, toSvg } from "./vector_files.js";
import { toZip } from "./zip.js";

// The largest canvas of Safari on phones has 4096 x 4096 pixels.
const MOST_SIDE = 4096;
const LINES_PER_SIDE = 1 / 700;
const JPEG_QUALITY = 0.95;

/**
 * Lists what can be saved of an image: a caption, and a function that makes the
 * files as {name, content}.
 *
 * @param {object} item of the gallery, shown
 * @param {{names: string[], colors: number[][], isMulticlass: boolean}} labels
 * @param {function(): {bitmap: ImageBitmap, fill: number}} shown returns the image
 *   and the opacity of its fill
 */
export function saves(item, labels, shown) {
  const { size } = item.segmented;
  const name = stem(item.name);
  const contours = () => traceAll(item.outline.labelMaps, size);
  const about = { ...labels, image: item.name, pixelsPerMm: item.pixelsPerMm };
  const text = (content, type) => new Blob([content], { type });
  return [
    {
      caption: "Save image with outline",
      make: async () => [
        {
          name: `${name}_outline.jpg`,
          content: await outlinedImage(shown(), contours(), labels.colors),
        },
      ],
    },
    ...labelMapSaves(item, labels),
    {
      caption: "Save SVG",
      make: () => [
        {
          name: `${name}_outline.svg`,
          content: text(toSvg(contours(), size, labels), "image/svg+xml"),
        },
      ],
    },
    {
      caption: "Save GeoJSON",
      make: () => [
        {
          name: `${name}_outline.geojson`,
          content: text(toGeoJson(contours(), size, about), "application/geo+json"),
        },
      ],
    },
  ];
}

function labelMapSaves(item, labels) {
  const { labelMaps } = item.outline;
  return labelMaps.map((labelMap, i) => ({
    caption:
      labelMaps.length === 1
        ? "Save label map"
        : `Save label map of ${labels.names[i]}`,
    kind: "label-map",
    make: async () => [
      {
        name: labelMapName(stem(item.name), labels, i),
        content: await encode(labelMap, item.segmented.size, labels),
      },
    ],
  }));
}

function labelMapName(start, { names, isMulticlass }, i) {
  const isOnly = isMulticlass || names.length === 1;
  return isOnly
    ? `${start}_label_map.png`
    : `${start}_${slug(names[i])}_label_map.png`;
}

function encode(labelMap, size, { names, colors, isMulticlass }) {
  return isMulticlass && names.length > 1
    ? encodeNumbers(labelMap, size, colors)
    : encodeTwoValued(labelMap, size);
}

/** Paints an image with its outline; one beyond the limit of phones smaller. */
async function outlinedImage({ bitmap, fill }, contours, colors) {
  const canvas = document.createElement("canvas");
  const size = sizeWithin(bitmap, MOST_SIDE);
  paintImage(canvas, bitmap, size);
  const line = Math.max(1, Math.max(size.width, size.height) * LINES_PER_SIDE);
  const place = { scale: size.width / bitmap.width, left: 0, top: 0 };
  paintOutlines(canvas.getContext("2d"), contourPaths(contours), colors, place, {
    line,
    fill,
  });
  return new Promise((resolve, reject) => {
    canvas.toBlob(
      (blob) => (blob ? resolve(blob) : reject(new Error("no JPEG"))),
      "image/jpeg",
      JPEG_QUALITY,
    );
  });
}

/**
 * Makes an archive of the table and the label maps of all images that were
 * segmented.
 *
 * @returns {Promise<{name: string, content: Blob}[]>}
 */
export async function archiveFiles(segmentor, items, labels, warningOf) {
  const done = items.filter(({ state }) => state === "done");
  const starts = distinct(done.map(({ name }) => stem(name)));
  const files = tableFiles(items, labels, warningOf);
  for (const [at, item] of done.entries()) {
    const { labelMaps } = item.outline.labelMaps
      ? item.outline
      : await decideOutline(segmentor, item.segmented, item.tightness);
    for (const [i, labelMap] of labelMaps.entries()) {
      files.push({
        name: labelMapName(starts[at], labels, i),
        content: await encode(labelMap, item.segmented.size, labels),
      });
    }
  }
  return [{ name: "results.zip", content: await toZip(files) }];
}

/** Makes the table of all images; with a mark, by which Excel knows UTF-8. */
export function tableFiles(items, { names }, warningOf) {
  const parts = ["\ufeff", toCsv(items, names, warningOf)];
  return [{ name: "results.csv", content: new Blob(parts, { type: "text/csv" }) }];
}

/** Lets the browser save a file. */
export function download({ name, content }) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(content);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
