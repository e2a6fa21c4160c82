/** The page's elements; knows nothing of models and files. */

import { paintFill, paintOutline, paintImage } from "./overlay.js";
import { encodeNumbers, encodeTwoValued } from "./png.js";

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

const NOTHING = "Nothing was found.";
const DOUBTFUL =
  "The outline is doubtful, or this is no image like those that the model was " +
  "trained on.";

const byId = (id) => document.getElementById(id);

export const fileInputs = [byId("file"), byId("camera")];

let labels = { names: [], colors: [], isMulticlass: true };

/** Removes what is shown while no script runs. */
export function showStarted() {
  byId("unstarted").remove();
}

/** Enables the inputs, and describes the model. */
export function showReady({ contract, isMulticlass, isVerified, inputSize }) {
  const names = contract.label_names;
  labels = {
    names,
    colors: names.map((_, i) => COLORS[i % COLORS.length]),
    isMulticlass,
  };
  for (const input of fileInputs) input.disabled = false;
  setState("ready", "Ready");
  const hash = contract.sha256.slice(0, 12);
  showFacts({
    "Looks for": names.join(", "),
    Model: `${contract.model}, version ${contract.version}`,
    Input: `${inputSize.width} x ${inputSize.height} pixels`,
    "SHA-256": isVerified
      ? `${hash}…, checked`
      : `${hash}…, not checked: browsers can do so only over https or on ` +
        "localhost",
  });
  applyOverlay();
}

/** Shows why the page cannot work at all. */
export function showUnusable(reason) {
  setState("failed", "Cannot start");
  byId("problem").textContent = reason;
}

/** Marks the page while a file is held over it. */
export function showDragging(isOver) {
  document.body.classList.toggle("dragging", isOver);
}

/** Shows that an image is being segmented. */
export function showBusy(name) {
  byId("problem").textContent = "";
  setState("busy", `Segmenting ${name}`);
}

/** Shows why an image was not segmented; the last result stays. */
export function showProblem(sentence) {
  setState("ready", "Ready");
  byId("problem").textContent = sentence;
}

/** Shows an image and its label maps. */
export function showResult(result) {
  const { bitmap, shown, size, name } = result;
  paintImage(byId("shown-image"), bitmap, shown.size);
  paintFill(byId("shown-fill"), shown.labelMaps, shown.size, labels.colors);
  paintOutline(
    byId("shown-outline"),
    shown.labelMaps,
    shown.size,
    labels.colors,
  );
  const found = describe(result.shares);
  const expected = describeExpected(result);
  const warning = warn(result);
  const took = describeTime(result.milliseconds);
  byId("shown-image").setAttribute("aria-label", `${name}. ${found}`);
  byId("caption").textContent = `${name}, ${size.width} x ${size.height} pixels`;
  byId("warning").textContent = warning;
  byId("expected").hidden = !expected;
  byId("expected-dice").textContent = expected;
  byId("time").textContent = took;
  byId("legend").replaceChildren(...result.shares.map(legendRow));
  byId("saves").replaceChildren(
    ...result.labelMaps.map((_, i) => saveButton(result, i)),
  );
  byId("stage").hidden = false;
  byId("result").hidden = false;
  document.body.classList.add("has-result");
  setState("ready", "Ready");
  const sentences = new Set([found, expected && `Expected Dice ${expected}.`, warning, took]);
  byId("announcement").textContent = [...sentences].filter(Boolean).join(" ");
}

function setState(kind, text) {
  byId("model-state").dataset.kind = kind;
  byId("model-state").textContent = text;
}

function showFacts(facts) {
  byId("facts").replaceChildren(
    ...Object.entries(facts).flatMap(([term, fact]) => [
      element("dt", term),
      element("dd", fact),
    ]),
  );
}

function percent(share) {
  return `${(100 * share).toFixed(1)} %`;
}

function describe(labelShares) {
  if (isNothing(labelShares)) return NOTHING;
  const parts = labels.names.map((name, i) => `${name} ${percent(labelShares[i])}`);
  return `Of the image: ${parts.join(", ")}.`;
}

function isNothing(labelShares) {
  return labelShares.every((share) => share === 0);
}

/** Returns the expected Dice as text; "" if it is unknown, or of no outline. */
function describeExpected({ shares: labelShares, expectedDice }) {
  const isShown = expectedDice !== null && !isNothing(labelShares);
  return isShown ? expectedDice.toFixed(2) : "";
}

/** Says why a result is to be checked; "" for no reason. */
function warn({ shares: labelShares, isDoubtful }) {
  if (isNothing(labelShares)) return NOTHING;
  return isDoubtful ? DOUBTFUL : "";
}

function describeTime({ all, model }) {
  return `Took ${Math.round(all)} ms on this device, the model ${Math.round(model)} ms.`;
}

function legendRow(share, i) {
  const swatch = element("span", "");
  swatch.className = "swatch";
  swatch.style.setProperty("--color", `rgb(${labels.colors[i].join(" ")})`);
  const value = element("strong", percent(share));
  const row = document.createElement("li");
  row.append(swatch, element("span", labels.names[i]), value);
  return row;
}

/** Makes the button that saves a label map at the image's size. */
function saveButton({ labelMaps, size, name }, i) {
  const isOnly = labelMaps.length === 1;
  const button = element(
    "button",
    isOnly ? "Save label map" : `Save label map of ${labels.names[i]}`,
  );
  button.type = "button";
  button.className = "button";
  const stem = name.replace(/\.[^.]*$/, "");
  const fileName = isOnly
    ? `${stem}_label_map.png`
    : `${stem}_${slug(labels.names[i])}_label_map.png`;
  const isNumbered = labels.isMulticlass && labels.names.length > 1;
  button.addEventListener("click", async () => {
    const blob = isNumbered
      ? await encodeNumbers(labelMaps[i], size, labels.colors)
      : await encodeTwoValued(labelMaps[i], size);
    download(blob, fileName);
  });
  return button;
}

/** Makes a name of letters, digits and underscores, as labels.py does. */
function slug(name) {
  return name
    .trim()
    .toLowerCase()
    .replace(/[^\p{L}\p{N}_]+/gu, "_")
    .replace(/^_+|_+$/g, "");
}

function download(blob, fileName) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = fileName;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

function applyOverlay() {
  byId("shown-outline").hidden = !byId("outline").checked;
  byId("shown-fill").hidden = !byId("fill").checked;
  byId("shown-fill").style.opacity = byId("opacity").value / 100;
  byId("opacity").disabled = !byId("fill").checked;
  byId("opacity-shown").textContent = `${byId("opacity").value} %`;
}

for (const id of ["outline", "fill", "opacity"]) {
  byId(id).addEventListener("input", applyOverlay);
}

function element(name, text) {
  const made = document.createElement(name);
  made.textContent = text;
  return made;
}
