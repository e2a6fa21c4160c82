// Opens the bundled page in headless Chromium, plays one scenario and prints
// what it saw as JSON.
// Usage: node drive.mjs '{"scenario": NAME, "url": URL, ...}'
import { createRequire } from "node:module";
import * as scenarios from "./scenarios.mjs";

const ROOT = new URL("../../../../", import.meta.url);
const { chromium } = createRequire(new URL(".browser/", ROOT))("playwright-core");
const LIMIT_MS = 60_000;

const task = JSON.parse(process.argv[2]);
const browser = await chromium.launch({
  executablePath: task.chromium,
  args: [
    "--no-sandbox", // Chromium refuses root with it
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    // A name that is not localhost: to the browser it is no secure origin.
    "--host-resolver-rules=MAP plain.test 127.0.0.1",
    ...(task.args ?? []),
  ],
});
try {
  const context = await browser.newContext({
    acceptDownloads: true,
    serviceWorkers: "block", // each test would keep all files
    ...task.context,
  });
  context.setDefaultTimeout(LIMIT_MS);
  const page = await context.newPage();
  const seen = watch(page);
  const saw = await scenarios[task.scenario](page, task, seen);
  console.log(JSON.stringify({ ...seen, ...saw }));
} finally {
  await browser.close();
}

/** Notes every request, and what the page complains about. */
function watch(page) {
  const seen = { requests: [], requestsWhenReady: null, complaints: [] };
  page.on("request", (request) => seen.requests.push(request.url()));
  page.on("pageerror", (error) => seen.complaints.push(String(error)));
  page.on("console", (message) => {
    // LiteRT.js tells of its delegate through console.error.
    const isRuntime = message.location().url.includes("/runtime/");
    if (message.type() === "error" && !isRuntime) {
      seen.complaints.push(message.text());
    }
  });
  return seen;
}
