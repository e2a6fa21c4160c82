/** Counts the bytes of the model and the runtime while they are downloaded. */

const FILES = "files.json";

/**
 * Counts what this page and its runtime fetch from now on.
 *
 * @param {function(number, number)} progress is called with the bytes received,
 *   and with those of model and runtime together, uncompressed
 * @returns {Promise<function()>} stops the counting
 */
export async function countDownloads(progress) {
  const plain = globalThis.fetch;
  const { files } = await (await plain(FILES)).json();
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
