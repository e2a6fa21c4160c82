/** Decodes images as the program does, and yields their pixels. */

import { ImageError, checkFile } from "./image_header.js";

// Pixels read from a canvas at once: phones do not allow a canvas of a whole
// photograph, and its copy would double the memory.
const STRIP_PIXELS = 1 << 20;
const PROBE_SIDE = 16;

/**
 * Opens an image, turned upright by its EXIF orientation.
 *
 * Color profiles are ignored, as in training.
 *
 * @param {File} file
 * @returns {Promise<ImageBitmap>} to be closed by the caller
 * @throws {ImageError} it is no image, damaged, too small or too large
 */
export async function openImage(file) {
  await checkFile(file);
  try {
    return await createImageBitmap(file, {
      imageOrientation: "from-image",
      colorSpaceConversion: "none",
    });
  } catch {
    throw new ImageError(
      `${file.name} is damaged or cut off; choose another image.`,
    );
  }
}

/**
 * Yields an image's pixels from top to bottom, a few rows at a time, over white
 * where it is transparent.
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
 * Checks that the browser gives pages exact pixels. Protection against
 * fingerprinting alters them, and the outline would be silently wrong.
 *
 * @throws {Error}
 */
export function requireExactPixels() {
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
