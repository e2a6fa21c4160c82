/**
 * Finds JPEG images that hold fewer pixels than their header says. Decoders fill
 * up the rest and say nothing; see segan_tf/imaging/completeness.py.
 */

import { readableContext, strips } from "./strips.js";

const BLOCK = 8;
const MARKER = 0xff;
const START_OF_SCAN = 0xda;
const FIRST_RESTART = 0xd0;
const RESTARTS = 8; // numbers of restart markers
const MORE_DATA = new Uint8Array(16).fill(0x55);

/**
 * Tells whether more data at the end of the first scan change the image; they
 * are left over after a complete scan.
 *
 * @param {File} file
 * @param {ImageBitmap} bitmap what it is decoded to
 * @param {function(Blob): Promise<ImageBitmap>} decode
 * @returns {Promise<boolean>}
 */
export async function isCutJpeg(file, bitmap, decode) {
  if (!corners(bitmap).some(isPlain)) return false;
  let longer;
  try {
    longer = await decode(lengthened(new Uint8Array(await file.arrayBuffer())));
  } catch {
    return true;
  }
  try {
    return isDifferent(bitmap, longer);
  } finally {
    longer.close();
  }
}

function isDifferent(first, second) {
  const others = strips(second);
  for (const { rgba } of strips(first)) {
    const other = others.next().value.rgba;
    if (rgba.some((value, i) => value !== other[i])) return true;
  }
  return false;
}

/** Reads the corners; the image's end is one of them, since it was turned. */
function corners(bitmap) {
  const [right, bottom] = [bitmap.width - BLOCK, bitmap.height - BLOCK];
  const context = readableContext(BLOCK, BLOCK);
  return [[0, 0], [right, 0], [0, bottom], [right, bottom]].map(([left, top]) => {
    context.drawImage(bitmap, -left, -top);
    return context.getImageData(0, 0, BLOCK, BLOCK).data;
  });
}

/** Tells whether all pixels are equal, as they are where nothing was decoded. */
function isPlain(rgba) {
  return rgba.every((value, i) => value === rgba[i % 4]);
}

/** Adds data at the end of the first scan, some of them after a restart. */
function lengthened(bytes) {
  let at = startOfScan(bytes);
  let restarts = 0;
  for (; at < bytes.length - 1; at += 1) {
    const next = bytes[at + 1];
    if (bytes[at] !== MARKER || next === 0 || next === MARKER) continue;
    if (next < FIRST_RESTART || next >= FIRST_RESTART + RESTARTS) break;
    restarts += 1;
  }
  const restart = Uint8Array.of(MARKER, FIRST_RESTART + (restarts % RESTARTS));
  const [before, after] = [bytes.subarray(0, at), bytes.subarray(at)];
  return new Blob([before, MORE_DATA, restart, MORE_DATA, after]);
}

function startOfScan(bytes) {
  let at = 2;
  while (at < bytes.length - 3 && bytes[at] === MARKER && !isScan(bytes, at)) {
    const length = bytes[at + 2] * 256 + bytes[at + 3];
    at += bytes[at + 1] === MARKER ? 1 : 2 + length;
  }
  while (at < bytes.length && !isScan(bytes, at)) at += 1; // behind damage
  return at + 2;
}

function isScan(bytes, at) {
  return bytes[at] === MARKER && bytes[at + 1] === START_OF_SCAN;
}
