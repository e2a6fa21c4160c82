/** Checks a file by its first bytes, before any of it is decoded. */

import { crc } from "./png.js";

// The limits of segan_tf/imaging/size_limits.py, which gives the reasons.
const MAX_PIXELS = 100_000_000;
const MIN_SIDE = 16;
// A JPEG of that many pixels has about 50 MB, a PNG rarely more than 200.
const MAX_BYTES = 200_000_000;

const PNG_SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
const BMP_SIGNATURE = [0x42, 0x4d];
const JPEG_SIGNATURE = [0xff, 0xd8];
// The header of BMP's first version has 16-bit sides.
const BMP_OLD_HEADER_BYTES = 12;
const BMP_HEADER_BYTES = [BMP_OLD_HEADER_BYTES, 40, 52, 56, 64, 108, 124];
const BMP_FIRST_BYTES = 14;
// Cameras write about ten segments; a file of fill bytes would never end.
const MAX_JPEG_SEGMENTS = 500;
const JPEG_START_OF_SCAN = 0xda;
const FRAME_BYTES = 22;
// The bits that a block of 8x8 values has at least, by its frame; see
// segan_tf/imaging/completeness.py.
const LEAST_BITS = { 0xc0: 2, 0xc1: 2, 0xc2: 1 };
const BLOCK = 8;
const MAX_COMPONENTS = 4;
const MAX_PNG_CHUNKS = 500;
// In a PNG, color types with an alpha channel have this bit.
const ALPHA_BIT = 4;
const MAX_PALETTE_BITS = 8;

/** An image that cannot be used; the message is one sentence for the user. */
export class ImageError extends Error {}

/**
 * Checks that a file is an image, and neither too small nor too large.
 *
 * @param {File} file
 * @returns {Promise<{width: number, height: number, isJpeg: boolean,
 *   has16Bits: boolean, hasAlpha: boolean}>} what its header states; `hasAlpha`
 *   if some of it may be transparent
 * @throws {ImageError}
 */
export async function checkFile(file) {
  if (file.size === 0) {
    throw new ImageError(`${file.name} is empty; choose another image.`);
  }
  if (file.size > MAX_BYTES) {
    throw new ImageError(
      `${file.name} has ${megabytes(file.size)} MB; at most ` +
        `${megabytes(MAX_BYTES)} MB are read. Save it smaller, as JPEG.`,
    );
  }
  const header = await readHeader(file);
  if (!header || !(header.width > 0 && header.height > 0)) {
    throw new ImageError(
      `${file.name} is not a JPEG, PNG or BMP image, or its beginning is ` +
        "damaged; choose another file.",
    );
  }
  checkSize(file.name, header);
  if (header.isDamaged || header.leastBits > 8 * file.size) throw cutOff(file);
  return { isJpeg: false, has16Bits: false, hasAlpha: false, ...header };
}

/** Makes the error of a file whose pixels are not all there. */
export function cutOff(file) {
  return new ImageError(
    `${file.name} is damaged or cut off; choose another image.`,
  );
}

function checkSize(name, { width, height }) {
  const stated = `${name} is ${width} x ${height} pixels`;
  if (width * height > MAX_PIXELS) {
    throw new ImageError(
      `${stated}; at most ${MAX_PIXELS.toLocaleString("en")} pixels are ` +
        "read. Make it smaller first.",
    );
  }
  if (Math.min(width, height) < MIN_SIDE) {
    throw new ImageError(
      `${stated}; at least ${MIN_SIDE} a side are needed. Choose a larger one.`,
    );
  }
}

/** Reads what a file's header states; null if it has none. */
async function readHeader(file) {
  const start = await bytesAt(file, 0, 32);
  try {
    if (begins(start, PNG_SIGNATURE)) return await readPng(file, start);
    if (begins(start, BMP_SIGNATURE)) return readBmp(await bytesAt(file, 0, 54));
    if (begins(start, JPEG_SIGNATURE)) return await readJpeg(file);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error; // the file ends too soon
  }
  return null;
}

async function readPng(file, start) {
  const [width, height] = [start.getUint32(16), start.getUint32(20)];
  const kinds = await pngChunksBeforePixels(file);
  return {
    width,
    height,
    isDamaged: !kinds,
    has16Bits: start.getUint8(24) === 16,
    hasAlpha: Boolean(start.getUint8(25) & ALPHA_BIT) || kinds?.includes("tRNS"),
  };
}

/** Lists the chunks before the pixels; null if one is damaged or none follow. */
async function pngChunksBeforePixels(file) {
  const kinds = [];
  let offset = PNG_SIGNATURE.length;
  while (kinds.length < MAX_PNG_CHUNKS && offset + 8 <= file.size) {
    const head = await bytesAt(file, offset, 8);
    const length = head.getUint32(0);
    const kind = String.fromCharCode(...new Uint8Array(head.buffer, 4));
    if (kind === "IDAT") return kinds;
    const end = offset + 8 + length;
    if (end + 4 > file.size) return null;
    const checked = await file.slice(offset + 4, end).arrayBuffer();
    const stated = (await bytesAt(file, end, 4)).getUint32(0);
    if (crc(new Uint8Array(checked)) !== stated) return null;
    kinds.push(kind);
    offset = end + 4;
  }
  return null;
}

function readBmp(start) {
  const pixelsAt = start.getUint32(10, true);
  const headerBytes = start.getUint32(14, true);
  const isOld = headerBytes === BMP_OLD_HEADER_BYTES;
  const bits = start.getUint16(isOld ? 24 : 28, true);
  const stated = isOld ? 0 : start.getUint32(46, true);
  const colors = bits > MAX_PALETTE_BITS ? 0 : stated || 2 ** bits;
  const paletteBytes = colors * (isOld ? 3 : 4);
  // What else may be in its place, browsers and the program read differently.
  if (
    !BMP_HEADER_BYTES.includes(headerBytes) ||
    colors > 2 ** MAX_PALETTE_BITS ||
    pixelsAt < BMP_FIRST_BYTES + headerBytes + paletteBytes
  ) {
    return null;
  }
  if (isOld) {
    return { width: start.getUint16(18, true), height: start.getUint16(20, true) };
  }
  // A negative height says that the rows run from the top.
  const height = Math.abs(start.getInt32(22, true));
  return { width: start.getInt32(18, true), height, hasAlpha: true };
}

async function readJpeg(file) {
  let offset = JPEG_SIGNATURE.length;
  for (let segment = 0; segment < MAX_JPEG_SEGMENTS; segment += 1) {
    const head = await bytesAt(file, offset, FRAME_BYTES);
    const marker = head.getUint8(1);
    if (head.getUint8(0) !== 0xff || marker === JPEG_START_OF_SCAN) return null;
    if (isFrame(marker)) {
      const [width, height] = [head.getUint16(7), head.getUint16(5)];
      const leastBits = countLeastBits(head, { width, height });
      return { width, height, leastBits, isJpeg: true };
    }
    // A second 0xff is a fill byte; the segment's length counts itself.
    offset += marker === 0xff ? 1 : 2 + head.getUint16(2);
  }
  return null;
}

/** Counts the bits that a frame's pixels have at least. */
function countLeastBits(frame, { width, height }) {
  const count = Math.min(frame.getUint8(9), MAX_COMPONENTS);
  const factors = Array.from({ length: count }, (_, i) => {
    const sampling = frame.getUint8(11 + 3 * i);
    return { across: sampling >> 4, down: sampling & 15 };
  });
  const across = Math.max(...factors.map((factor) => factor.across));
  const down = Math.max(...factors.map((factor) => factor.down));
  const blocks = factors.map(
    (factor) =>
      Math.ceil((width * factor.across) / (BLOCK * across)) *
      Math.ceil((height * factor.down) / (BLOCK * down)),
  );
  const least = LEAST_BITS[frame.getUint8(1)] ?? 0;
  return least * blocks.reduce((total, number) => total + number, 0);
}

/** Tells SOF0 to SOF15 from the tables and extensions between them. */
function isFrame(marker) {
  return marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);
}

function begins(view, signature) {
  return (
    view.byteLength >= signature.length &&
    signature.every((byte, i) => view.getUint8(i) === byte)
  );
}

async function bytesAt(file, offset, length) {
  return new DataView(await file.slice(offset, offset + length).arrayBuffer());
}

function megabytes(bytes) {
  return Math.round(bytes / 1e6);
}
