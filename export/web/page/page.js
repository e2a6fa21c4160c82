/** The page: reads images, segments them and shows the results. */

import { orderStyles, range } from "./adjustment.js";
import { attachCamera } from "./camera.js";
import { labelColors } from "./colors.js";
import { enlarge } from "./contours.js";
import * as controls from "./controls.js";
import { countDownloads } from "./downloads.js";
import { byId } from "./elements.js";
import { attachSteps, makeThumbnail, showStrip } from "./filmstrip.js";
import { Gallery } from "./gallery.js";
import { openImage, requireExactPixels } from "./image.js";
import { ImageError } from "./image_header.js";
import { takeImages } from "./image_sources.js";
import { closeNetwork } from "./network.js";
import { keepOffline, keepRuntime } from "./offline.js";
import { sizeWithin } from "./painting.js";
import { showTable } from "./results_table.js";
import { drawSample } from "./sample_drawing.js";
import * as saving from "./saving.js";
import { attachScale, showScale } from "./scale_controls.js";
import {
  decideOutline,
  redraw,
  segmentBitmap,
  traceAll,
} from "./segmentation.js";
import { loadSegmentor } from "./segmentor.js";
import * as stage from "./stage.js";
import * as view from "./view.js";
import { warning } from "./wording.js";

const OUT_OF_MEMORY =
  "could not be segmented: this device has too little memory for it, or its " +
  "browser failed. Make the image smaller, or reload the page.";
const UNREADABLE =
  "cannot be read: it is a folder, or it was moved or changed. Choose images again.";
const UNREADABLE_ERRORS = ["NotFoundError", "NotReadableError"];
const UNSAVED =
  "The file could not be made: this device has too little memory for it.";
const NO_IMAGE = "There is no image in that; give an image file.";
// Pixels of the longer side while the slider moves.
const MOVING_SIDE = 1024;

const gallery = new Gallery();
let segmentor;
let labels;
let isWorking = false;
let isRedrawing = false;

async function start() {
  view.showStarted();
  try {
    requireExactPixels();
    const stopCounting = await countDownloads(view.showProgress);
    segmentor = await loadSegmentor();
    stopCounting();
    await keepOffline({ kept: view.showKept, updated: view.showUpdate });
    keepRuntime();
    closeNetwork();
    const names = segmentor.contract.label_names;
    const { isMulticlass } = segmentor;
    labels = { names, colors: labelColors(names.length), isMulticlass };
    view.showReady(segmentor);
    attachAll();
  } catch (error) {
    view.showUnusable(error.message);
  }
}

function attachAll() {
  controls.attachViewControls();
  controls.attachTightness({ moved: previewTightness, settled: setTightness });
  attachScale(setScale);
  attachSteps((places) => select(gallery.neighbor(places)));
  takeImages(view.fileInputs, { taken: take, dragged: view.showDragging });
  attachCamera({ taken: take, failed: showNone });
  byId("sample").addEventListener("click", async () => take([await drawSample()]));
  byId("save-csv").addEventListener("click", () =>
    save(() => saving.tableFiles(gallery.items, labels, warningOf)),
  );
  byId("save-zip").addEventListener("click", () =>
    save(() => saving.archiveFiles(segmentor, gallery.items, labels, warningOf)),
  );
}

/** Saves files, which may take a while to make; says so if they cannot be made. */
async function save(make) {
  view.showSaving();
  try {
    for (const file of await make()) saving.download(file);
  } catch (error) {
    console.error(error);
    view.showWarning(UNSAVED);
  }
  if (!isWorking) view.showIdle();
}

function take(files) {
  if (files.length === 0) {
    showNone(NO_IMAGE);
    return;
  }
  leave();
  gallery.add(files);
  showWaiting(gallery.shown);
  work();
}

/** Says what was given instead of an image; none is shown. */
function showNone(sentence) {
  leave();
  gallery.shown = null;
  stage.clear();
  view.showProblem(sentence);
  showList();
}

/** Segments what waits, one image after the other. */
async function work() {
  if (isWorking) return;
  isWorking = true;
  for (let item = gallery.nextWaiting(); item; item = gallery.nextWaiting()) {
    await segment(item);
  }
  isWorking = false;
  view.showIdle();
}

async function segment(item) {
  const started = performance.now();
  item.state = "busy";
  view.showBusy(item.name, gallery.remaining);
  showList();
  let bitmap = null;
  try {
    bitmap = await openImage(item.file);
    item.thumbnail = makeThumbnail(bitmap);
    item.segmented = await segmentBitmap(segmentor, bitmap);
    item.outline = await decideOutline(segmentor, item.segmented, item.tightness);
    item.state = "done";
    if (item === gallery.shown) {
      const shown = bitmap;
      bitmap = null; // the stage closes it
      await present(item, shown, started);
    } else {
      const { modelMs: model } = item.segmented;
      item.milliseconds = { all: performance.now() - started, model };
      item.outline.labelMaps = null;
    }
  } catch (error) {
    fail(item, error);
  } finally {
    bitmap?.close();
  }
  showList();
}

function fail(item, error) {
  item.state = "failed";
  if (error instanceof ImageError) {
    item.problem = error.message;
  } else {
    console.error(error);
    const isUnreadable = UNREADABLE_ERRORS.includes(error.name);
    item.problem = `${item.name} ${isUnreadable ? UNREADABLE : OUT_OF_MEMORY}`;
  }
  if (item === gallery.shown) showFailed(item);
}

function showFailed(item) {
  stage.clear();
  view.showProblem(item.problem);
}

function showWaiting(item) {
  view.showStage(item.name);
  stage.clear();
  showList();
}

/** Shows another image of the gallery; undefined for none. */
async function select(item) {
  if (!item || item === gallery.shown) return;
  leave();
  gallery.shown = item;
  if (item.state === "failed") showFailed(item);
  else showWaiting(item);
  showList();
  if (item.state !== "done") return;
  const started = performance.now();
  try {
    const bitmap = await openImage(item.file);
    const decided = await decideOutline(segmentor, item.segmented, item.tightness);
    if (item !== gallery.shown) {
      bitmap.close();
      return;
    }
    item.outline = decided;
    await present(item, bitmap, started);
  } catch (error) {
    fail(item, error);
  }
  showList();
}

/** Frees the memory of the image that is shown. */
function leave() {
  if (gallery.shown?.outline) gallery.shown.outline.labelMaps = null;
}

/** Shows an image and its outline, and states when both could be seen. */
async function present(item, bitmap, started) {
  view.showStage(item.name);
  stage.showImage(bitmap);
  showScale(item.pixelsPerMm);
  const outlining = performance.now();
  const contours = traceAll(item.outline.labelMaps, item.segmented.size);
  stage.showContours(contours, labels.colors);
  const outline = performance.now() - outlining;
  await stage.painted();
  const { modelMs: model } = item.segmented;
  item.milliseconds = { all: performance.now() - started, model, outline };
  if (item !== gallery.shown) return;
  controls.showTightness(item.tightness.value, null);
  showResult(item);
  view.announce(item, labels);
  const { segmented, milliseconds } = item;
  const detail = { ...segmented, ...item.outline, milliseconds, contours };
  document.dispatchEvent(new CustomEvent("segmented", { detail }));
  if (!item.tightness.isOrdered) {
    const ordered = await orderStyles(segmentor, segmented.input);
    item.tightness = { ...ordered, isOrdered: true };
  }
  if (item === gallery.shown) {
    controls.showTightness(item.tightness.value, range(item.tightness));
  }
}

function showResult(item) {
  view.showResult(item, labels);
  const shown = () => ({ bitmap: stage.shownBitmap(), fill: controls.overlayFill() });
  view.showSaves(saving.saves(item, labels, shown), ({ make }) => save(make));
}

/** Redraws a coarse outline while the slider moves; drops what comes too fast. */
async function previewTightness(value) {
  const item = gallery.shown;
  if (isRedrawing || item.state !== "done") return;
  isRedrawing = true;
  try {
    const tightness = { ...item.tightness, value };
    const segmented = await redraw(segmentor, item.segmented, tightness);
    const size = sizeWithin(segmented.size, MOVING_SIDE);
    const coarse = { ...segmented, size };
    const { labelMaps } = await decideOutline(segmentor, coarse, tightness);
    const contours = enlarge(traceAll(labelMaps, size), size, segmented.size);
    if (item === gallery.shown) stage.showContours(contours, labels.colors);
  } finally {
    isRedrawing = false;
  }
}

/** Outlines the image that is shown more tightly or more generously. */
async function setTightness(value) {
  const item = gallery.shown;
  item.tightness = { ...item.tightness, value };
  const segmented = await redraw(segmentor, item.segmented, item.tightness);
  const outline = await decideOutline(segmentor, segmented, item.tightness);
  if (item.tightness.value !== value) return; // it was moved on
  Object.assign(item, { segmented, outline });
  if (item !== gallery.shown) {
    outline.labelMaps = null;
  } else {
    stage.showContours(traceAll(outline.labelMaps, segmented.size), labels.colors);
    showResult(item);
    document.dispatchEvent(new CustomEvent("adjusted", { detail: outline }));
  }
  showList();
}

function setScale({ pixelsPerMm, isForAll }) {
  gallery.setScale(pixelsPerMm, isForAll);
  stage.showScale(pixelsPerMm);
  if (gallery.shown.state === "done") showResult(gallery.shown);
  showList();
}

function showList() {
  showStrip(gallery, { select, stateOf });
  showTable(gallery.items, labels.names, select);
}

function stateOf(item) {
  return item.state === "done" && warningOf(item) ? "doubtful" : item.state;
}

function warningOf(item) {
  return warning(item.outline);
}

start();
