// What a user does with the page, and what the page then shows.
import { readFileSync } from "node:fs";

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
  await page.waitForSelector("#model-state:is([data-kind=ready], [data-kind=failed])");
  seen.requestsWhenReady = seen.requests.length;
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
  await page.evaluate(() => delete window.segmented);
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
  for (const button of await page.locator("#saves button").all()) {
    files.push(await saved(page, button));
  }
  const complaints = [...seen.complaints]; // before the request that fails
  return {
    complaints,
    ...result,
    files,
    facts: await text(page, "#facts"),
    legend: await text(page, "#legend"),
    expected: await seenText(page, "#expected"),
    warning: await seenText(page, "#warning"),
    announcement: await text(page, "#announcement"),
    fetched: await page.evaluate(() =>
      fetch("model.json").then(() => "answered", () => "refused"),
    ),
  };
}

function withoutRelaxedSimd() {
  const instantiate = WebAssembly.instantiate;
  WebAssembly.instantiate = (code, ...rest) =>
    code.byteLength < 100
      ? Promise.reject(new WebAssembly.CompileError("no relaxed SIMD"))
      : instantiate.call(WebAssembly, code, ...rest);
}

/** Chooses files that cannot be used; returns the error for each. */
export async function chooseBad(page, task, seen) {
  await open(page, task, seen);
  const said = [];
  for (const path of task.files) {
    await page.evaluate(() => (document.getElementById("problem").textContent = ""));
    await page.setInputFiles("#file", path);
    await page.waitForFunction(() => document.getElementById("problem").textContent);
    said.push(await text(page, "#problem"));
  }
  return { said, decoded: await page.evaluate(() => window.decoded) };
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
  await press("Tab");
  await press("Space", "Tab");
  await press("Tab");
  await press("ArrowRight", "ArrowRight", "Tab");
  const [download] = await Promise.all([
    page.waitForEvent("download"),
    page.keyboard.press("Enter"),
  ]);
  return {
    order,
    outline,
    fileName: download.suggestedFilename(),
    isOutlineShown: await page.locator("#shown-outline").isVisible(),
    opacity: await page.locator("#shown-fill").evaluate((c) => c.style.opacity),
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
  const sources = await page.locator(".sources label:visible").allInnerTexts();
  await give(page, "photograph", task.image);
  await shoot("result");
  const heights = await page
    .locator("button:visible, .button:visible, .switches label")
    .evaluateAll((all) => all.map((one) => one.getBoundingClientRect().height));
  return {
    empty,
    withResult: await widths(),
    sources,
    imageWidth: (await page.locator("#shown-image").boundingBox()).width,
    leastHeight: Math.min(...heights),
  };
}
