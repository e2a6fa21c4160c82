// Reads every file of a folder with the web page's decoder, in headless
// Chromium, and prints a line of JSON for each: its RGB values in base64, or why
// the page rejects it.
// Usage: node fuzz_page.mjs CHROMIUM FOLDER, after scripts/browser
import { readFileSync, readdirSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";

const ROOT = new URL("../", import.meta.url);
const PAGE = new URL("export/web/page/", ROOT);
const { chromium } = createRequire(new URL(".browser/", ROOT))("playwright-core");

const [, , executablePath, folder] = process.argv;
const server = createServer(({ url }, response) => {
  if (url === "/") {
    response.setHeader("Content-Type", "text/html");
    response.end('<!doctype html><link rel="icon" href="data:,">');
  } else if (url.startsWith("/files/")) {
    response.end(readFileSync(`${folder}/${decodeURIComponent(url.slice(7))}`));
  } else {
    response.setHeader("Content-Type", "text/javascript");
    response.end(readFileSync(new URL(url.slice(1), PAGE)));
  }
}).listen(0, "127.0.0.1");
const browser = await chromium.launch({
  executablePath,
  args: ["--no-sandbox", "--disable-gpu"], // Chromium refuses root without
});
try {
  const page = await browser.newPage();
  await page.goto(`http://127.0.0.1:${server.address().port}/`);
  for (const name of readdirSync(folder).sort()) {
    console.log(JSON.stringify({ name, ...(await page.evaluate(read, name)) }));
  }
} finally {
  await browser.close();
  server.close();
}

/** Runs in the page. */
async function read(name) {
  const { openImage } = await import("/image.js");
  const { strips } = await import("/strips.js");
  const { ImageError } = await import("/image_header.js");
  const answer = await fetch(`/files/${encodeURIComponent(name)}`);
  const file = new File([await answer.arrayBuffer()], name);
  const began = performance.now();
  const seconds = () => (performance.now() - began) / 1000;
  let bitmap;
  try {
    bitmap = await openImage(file);
  } catch (error) {
    const isCrash = !(error instanceof ImageError);
    return { problem: String(error.message), isCrash, seconds: seconds() };
  }
  const { width, height } = bitmap;
  let rgb = "";
  for (const { rgba } of strips(bitmap)) {
    for (let i = 0; i < rgba.length; i += 4) {
      rgb += String.fromCharCode(rgba[i], rgba[i + 1], rgba[i + 2]);
    }
  }
  bitmap.close();
  return { width, height, rgb: btoa(rgb), seconds: seconds() };
}
