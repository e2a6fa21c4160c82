/** Decodes images as the program does, or says why it does not. */

import { ImageError, checkFile, cutOff } from "./image_header.js";
import { isCutJpeg } from "./jpeg_end.js";
import { readableContext, strips } from "./strips.js";

const PROBE_SIDE = 16;
// Of 255: a quarter of the range.
const FAINT = 64;

/**
 * Opens an image, turned upright by its EXIF orientation.
 *
 * Color profiles are ignored, as in training.
 *
 * @param {File} file
 * @returns {Promise<ImageBitmap>} to be closed by the caller
 * @throws {ImageError} it is no image, damaged, too small or too large, or
 *   nothing of it would be seen
 */
export async function openImage(file) {
  const header = await checkFile(file);
  const bitmap = await decode(file).catch(() => {
    throw cutOff(file);
  });
  try {
    if (header.isJpeg && (await isCutJpeg(file, bitmap, decode))) {
      throw cutOff(file);
    }
    checkVisible(file.name, bitmap, header);
    return bitmap;
  } catch (error) {
    bitmap.close();
    throw error;
  }
}

/** Decodes a file, without its color profile. */
function decode(blob) {
  return createImageBitmap(blob, {
    imageOrientation: "from-image",
    colorSpaceConversion: "none",
  });
}

/** Checks what training checks; see segan_tf/imaging/rgb.py. */
function checkVisible(name, bitmap, { has16Bits, hasAlpha }) {
  if (hasAlpha && isTransparent(bitmap)) {
    throw new ImageError(
      `${name} is fully transparent; save it without its alpha channel.`,
    );
  }
  if (has16Bits && brightest(bitmap) < FAINT) {
    throw new ImageError(
      `${name} uses few of its 16 bits and would be nearly black; save it ` +
        "with 8 bits.",
    );
  }
}

function isTransparent(bitmap) {
  for (const { rgba } of strips(bitmap, "transparent")) {
    for (let i = 3; i < rgba.length; i += 4) if (rgba[i]) return false;
  }
  return true;
}

function brightest(bitmap) {
  let most = 0;
  for (const { rgba } of strips(bitmap)) {
    for (let i = 0; i < rgba.length; i += 1) {
      if (i % 4 !== 3 && rgba[i] > most) most = rgba[i];
    }
  }
  return most;
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
