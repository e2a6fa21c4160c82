/** Decodes pictures as the program does, and hands their pixels out. */

import { PictureError, refuseUnusable } from "./picture_header.js";

// Pixels read from a canvas at once: phones refuse a canvas of a whole
// photograph, and its copy would double the memory.
const STRIP_PIXELS = 1 << 20;
const PROBE_SIDE = 16;

/**
 * Opens a picture, upright as its camera held it.
 *
 * Color profiles are left aside, as in training, where they are not read.
 *
 * @param {File} file
 * @returns {Promise<ImageBitmap>} to be closed when it is done with
 * @throws {PictureError} it is no picture, damaged, too small or too large
 */
export async function openPicture(file) {
  await refuseUnusable(file);
  try {
    return await createImageBitmap(file, {
      imageOrientation: "from-image",
      colorSpaceConversion: "none",
    });
  } catch {
    throw new PictureError(
      `${file.name} is damaged or cut off; choose another picture.`,
    );
  }
}

/**
 * Yields a picture's pixels from top to bottom, a few rows at a time. What is
 * transparent lies over white.
 *
 * @param {ImageBitmap} bitmap
 * @yields {{rgba: Uint8ClampedArray, rows: number}}
 */
export function* strips(bitmap) {
  const { width, height } = bitmap;
  const rows = Math.min(height, Math.max(1, Math.floor(STRIP_PIXELS / width)));
  const context = readableContext(width, rows);
  for (let top = 0; top < height; top += rows) {
    const shown = Math.min(rows, height - top);
    context.fillRect(0, 0, width, shown);
    context.drawImage(bitmap, 0, top, width, shown, 0, 0, width, shown);
    const { data } = context.getImageData(0, 0, width, shown);
    yield { rgba: data, rows: shown };
  }
}

/**
 * Refuses a browser that gives pages altered pixels, as protection against
 * fingerprinting does: the outline would be wrong without a word.
 *
 * @throws {Error}
 */
export function refuseAlteredPixels() {
  const context = readableContext(PROBE_SIDE, PROBE_SIDE);
  const drawn = context.createImageData(PROBE_SIDE, PROBE_SIDE);
  drawn.data.forEach((_, i) => {
    drawn.data[i] = i % 4 === 3 ? 255 : (i * 37) % 256;
  });
  context.putImageData(drawn, 0, 0);
  const { data } = context.getImageData(0, 0, PROBE_SIDE, PROBE_SIDE);
  if (data.some((value, i) => value !== drawn.data[i])) {
    throw new Error(
      "This browser alters the pixels that pages read (protection against " +
        "fingerprinting). Allow this page to read canvas data, then reload it.",
    );
  }
}

function readableContext(width, height) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "white";
  return context;
}
