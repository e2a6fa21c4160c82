/** Loads the model in this page's folder, and runs it with LiteRT.js. */

import { Tensor, loadAndCompile, loadLiteRt } from "@litertjs/core";
import { fetchFile } from "./downloads.js";

const CONTRACT = "model.json";
const RUNTIME = new URL("runtime/wasm/", import.meta.url).href;

/**
 * A model that is ready to run.
 *
 * `isVerified`: whether its bytes were checked against the contract's hash.
 */
class Segmentor {
  constructor(contract, compiled, isVerified) {
    this.contract = contract;
    this.isVerified = isVerified;
    this.compiled = compiled;
    this.running = Promise.resolve();
  }

  /** Whether a pixel has at most one label ("exclusive" in older contracts). */
  get isMulticlass() {
    return ["multiclass", "exclusive"].includes(this.contract.label_kind);
  }

  /** The threshold of each label; one for all in older contracts. */
  get thresholds() {
    const { thresholds, threshold, label_names: names } = this.contract;
    return thresholds ?? names.map(() => threshold);
  }

  /**
   * The curve of the expected Dice, and the Dice below which a label map is to
   * be checked; undefined where they are not known.
   */
  get expectation() {
    const { thresholds: curve, low } = this.contract.expected_dice ?? {};
    return { curve, low };
  }

  /** The size of the image that the model takes. */
  get inputSize() {
    const [, height, width] = this.contract.input.shape;
    return { width, height };
  }

  /** The second input of a model that takes the style; undefined without it. */
  get styleInput() {
    return this.contract.style_input;
  }

  /**
   * Segments an image of the model's own size.
   *
   * @param {Float32Array} image [height, width, 3] RGB, 0 to 255
   * @param {number[]} style the weight of each style, for a model that takes it;
   *   by default the one that the thresholds are for
   * @returns {Promise<{data: Float32Array, width: number, height: number,
   *   count: number}>} the probability map [height, width, count]
   */
  segment(image, style = this.styleInput?.default) {
    // One run at a time: the next would overwrite the tensors of this one.
    const run = this.running.then(() => this.#run(image, style));
    this.running = run.catch(() => {});
    return run;
  }

  async #run(image, style) {
    const { signature, input, output } = this.contract;
    const tensors = {
      [input.name]: new Tensor(inDtype(image, input.dtype), input.shape),
    };
    if (this.styleInput) {
      const { name, shape } = this.styleInput;
      tensors[name] = new Tensor(Float32Array.from(style), shape);
    }
    const answers = await this.compiled.run(signature, tensors);
    const values = await answers[output.name].data();
    const data = dequantized(values, output);
    for (const tensor of Object.values({ ...tensors, ...answers })) tensor.delete();
    const [, height, width, count] = output.shape;
    return { data, width, height, count };
  }
}

/**
 * Loads contract, runtime and model, and runs the model once, since a first
 * run is slower than the others.
 *
 * @returns {Promise<Segmentor>}
 * @throws {Error} a file is missing, or the model is not the contract's
 */
export async function loadSegmentor() {
  const contract = await (await fetchFile(CONTRACT)).json();
  const [content] = await Promise.all([
    fetchFile(contract.model).then((response) => response.arrayBuffer()),
    loadLiteRt(RUNTIME),
  ]);
  const isVerified = await verified(content, contract);
  const compiled = await loadAndCompile(new Uint8Array(content), {
    accelerator: "wasm",
  });
  const segmentor = new Segmentor(contract, compiled, isVerified);
  const { width, height } = segmentor.inputSize;
  await segmentor.segment(new Float32Array(width * height * 3));
  return segmentor;
}

/**
 * Checks the model's bytes against the hash in its contract.
 *
 * @returns {Promise<boolean>} false where the browser cannot hash: it does so
 *   only for pages that came by https or from this machine itself
 * @throws {Error} it is another model
 */
async function verified(content, contract) {
  if (!globalThis.crypto?.subtle) return false;
  const digest = await crypto.subtle.digest("SHA-256", content);
  const hexadecimal = Array.from(new Uint8Array(digest), (byte) =>
    byte.toString(16).padStart(2, "0"),
  ).join("");
  if (hexadecimal !== contract.sha256) {
    throw new Error(
      `${contract.model} is not the model that ${CONTRACT} describes (its ` +
        "SHA-256 differs); bundle the page again.",
    );
  }
  return true;
}

function inDtype(image, dtype) {
  if (dtype === "float32") return image;
  // The array rounds, and clips to 0..255.
  return new Uint8Array(Uint8ClampedArray.from(image).buffer);
}

/** Converts the model's output to probabilities. */
function dequantized(values, { dtype, scale, zero_point: zeroPoint }) {
  if (dtype === "float32") return Float32Array.from(values);
  return Float32Array.from(values, (value) => scale * (value - zeroPoint));
}
