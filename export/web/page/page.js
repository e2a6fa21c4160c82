/** The page: reads an image, segments it and shows the result. */

import { expectDice } from "./expected_dice.js";
import { openImage, requireExactPixels } from "./image.js";
import { ImageError } from "./image_header.js";
import { decideLabelMaps, shares } from "./label_map.js";
import { closeNetwork } from "./network.js";
import { shownSize } from "./overlay.js";
import { resizeAntialiased } from "./resize.js";
import { loadSegmentor } from "./segmentor.js";
import { strips } from "./strips.js";
import * as view from "./view.js";

const OUT_OF_MEMORY =
  "could not be segmented: this device has too little memory for it, or its " +
  "browser failed. Make the image smaller, or reload the page.";

let latest = 0;

async function start() {
  view.showStarted();
  try {
    requireExactPixels();
    const segmentor = await loadSegmentor();
    closeNetwork();
    view.showReady(segmentor);
    takeImages((file) => segmentFile(segmentor, file));
  } catch (error) {
    view.showUnusable(error.message);
  }
}

/** Calls back with each file that is chosen, photographed, dropped or pasted. */
function takeImages(take) {
  for (const input of view.fileInputs) {
    input.addEventListener("change", () => {
      if (input.files.length) take(input.files[0]);
      input.value = ""; // so that the same image can be chosen again
    });
  }
  document.addEventListener("paste", (event) => {
    takeFirst(event, event.clipboardData, take);
  });
  document.addEventListener("dragover", (event) => {
    event.preventDefault(); // or the browser opens the file instead
    view.showDragging(true);
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) view.showDragging(false);
  });
  document.addEventListener("drop", (event) => {
    view.showDragging(false);
    takeFirst(event, event.dataTransfer, take);
  });
}

function takeFirst(event, data, take) {
  event.preventDefault();
  const [file] = data?.files ?? [];
  if (file) take(file);
  else view.showProblem("There is no image in that; give an image file.");
}

/** Segments a file; of several at once only the last is shown. */
async function segmentFile(segmentor, file) {
  latest += 1;
  const own = latest;
  view.showBusy(file.name);
  let bitmap;
  try {
    bitmap = await openImage(file);
    const result = await segmentImage(segmentor, bitmap);
    if (own !== latest) return;
    view.showResult({ ...result, bitmap, name: file.name });
    document.dispatchEvent(new CustomEvent("segmented", { detail: result }));
  } catch (error) {
    if (own !== latest) return;
    const isKnown = error instanceof ImageError;
    if (!isKnown) console.error(error);
    view.showProblem(isKnown ? error.message : `${file.name} ${OUT_OF_MEMORY}`);
  } finally {
    bitmap?.close();
  }
}

/**
 * Segments a decoded image.
 *
 * @returns {Promise<object>} probability map and label maps at the image's
 *   size and at the size it is shown, each label's share, the expected Dice (null
 *   if the model does not know it) and whether it is low, and milliseconds
 */
async function segmentImage(segmentor, bitmap) {
  const size = { width: bitmap.width, height: bitmap.height };
  const { label_names: names } = segmentor.contract;
  const rule = {
    multiclass: segmentor.isMulticlass,
    thresholds: segmentor.thresholds,
  };
  const started = performance.now();
  const resizedImage = await resizeAntialiased(strips(bitmap), size, segmentor.inputSize);
  const resized = performance.now();
  const probabilityMap = await segmentor.segment(resizedImage);
  const segmented = performance.now();
  const labelMaps = await decideLabelMaps(probabilityMap, size, rule);
  const { curve, low } = segmentor.expectation;
  const expectedDice = curve
    ? await expectDice(probabilityMap, size, rule, curve)
    : null;
  const milliseconds = {
    all: performance.now() - started,
    model: segmented - resized,
  };
  const shown = shownSize(size);
  return {
    size,
    probabilityMap,
    labelMaps,
    shares: shares(labelMaps, names.length),
    expectedDice,
    isDoubtful: expectedDice !== null && expectedDice < low,
    shown: {
      size: shown,
      labelMaps: await decideLabelMaps(probabilityMap, shown, rule),
    },
    milliseconds,
  };
}

start();
