/** Encodes label maps as PNG, one byte a pixel, of any size. */

const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
const GRAY = 0;
const PALETTE = 3;
const CRC_POLYNOMIAL = 0xedb88320;

/**
 * Encodes a map of one label: 0 and 255.
 *
 * @param {Uint8Array} labelMap [height, width], not 0 where the label holds
 * @param {{width: number, height: number}} size
 * @returns {Promise<Blob>}
 */
export function encodeTwoValued(labelMap, size) {
  return encode(labelMap.map((number) => (number ? 255 : 0)), size, GRAY, []);
}

/**
 * Encodes a map of several labels: their numbers, shown in their colors.
 *
 * @param {Uint8Array} labelMap [height, width], the numbers of the labels
 * @param {{width: number, height: number}} size
 * @param {number[][]} colors RGB of the labels, from number 1
 * @returns {Promise<Blob>}
 */
export function encodeNumbers(labelMap, size, colors) {
  const palette = chunk("PLTE", Uint8Array.from([[0, 0, 0], ...colors].flat()));
  return encode(labelMap, size, PALETTE, [palette]);
}

async function encode(pixels, { width, height }, colorType, extraChunks) {
  const header = new DataView(new ArrayBuffer(13));
  header.setUint32(0, width);
  header.setUint32(4, height);
  header.setUint8(8, 8); // bits a pixel
  header.setUint8(9, colorType);
  const parts = [
    Uint8Array.from(SIGNATURE),
    chunk("IHDR", new Uint8Array(header.buffer)),
    ...extraChunks,
    chunk("IDAT", await compressed(filtered(pixels, width, height))),
    chunk("IEND", new Uint8Array()),
  ];
  return new Blob(parts, { type: "image/png" });
}

/** Puts PNG's filter number before each row: 0, unfiltered. */
function filtered(pixels, width, height) {
  const rows = new Uint8Array(height * (width + 1));
  for (let y = 0; y < height; y += 1) {
    rows.set(pixels.subarray(y * width, (y + 1) * width), y * (width + 1) + 1);
  }
  return rows;
}

/** Compresses in zlib's format, which the browser calls "deflate". */
async function compressed(bytes) {
  const stream = new Blob([bytes])
    .stream()
    .pipeThrough(new CompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

function chunk(name, content) {
  const bytes = new Uint8Array(content.length + 12);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, content.length);
  bytes.set(Array.from(name, (letter) => letter.charCodeAt(0)), 4);
  bytes.set(content, 8);
  view.setUint32(content.length + 8, crc(bytes.subarray(4, content.length + 8)));
  return bytes;
}

/** Computes the checksum of a chunk's name and content. */
export function crc(bytes) {
  let rest = 0xffffffff;
  for (const byte of bytes) {
    rest ^= byte;
    for (let bit = 0; bit < 8; bit += 1) {
      rest = rest & 1 ? (rest >>> 1) ^ CRC_POLYNOMIAL : rest >>> 1;
    }
  }
  return ~rest >>> 0;
}
