/** Reads the pixels of images, a few rows at a time. */

// Pixels read from a canvas at once: phones do not allow a canvas of a whole
// photograph, and its copy would double the memory.
const STRIP_PIXELS = 1 << 20;

/**
 * Yields an image's pixels from top to bottom, a few rows at a time, over a
 * background where it is transparent.
 *
 * @param {ImageBitmap} bitmap
 * @param {string} background a color
 * @yields {{rgba: Uint8ClampedArray, rows: number}}
 */
export function* strips(bitmap, background = "white") {
  const { width, height } = bitmap;
  const rows = Math.min(height, Math.max(1, Math.floor(STRIP_PIXELS / width)));
  const context = readableContext(width, rows);
  context.fillStyle = background;
  for (let top = 0; top < height; top += rows) {
    const shown = Math.min(rows, height - top);
    context.clearRect(0, 0, width, shown);
    context.fillRect(0, 0, width, shown);
    context.drawImage(bitmap, 0, top, width, shown, 0, 0, width, shown);
    const { data } = context.getImageData(0, 0, width, shown);
    yield { rgba: data, rows: shown };
  }
}

/** Makes a canvas whose pixels are read. */
export function readableContext(width, height) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  return canvas.getContext("2d", { willReadFrequently: true });
}
