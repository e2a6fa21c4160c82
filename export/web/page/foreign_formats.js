/** Names files that are no JPEG, PNG or BMP, by their first bytes. */

const HEIC_BRANDS = ["heic", "heix", "heim", "heis", "hevc", "hevx", "mif1", "msf1"];
const AVIF_BRANDS = ["avif", "avis"];

const AS_JPEG = "save it as JPEG or PNG first.";
const HEIC_REMEDY =
  "which browsers do not read. On an iPhone, share it as JPEG, or choose " +
  "Settings > Camera > Formats > Most Compatible; elsewhere " + AS_JPEG;

/**
 * Says what a file is, and what to do.
 *
 * @param {DataView} start the first bytes, 132 or more if the file has them
 * @returns {string} such as "a PDF document; ..."; "" if it is not known
 */
export function nameForeignFormat(start) {
  const text = (at, length) => {
    if (at + length > start.byteLength) return "";
    return String.fromCharCode(...new Uint8Array(start.buffer, at, length));
  };
  const brand = text(4, 4) === "ftyp" ? text(8, 4) : "";
  if (HEIC_BRANDS.includes(brand)) return `a HEIC photo, ${HEIC_REMEDY}`;
  if (AVIF_BRANDS.includes(brand)) return `an AVIF image; ${AS_JPEG}`;
  if (brand) return "a video or audio file; take a single photo instead.";
  if (text(128, 4) === "DICM") {
    return "a DICOM file; save its image as PNG first.";
  }
  if (text(0, 4) === "RIFF" && text(8, 4) === "WEBP") return `a WebP image; ${AS_JPEG}`;
  if (["II*\0", "MM\0*"].includes(text(0, 4))) return `a TIFF or raw image; ${AS_JPEG}`;
  if (text(0, 4) === "GIF8") return `a GIF image; ${AS_JPEG}`;
  if (text(0, 4) === "%PDF") return "a PDF document; save its image as JPEG or PNG first.";
  if (text(0, 4) === "PK\u0003\u0004") {
    return "a ZIP archive or an office document; unpack its images first.";
  }
  return "";
}
