/** Checks a file by its first bytes, before any of it is decoded. */

// The limits of segan_tf/imaging/images.py, which gives the reasons.
const MAX_PIXELS = 100_000_000;
const MIN_SIDE = 16;
// A JPEG of that many pixels has about 50 MB, a PNG rarely more than 200.
const MAX_BYTES = 200_000_000;

const PNG_SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
const BMP_SIGNATURE = [0x42, 0x4d];
const JPEG_SIGNATURE = [0xff, 0xd8];
// The header of BMP's first version has 16-bit sides.
const BMP_OLD_HEADER_BYTES = 12;
// Cameras write about ten segments; a file of fill bytes would never end.
const MAX_JPEG_SEGMENTS = 500;
const JPEG_START_OF_SCAN = 0xda;

/** An image that cannot be used; the message is one sentence for the user. */
export class ImageError extends Error {}

/**
 * Checks that a file is an image, and neither too small nor too large.
 *
 * @param {File} file
 * @returns {Promise<void>}
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
  const size = await statedSize(file);
  if (!size || !(size.width > 0 && size.height > 0)) {
    throw new ImageError(
      `${file.name} is not a JPEG, PNG or BMP image, or its beginning is ` +
        "damaged; choose another file.",
    );
  }
  checkSize(file.name, size);
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

/** Reads the size that a file's header states; null if it has none. */
async function statedSize(file) {
  const start = await bytesAt(file, 0, 32);
  try {
    if (begins(start, PNG_SIGNATURE)) {
      return { width: start.getUint32(16), height: start.getUint32(20) };
    }
    if (begins(start, BMP_SIGNATURE)) return bmpSize(start);
    if (begins(start, JPEG_SIGNATURE)) return await jpegSize(file);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error; // the file ends too soon
  }
  return null;
}

function bmpSize(start) {
  if (start.getUint32(14, true) === BMP_OLD_HEADER_BYTES) {
    return { width: start.getUint16(18, true), height: start.getUint16(20, true) };
  }
  // A negative height says that the rows run from the top.
  const height = Math.abs(start.getInt32(22, true));
  return { width: start.getInt32(18, true), height };
}

async function jpegSize(file) {
  let offset = JPEG_SIGNATURE.length;
  for (let segment = 0; segment < MAX_JPEG_SEGMENTS; segment += 1) {
    const head = await bytesAt(file, offset, 9);
    const marker = head.getUint8(1);
    if (head.getUint8(0) !== 0xff || marker === JPEG_START_OF_SCAN) return null;
    if (isFrame(marker)) {
      return { width: head.getUint16(7), height: head.getUint16(5) };
    }
    // A second 0xff is a fill byte; the segment's length counts itself.
    offset += marker === 0xff ? 1 : 2 + head.getUint16(2);
  }
  return null;
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
