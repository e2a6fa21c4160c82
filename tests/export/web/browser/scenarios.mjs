// What a user does with the page, and what the page then shows.
import { cpSync, readFileSync, rmSync } from "node:fs";

/** Opens the page and waits until it is ready, or has failed. */
async function open(page, { url }, seen) {
  await page.addInitScript(() => {
    window.decoded = 0;
    const decode = window.createImageBitmap;
    window.createImageBitmap = (...given) => {
      window.decoded += 1;
      return decode.apply(window, given);
    };
    document.addEventListener("segmented", ({ detail }) => {
      window.segmented = detail;
    });
  });
  await page.goto(url);
  await ready(page);
  seen.requestsWhenReady = seen.requests.length;
}

const ready = (page) =>
  page.waitForSelector("#model-state:is([data-kind=ready], [data-kind=failed])");

/** Tells whether the browser lets the page fetch a file. */
const fetched = (page) =>
  page.evaluate(() => fetch("model.json").then(() => "answered", () => "refused"));

/** Tries every way to send something to the page's own server. */
export async function tryToSend(page, task, seen) {
  await open(page, task, seen);
  await page.evaluate(() => navigator.serviceWorker.ready);
  await page.reload();
  await ready(page);
  await page.waitForFunction(() => navigator.serviceWorker.controller);
  const refused = await page.evaluate(async (secret) => {
    const settle = (promise) => promise.then(() => "sent", () => "refused");
    const load = (name, properties) =>
      new Promise((resolve, reject) => {
        const made = Object.assign(document.createElement(name), properties);
        Object.assign(made, { onload: resolve, onerror: reject });
        document.body.append(made);
      });
    const answers = {
      fetch: await settle(fetch(secret)),
      module: await settle(import(`./colors.js${secret}`)),
      image: await settle(load("img", { src: `icon.svg${secret}` })),
      script: await settle(load("script", { src: `colors.js${secret}` })),
      style: await settle(load("link", { rel: "stylesheet", href: secret })),
    };
    navigator.sendBeacon(secret);
    document.body.append(Object.assign(document.createElement("iframe"), { src: secret }));
    const { controller } = navigator.serviceWorker;
    const keep = [secret, `runtime/wasm/${secret}`, `./${secret}`];
    const kept = new Promise((resolve) => {
      navigator.serviceWorker.addEventListener("message", resolve, { once: true });
    });
    controller.postMessage({ keep: [...keep, new URL(secret, location).href] });
    await kept;
    return answers;
  }, task.secret);
  return { refused };
}

/** Lists why the browser would not install the page. */
export async function install(page, task, seen) {
  await open(page, task, seen);
  const devtools = await page.context().newCDPSession(page);
  const { installabilityErrors } = await devtools.send("Page.getInstallabilityErrors");
  return { errors: installabilityErrors.map(({ errorId }) => errorId) };
}

const ways = {
  choose: (page, path) => page.setInputFiles("#file", path),
  photograph: (page, path) => page.setInputFiles("#camera", path),

  /** Drops the file from outside of the browser, as the system does. */
  async drop(page, path) {
    const devtools = await page.context().newCDPSession(page);
    const data = { items: [], files: [path], dragOperationsMask: 1 };
    for (const type of ["dragEnter", "dragOver", "drop"]) {
      await devtools.send("Input.dispatchDragEvent", { type, x: 200, y: 300, data });
    }
  },

  /** Puts the image on the clipboard, and presses Ctrl+V. */
  async paste(page, path) {
    await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
    await page.evaluate(async (base64) => {
      const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
      const blob = new Blob([bytes], { type: "image/png" });
      await navigator.clipboard.write([new ClipboardItem({ "image/png": blob })]);
    }, readFileSync(path, "base64"));
    await page.keyboard.press("Control+v");
  },
};

async function give(page, way, path) {
  await page.evaluate(() => {
    delete window.segmented;
  });
  await ways[way](page, path);
  await page.waitForFunction(() => window.segmented);
}

async function saved(page, button) {
  const [download] = await Promise.all([page.waitForEvent("download"), button.click()]);
  return {
    name: download.suggestedFilename(),
    base64: readFileSync(await download.path(), "base64"),
  };
}

const text = (page, selector) => page.locator(selector).innerText();

/** Returns the text of what can be seen; null if it cannot. */
async function seenText(page, selector) {
  return (await page.locator(selector).isVisible()) ? text(page, selector) : null;
}

/** Segments one image, and saves its label maps. */
export async function segment(page, task, seen) {
  if (task.withoutRelaxedSimd) await page.addInitScript(withoutRelaxedSimd);
  await open(page, task, seen);
  await give(page, task.way, task.image);
  const result = await page.evaluate(() => {
    const { probabilityMap, shares, expectedDice, milliseconds, size } =
      window.segmented;
    const { data, height, width, count } = probabilityMap;
    return {
      probabilities: Array.from(data),
      shape: [height, width, count],
      shares,
      expectedDice,
      milliseconds,
      size,
    };
  });
  const files = [];
  for (const button of await page.locator("#saves [data-kind=label-map]").all()) {
    files.push(await saved(page, button));
  }
  const complaints = [...seen.complaints]; // before the request that fails
  return {
    complaints,
    ...result,
    files,
    facts: await page.locator("#facts").textContent(), // folded
    legend: await text(page, "#legend"),
    expected: await seenText(page, "#expected"),
    warning: await seenText(page, "#warning"),
    announcement: await text(page, "#announcement"),
    fetched: await fetched(page),
  };
}

function withoutRelaxedSimd() {
  const instantiate = WebAssembly.instantiate;
  WebAssembly.instantiate = (code, ...rest) =>
    code.byteLength < 100
      ? Promise.reject(new WebAssembly.CompileError("no relaxed SIMD"))
      : instantiate.call(WebAssembly, code, ...rest);
}

/**
 * Segments an image, then chooses files that cannot be used; returns the error
 * for each, and whether the first image's result was still there.
 */
export async function chooseBad(page, task, seen) {
  await open(page, task, seen);
  if (task.image) await give(page, "choose", task.image);
  const decodedBefore = await page.evaluate(() => window.decoded);
  const said = [];
  for (const path of task.files) {
    await page.evaluate(() => (document.getElementById("problem").textContent = ""));
    await page.setInputFiles("#file", path);
    await page.waitForFunction(() => document.getElementById("problem").textContent);
    said.push(await text(page, "#problem"));
  }
  return {
    said,
    decoded: (await page.evaluate(() => window.decoded)) - decodedBefore,
    isStageShown: await page.locator("#stage").isVisible(),
    isResultShown: await page.locator("#result").isVisible(),
  };
}

/** Opens a page that cannot work; returns its error. */
export async function fail(page, task, seen) {
  await open(page, task, seen);
  return {
    state: await text(page, "#model-state"),
    problem: await text(page, "#problem"),
    isDisabled: await page.locator("#file").isDisabled(),
  };
}

const focused = (page) =>
  page.evaluate(() => {
    const { id, textContent, tagName } = document.activeElement;
    return id || (tagName === "BODY" ? "" : textContent.trim());
  });

/** Uses the page with the keyboard only. */
export async function keyboard(page, task, seen) {
  await open(page, task, seen);
  // Early: the browser is told in the background to report choosers.
  const chosen = page.waitForEvent("filechooser");
  await page.keyboard.press("Tab");
  const order = [await focused(page)];
  const outline = await page
    .locator("label[for=file]")
    .evaluate((label) => getComputedStyle(label).outlineStyle);
  await page.keyboard.press("Enter");
  const chooser = await chosen;
  await chooser.setFiles(task.image);
  await page.waitForFunction(() => window.segmented);

  const press = async (...keys) => {
    for (const key of keys) await page.keyboard.press(key);
    order.push(await focused(page));
  };
  await press("Tab"); // the camera
  await press("Tab"); // the image
  const zoomBefore = await page.locator("#view").getAttribute("data-zoom");
  for (const key of ["+", "+", "ArrowLeft"]) await page.keyboard.press(key);
  await page.waitForFunction(() => document.getElementById("view").dataset.zoom > 1.5);
  await page.keyboard.down("h");
  const isHidden = await page.locator("#shown-outline").getAttribute("data-hidden");
  await page.keyboard.up("h");
  const isShown = await page.locator("#shown-outline").getAttribute("data-hidden");
  await press("0", "Tab");
  for (let i = 0; i < 4; i += 1) await press("Tab");
  await press("Tab"); // from tightness to opacity
  await press("ArrowRight", "ArrowRight", "Tab");
  await press("Tab");
  const [download] = await Promise.all([
    page.waitForEvent("download"),
    page.keyboard.press("Enter"),
  ]);
  return {
    order,
    outline,
    zoomBefore,
    isHidden,
    isShown,
    fileName: download.suggestedFilename(),
    opacity: await text(page, "#opacity-shown"),
    announcement: await text(page, "#announcement"),
  };
}

/** Measures the page, empty and with a result, and takes screenshots. */
export async function measure(page, task, seen) {
  await open(page, task, seen);
  const widths = () =>
    page.evaluate(() => ({
      shown: document.documentElement.clientWidth,
      needed: document.documentElement.scrollWidth,
    }));
  const shoot = (name) =>
    task.shots && page.screenshot({ path: `${task.shots}_${name}.png` });
  await shoot("empty");
  const empty = await widths();
  const sources = await page.locator(".sources .button:visible").allInnerTexts();
  await give(page, "photograph", task.image);
  await shoot("result");
  const heights = await page
    .locator("button:visible, .button:visible")
    .evaluateAll((all) => all.map((one) => one.getBoundingClientRect().height));
  return {
    empty,
    withResult: await widths(),
    sources,
    stage: await page.locator("#view").boundingBox(),
    screen: page.viewportSize(),
    leastHeight: Math.min(...heights),
  };
}

const settled = (page) =>
  page.waitForFunction(
    () => document.getElementById("model-state").dataset.kind === "ready",
  );

/** What the table, the strip and the stage show. */
async function shownList(page) {
  const rows = await page.locator("#rows tr").evaluateAll((all) =>
    all.map((row) => [...row.children].map((cell) => cell.textContent)),
  );
  const strip = await page.locator(".thumbnail").evaluateAll((all) =>
    all.map((one) => one.getAttribute("aria-label")),
  );
  return { rows, strip, caption: await text(page, "#caption") };
}

/** Chooses many files at once, goes through them, and saves all results. */
export async function chooseMany(page, task, seen) {
  await open(page, task, seen);
  await page.setInputFiles("#file", task.files);
  await settled(page);
  const list = await shownList(page);
  const columns = await page.locator("#columns th").allInnerTexts();
  const visited = [];
  const visit = async () => {
    await settled(page);
    await page.waitForFunction(
      () => !document.getElementById("result").hidden || document.getElementById("problem").textContent,
    );
    visited.push({
      name: await page.locator(".thumbnail[aria-current]").getAttribute("title"),
      problem: await text(page, "#problem"),
      isStageShown: await page.locator("#stage").isVisible(),
      legend: await seenText(page, "#legend"),
    });
  };
  await visit();
  await page.click("#next");
  await visit();
  await page.locator(".thumbnail[aria-current]").focus();
  await page.keyboard.press("ArrowRight");
  await visit();
  await page.keyboard.press("ArrowLeft");
  await page.keyboard.press("ArrowLeft");
  await visit();
  await page.click(`#rows tr:nth-child(${task.files.length}) button`);
  await visit();
  const focusedRow = await page.evaluate(() => document.activeElement.closest("#rows tr")?.rowIndex);
  return {
    ...list,
    columns,
    visited,
    focusedRow,
    isLast: await page.locator("#next").isDisabled(),
    csv: await saved(page, page.locator("#save-csv")),
    zip: await saved(page, page.locator("#save-zip")),
  };
}

/** Goes back to an image whose file is gone; returns what is said. */
export async function loseFile(page, task, seen) {
  await open(page, task, seen);
  await give(page, "choose", task.lost);
  await give(page, "choose", task.image);
  rmSync(task.lost);
  await page.click("#previous");
  await page.waitForFunction(() => document.getElementById("problem").textContent);
  return { said: await text(page, "#problem") };
}

/** Saves where the browser has no memory for it; returns what is said. */
export async function failToSave(page, task, seen) {
  await open(page, task, seen);
  await give(page, "choose", task.image);
  await page.evaluate(() => {
    HTMLCanvasElement.prototype.toBlob = (done) => done(null);
  });
  await page.click("#saves button");
  await page.locator("#warning").waitFor();
  await settled(page);
  return {
    said: await text(page, "#warning"),
    isResultShown: await page.locator("#result").isVisible(),
  };
}

/** Gives the scale of all images, and then one more image. */
export async function scaleAll(page, task, seen) {
  await open(page, task, seen);
  await give(page, "choose", task.image);
  await page.click("#scale summary");
  await page.fill("#pixels-per-mm", String(task.pixelsPerMm));
  await page.check("#scale-for-all");
  await give(page, "choose", task.image);
  const next = {
    legend: await text(page, "#legend"),
    pixelsPerMm: await page.inputValue("#pixels-per-mm"),
  };
  await page.uncheck("#scale-for-all");
  await give(page, "choose", task.image);
  return { next, last: await text(page, "#legend") };
}

/** Saves everything that can be saved of an image. */
export async function saveAll(page, task, seen) {
  await open(page, task, seen);
  await give(page, "choose", task.image);
  const files = [];
  for (const button of await page.locator("#saves button").all()) {
    files.push(await saved(page, button));
  }
  return { files, size: await page.evaluate(() => window.segmented.size) };
}

const zoomShown = (page) => page.locator("#view").getAttribute("data-zoom").then(Number);

/** Counts the pixels of a canvas that are not transparent. */
const inked = (page, selector) =>
  page.locator(selector).evaluate((canvas) => {
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    let count = 0;
    for (let i = 3; i < data.length; i += 4) if (data[i] > 0) count += 1;
    return count;
  });

/** Zooms with wheel and fingers, and hides the outline for a while. */
export async function lookClosely(page, task, seen) {
  await open(page, task, seen);
  await give(page, "choose", task.image);
  const box = await page.locator("#view").boundingBox();
  const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
  const zooms = [await zoomShown(page)];
  const after = async () => {
    await page.evaluate(() => new Promise(requestAnimationFrame));
    await page.evaluate(() => new Promise(requestAnimationFrame));
    zooms.push(await zoomShown(page));
  };
  await page.mouse.move(x, y);
  await page.mouse.wheel(0, -400);
  await after();
  await page.click("#fit");
  await after();
  await page.click("#zoom-in");
  await after();
  const devtools = await page.context().newCDPSession(page);
  const touch = (type, ...points) =>
    devtools.send("Input.dispatchTouchEvent", {
      type,
      touchPoints: points.map(([px, py], id) => ({ x: px, y: py, id })),
    });
  await page.click("#fit");
  await touch("touchStart", [x - 40, y], [x + 40, y]);
  await touch("touchMove", [x - 80, y], [x + 80, y]);
  await touch("touchEnd");
  await after();
  const before = await inked(page, "#shown-outline");
  await page.locator("#hide").hover();
  await page.mouse.down();
  const held = await inked(page, "#shown-outline");
  await page.mouse.up();
  return { zooms, inked: [before, held, await inked(page, "#shown-outline")] };
}

/** Moves the slider from tight to generous; returns the shares. */
export async function adjust(page, task, seen) {
  await open(page, task, seen);
  await give(page, "choose", task.image);
  await page.waitForFunction(() => !document.getElementById("tightness").disabled);
  const saw = [];
  for (const value of task.values) {
    const adjusted = page.evaluate(
      () =>
        new Promise((resolve) => {
          document.addEventListener("adjusted", ({ detail }) => resolve(detail.shares), {
            once: true,
          });
        }),
    );
    await page.locator("#tightness").evaluate((slider, to) => {
      slider.value = to;
      slider.dispatchEvent(new Event("input", { bubbles: true }));
      slider.dispatchEvent(new Event("change", { bubbles: true }));
    }, value);
    saw.push({
      shares: await adjusted,
      text: await text(page, "#tightness-shown"),
      legend: await text(page, "#legend"),
      expected: await seenText(page, "#expected"),
    });
  }
  return { calibrated: await page.evaluate(() => window.segmented.shares), saw };
}

/** Marks two ends of a ruler, a given share of the image's width apart. */
export async function markRuler(page, task, seen) {
  await open(page, task, seen);
  await give(page, "choose", task.image);
  await page.click("#scale summary");
  await page.fill("#ruler-mm", String(task.millimeters));
  await page.click("#mark");
  const box = await page.locator("#view").boundingBox();
  const { width, height } = await page.evaluate(() => window.segmented.size);
  const scale = Math.min(box.width / width, box.height / height);
  const y = box.y + box.height / 2;
  for (const side of [-1, 1]) {
    await page.mouse.click(box.x + box.width / 2 + (side * scale * task.pixels) / 2, y);
  }
  return {
    pixelsPerMm: Number(await page.inputValue("#pixels-per-mm")),
    legend: await text(page, "#legend"),
    pressed: await page.getAttribute("#mark", "aria-pressed"),
  };
}

/** Measures how long the outline takes, several times. */
export async function timeOutline(page, task, seen) {
  await open(page, task, seen);
  const times = [];
  for (let i = 0; i < task.times; i += 1) {
    await give(page, "choose", task.image);
    times.push(await page.evaluate(() => window.segmented.milliseconds));
  }
  // What stage.showContours leaves to the browser, until pixels can be read.
  const painting = await page.evaluate(async () => {
    const { traceContours } = await import("./contours.js");
    const stage = await import("./stage.js");
    const { size, labelMaps, contours } = window.segmented;
    const canvas = document.getElementById("shown-outline");
    const measured = [];
    for (let i = 0; i < 60; i += 1) {
      const started = performance.now();
      const traced = traceContours(labelMaps[0], size);
      stage.showContours(traced, [[86, 180, 233]]);
      canvas.getContext("2d").getImageData(0, 0, 1, 1);
      measured.push(performance.now() - started);
    }
    return { measured, corners: contours[0].points.length / 2, size };
  });
  return { times, ...painting };
}

/** Runs axe in each state of the page; returns the violations. */
export async function checkAccessibility(page, task, seen) {
  await page.addInitScript({ path: task.axe });
  await open(page, task, seen);
  const found = {};
  const check = async (state) => {
    const { violations } = await page.evaluate(() => window.axe.run());
    found[state] = violations.map(
      ({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(" ")}`,
    );
  };
  await check("empty");
  await give(page, "choose", task.image);
  await page.waitForFunction(() => !document.getElementById("tightness").disabled);
  await check("result");
  for (const details of await page.locator("summary").all()) await details.click();
  await check("unfolded");
  await page.setInputFiles("#file", [task.image, task.image]);
  await settled(page);
  await check("many");
  await page.setInputFiles("#file", task.bad);
  await settled(page);
  await check("problem");
  return { found };
}

/** Visits the page, then again without a network, then after an update. */
export async function visitAgain(page, task, seen) {
  const result = async () => {
    await give(page, "choose", task.image);
    return page.evaluate(() => window.segmented.shares);
  };
  await open(page, task, seen);
  await page.click("#about summary");
  const kept = page.locator("#offline", { hasText: "Kept on this device" });
  await kept.waitFor();
  await page.context().setOffline(true);
  await page.reload();
  await ready(page);
  const offline = await result();
  const blocked = await fetched(page);
  await page.context().setOffline(false);
  cpSync(task.newer, task.folder, { recursive: true });
  await page.reload();
  await ready(page);
  const before = await page.title();
  await page.locator("#update").waitFor();
  await Promise.all([page.waitForEvent("load"), page.click("#update")]);
  await ready(page);
  return { offline, blocked, before, after: await page.title() };
}

/** Loads the page at a slow rate, and notes what it says meanwhile. */
export async function loadSlowly(page, task, seen) {
  const devtools = await page.context().newCDPSession(page);
  await devtools.send("Network.enable");
  await devtools.send("Network.emulateNetworkConditions", {
    offline: false,
    latency: 0,
    downloadThroughput: task.bytesPerSecond,
    uploadThroughput: -1,
  });
  await page.addInitScript(() => {
    window.said = [];
    new MutationObserver(() => {
      const bytes = document.getElementById("bytes");
      const bar = document.getElementById("progress");
      if (bytes) window.said.push([bytes.textContent, bar.value, bar.hidden]);
    }).observe(document, { subtree: true, childList: true, characterData: true });
  });
  await open(page, task, seen);
  return { said: await page.evaluate(() => window.said) };
}

/** Takes a picture with the browser's made-up camera. */
export async function useCamera(page, task, seen) {
  await open(page, task, seen);
  await page.click("#live-camera");
  await page.locator("#camera-dialog").waitFor();
  const cameras = await page.locator("#camera-choice option").allInnerTexts();
  await page.click("#shoot");
  await page.waitForFunction(() => window.segmented);
  return {
    cameras,
    caption: await text(page, "#caption"),
    size: await page.evaluate(() => window.segmented.size),
    isOpen: await page.locator("#camera-dialog").isVisible(),
    isReleased: await page.evaluate(
      () => document.getElementById("camera-view").srcObject === null,
    ),
  };
}

/** Opens any page; returns the first line that it logs and that begins so. */
export async function readLog(page, task) {
  const logged = page.waitForEvent("console", {
    predicate: (message) => message.text().startsWith(task.start),
  });
  await page.goto(task.url);
  return { logged: (await logged).text() };
}
