/** The page's texts and controls; knows nothing of models and files. */

import { byId, element } from "./elements.js";
import { areaMm2 } from "./ruler.js";
import * as wording from "./wording.js";

export const fileInputs = [byId("file"), byId("camera")];

/** Removes what is shown while no script runs. */
export function showStarted() {
  byId("unstarted").remove();
}

/** Shows how many bytes of all were loaded. */
export function showProgress(received, total) {
  const megabytes = (bytes) => (bytes / 1e6).toFixed(1);
  byId("progress").value = received / total;
  byId("bytes").textContent = `${megabytes(received)} of ${megabytes(total)} MB`;
}

/** Shows that the page works without a network from now on. */
export function showKept() {
  byId("offline").textContent =
    "Kept on this device: the page opens without a network.";
}

/** Offers a newer version, which `start` starts. */
export function showUpdate(start) {
  byId("update").hidden = false;
  byId("update").addEventListener("click", start, { once: true });
}

/** Enables the inputs, and describes the model. */
export function showReady({ contract, isVerified, inputSize }) {
  const names = contract.label_names;
  const isLesion = names.length === 1 && names[0] === "lesion";
  const title = isLesion ? "Outline a skin lesion" : `Outline ${names.join(", ")}`;
  document.title = byId("title").textContent = title;
  const sources = [...fileInputs, byId("sample"), byId("live-camera")];
  for (const source of sources) source.disabled = false;
  hideProgress();
  showIdle();
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
}

/** Shows why the page cannot work at all. */
export function showUnusable(reason) {
  hideProgress();
  setState("failed", "Cannot start");
  byId("problem").textContent = reason;
}

/** Shows that nothing is being done. */
export function showIdle() {
  setState("ready", "Ready");
}

/** Shows that an image is being outlined, and how many remain. */
export function showBusy(name, remaining) {
  const rest = remaining > 1 ? `, ${remaining} to go` : "";
  setState("busy", `Outlining ${name}${rest}`);
}

/** Shows that files to be saved are being made. */
export function showSaving() {
  setState("busy", "Preparing the files");
}

/** Warns the user; the result stays. */
export function showWarning(sentence) {
  byId("warning").textContent = byId("announcement").textContent = sentence;
}

/** Marks the page while a file is held over it. */
export function showDragging(isOver) {
  document.body.classList.toggle("dragging", isOver);
}

/** Shows the stage, without what was said of another image. */
export function showStage(name) {
  document.body.classList.add("has-image");
  byId("stage").hidden = false;
  byId("problem").textContent = "";
  byId("warning").textContent = "";
  byId("result").hidden = true;
  byId("shown-image").setAttribute("aria-label", name);
  byId("caption").textContent = name;
}

/** Shows why there is no outline, and no result of another image. */
export function showProblem(sentence) {
  document.body.classList.remove("has-image");
  byId("stage").hidden = true;
  byId("result").hidden = true;
  byId("warning").textContent = "";
  byId("problem").textContent = sentence;
}

/** Shows what was found in an image. */
export function showResult(item, labels) {
  const { size } = item.segmented;
  const found = wording.describeShares(item.outline.shares, labels.names);
  const expected = wording.describeExpected(item.outline);
  const warning = wording.warning(item.outline);
  byId("shown-image").setAttribute("aria-label", `${item.name}. ${found}`);
  byId("caption").textContent = `${item.name}, ${size.width} x ${size.height} pixels`;
  byId("warning").textContent = warning;
  byId("expected").hidden = !expected;
  byId("expected-dice").textContent = expected;
  byId("time").textContent = wording.describeTime(item.milliseconds);
  byId("legend").replaceChildren(
    ...item.outline.shares.map((share, i) => legendRow(item, share, i, labels)),
  );
  byId("result").hidden = false;
}

/** Tells screen readers what was found. */
export function announce(item, labels) {
  const expected = wording.describeExpected(item.outline);
  const sentences = new Set([
    wording.describeShares(item.outline.shares, labels.names),
    expected && `Expected Dice ${expected}.`,
    wording.warning(item.outline),
    wording.describeTime(item.milliseconds),
  ]);
  byId("announcement").textContent = [...sentences].filter(Boolean).join(" ");
}

/** Shows the buttons of what can be saved. */
export function showSaves(saves, save) {
  byId("saves").replaceChildren(
    ...saves.map((one, i) => {
      const button = element("button", one.caption, { type: "button" });
      button.className = i === 0 ? "button main-button" : "button";
      if (one.kind) button.dataset.kind = one.kind;
      button.addEventListener("click", () => save(one));
      return button;
    }),
  );
}

function hideProgress() {
  byId("progress").hidden = byId("bytes").hidden = true;
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

function legendRow({ segmented, pixelsPerMm }, share, i, { names, colors }) {
  const swatch = element("span", "", { className: "swatch" });
  swatch.style.setProperty("--color", `rgb(${colors[i].join(" ")})`);
  const value = element("strong", wording.percent(share));
  const row = element("li");
  row.append(swatch, element("span", names[i]), value);
  if (pixelsPerMm) {
    const area = areaMm2(share, segmented.size, pixelsPerMm);
    row.append(element("span", wording.squareMillimeters(area), { className: "area" }));
  }
  return row;
}
