/** Downloads the page's files, and counts the bytes of model and runtime. */

const FILES = "files.json";

/**
 * Downloads a file of this page's folder.
 *
 * @param {string} name
 * @returns {Promise<Response>}
 * @throws {Error} it is missing
 */
export async function fetchFile(name) {
  const response = await fetch(name);
  if (!response.ok) {
    throw new Error(`${name} is missing in this page's folder; bundle it again.`);
  }
  return response;
}

/**
 * Counts what this page and its runtime fetch from now on.
 *
 * @param {function(number, number)} progress is called with the bytes received,
 *   and with those of model and runtime together, uncompressed
 * @returns {Promise<function()>} stops the counting
 */
export async function countDownloads(progress) {
  const { files } = await (await fetchFile(FILES)).json();
  const plain = globalThis.fetch;
  const models = sizes(files, ".tflite");
  const builds = sizes(files, ".wasm"); // of which a browser loads one
  const total = Math.max(...models) + Math.max(...builds);
  let received = 0;
  globalThis.fetch = async (...given) => {
    const response = await plain(...given);
    const isCounted = /\.(tflite|wasm)$/.test(response.url);
    if (!response.ok || !response.body || !isCounted) return response;
    const counter = new TransformStream({
      transform(chunk, controller) {
        received += chunk.length;
        progress(received, total);
        controller.enqueue(chunk);
      },
    });
    const { status, headers } = response;
    return new Response(response.body.pipeThrough(counter), { status, headers });
  };
  return () => {
    globalThis.fetch = plain;
  };
}

function sizes(files, ending) {
  return Object.keys(files)
    .filter((name) => name.endsWith(ending))
    .map((name) => files[name]);
}
