/** Writes ZIP archives, whose files are not compressed again. */

import { crc } from "./png.js";

const LOCAL_HEADER = 0x04034b50;
const CENTRAL_HEADER = 0x02014b50;
const END = 0x06054b50;
const VERSION = 20;
const UTF8_NAMES = 1 << 11;
// 1980-01-01, the earliest date: the same results give the same archive.
const DATE = 0x21;

/**
 * Writes an archive of less than 4 GB and 65,536 files.
 *
 * @param {{name: string, content: Blob}[]} files
 * @returns {Promise<Blob>}
 */
export async function toZip(files) {
  const parts = [];
  const directory = [];
  let offset = 0;
  for (const { name, content } of files) {
    const bytes = new Uint8Array(await content.arrayBuffer());
    const encoded = new TextEncoder().encode(name);
    const common = describe(encoded.length, bytes);
    const local = fields(LOCAL_HEADER, [[VERSION, 2], ...common]);
    parts.push(local, encoded, bytes);
    const place = [[0, 2], [0, 2], [0, 2], [0, 4], [offset, 4]];
    directory.push(
      fields(CENTRAL_HEADER, [[VERSION, 2], [VERSION, 2], ...common, ...place]),
      encoded,
    );
    offset += local.length + encoded.length + bytes.length;
  }
  const length = directory.reduce((sum, part) => sum + part.length, 0);
  const [count, none] = [[files.length, 2], [0, 2]];
  const end = fields(END, [none, none, count, count, [length, 4], [offset, 4], none]);
  return new Blob([...parts, ...directory, end], { type: "application/zip" });
}

/** Lists what both headers of a file say of it, as [value, bytes]. */
function describe(nameLength, bytes) {
  return [
    [UTF8_NAMES, 2],
    [0, 2], // stored
    [0, 2],
    [DATE, 2],
    [crc(bytes), 4],
    [bytes.length, 4],
    [bytes.length, 4],
    [nameLength, 2],
    [0, 2],
  ];
}

/** Encodes a signature, and values of so many bytes, little endian. */
function fields(signature, values) {
  const all = [[signature, 4], ...values];
  const bytes = new Uint8Array(all.reduce((sum, [, count]) => sum + count, 0));
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (const [value, count] of all) {
    if (count === 2) view.setUint16(at, value, true);
    else view.setUint32(at, value, true);
    at += count;
  }
  return bytes;
}
