"""Makes spoiled JPEG, PNG and BMP files from drawn images, from a seed."""

import io
import random
import struct
import zlib
from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image

from segan_tf.synthetic import lesions

_SIDES = (72, 56)
# Sizes for headers: none, too small, others than the file's, far too large.
_STATED_SIZES = (
    (0, 0),
    (1, 1),
    (15, 200),
    (56, 72),
    (73, 56),
    (700, 500),
    (4000, 3000),
    (10_000, 10_000),
    (65_535, 65_535),
    (2**31 - 1, 2),
)
_HEAD_BYTES = 64


def spoil(count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """Yields names, <number>_<kind>_<change>, and contents."""
    rng = random.Random(seed)
    kinds = encode_kinds(rng.randrange(1000))
    for i in range(count):
        kind = rng.choice(sorted(kinds))
        change = rng.choice(sorted(CHANGES))
        yield f"{i:04}_{kind}_{change}", CHANGES[change](kinds[kind], rng)


def encode_kinds(seed: int) -> dict[str, bytes]:
    """Encodes a drawn image in each kind of file that is read."""
    image = Image.fromarray(lesions.draw_lesion(seed, 0, size=_SIDES).image)
    gray = image.convert("L")
    transparent = image.copy()
    transparent.putalpha(gray)
    gray_16 = Image.fromarray(np.asarray(gray).astype(np.uint16) * 251)
    exif = Image.Exif()
    exif[0x0112] = 6
    palette = image.quantize(16)
    cmyk = image.convert("CMYK")
    return {
        "jpeg": _encode(image, "JPEG", quality=90),
        "jpeg_progressive": _encode(image, "JPEG", progressive=True),
        "jpeg_gray": _encode(gray, "JPEG"),
        "jpeg_cmyk": _encode(cmyk, "JPEG"),
        "jpeg_turned": _encode(image, "JPEG", exif=exif),
        "jpeg_restart": _encode(image, "JPEG", restart_marker_blocks=4),
        "png": _encode(image, "PNG"),
        "png_gray": _encode(gray, "PNG"),
        "png_transparent": _encode(transparent, "PNG"),
        "png_16": _encode(gray_16, "PNG"),
        "png_palette": _encode(palette, "PNG"),
        "png_transparent_color": _encode(palette, "PNG", transparency=3),
        "png_turned": _encode(image, "PNG", exif=exif),
        "png_bits": _encode(gray.convert("1"), "PNG"),
        "bmp": _encode(image, "BMP"),
        "bmp_32": _encode(transparent, "BMP"),
        "bmp_gray": _encode(gray, "BMP"),
    }


def jpeg_segments(content: bytes) -> tuple[list[bytes], bytes]:
    """Splits a JPEG file into what is before the scan, and the rest."""
    parts, at = [], 2
    while at + 4 <= len(content) and content[at + 1] != 0xDA:
        (length,) = struct.unpack_from(">H", content, at + 2)
        parts.append(content[at : at + 2 + length])
        at += 2 + length
    return parts, content[at:]


def png_chunks(content: bytes) -> list[bytes]:
    """Splits a PNG file into its chunks."""
    parts, at = [], 8
    while at + 8 <= len(content):
        (length,) = struct.unpack_from(">I", content, at)
        parts.append(content[at : at + 12 + length])
        at += 12 + length
    return parts


def with_stated_size(content: bytes, width: int, height: int) -> bytes:
    """Changes the size in the header, with its checksum."""
    changed = bytearray(content)
    if content.startswith(b"BM"):
        struct.pack_into("<ii", changed, 18, width, height)
    elif content.startswith(b"\x89PNG"):
        struct.pack_into(">II", changed, 16, width, height)
        struct.pack_into(">I", changed, 29, zlib.crc32(changed[12:29]))
    else:
        parts, _ = jpeg_segments(content)
        at = 2
        for part in parts:
            if 0xC0 <= part[1] <= 0xC2:
                struct.pack_into(
                    ">HH", changed, at + 5, height & 0xFFFF, width & 0xFFFF
                )
            at += len(part)
    return bytes(changed)


def _encode(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format=kind, **options)
    return stream.getvalue()


def _flip_bits(count: int, last: int | None = None) -> "Change":
    def change(content: bytes, rng: random.Random) -> bytes:
        changed = bytearray(content)
        for _ in range(count):
            at = rng.randrange(min(len(changed), last or len(changed)))
            changed[at] ^= 1 << rng.randrange(8)
        return bytes(changed)

    return change


def _cut(content: bytes, rng: random.Random) -> bytes:
    return content[: rng.randrange(len(content))]


def _cut_end(content: bytes, rng: random.Random) -> bytes:
    return content[: -rng.choice((1, 2, 4, 12, 50))]


def _edit_head(content: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(_HEAD_BYTES)
    value = rng.choice((bytes(4), b"\xff" * 4, b"\x7f\xff\xff\xff"))
    return content[:at] + value + content[at + 4 :]


def _state_size(content: bytes, rng: random.Random) -> bytes:
    return with_stated_size(content, *rng.choice(_STATED_SIZES))


def _edit_parts(
    edit: Callable[[list[bytes], random.Random], None],
) -> "Change":
    def change(content: bytes, rng: random.Random) -> bytes:
        if content.startswith(b"\x89PNG"):
            parts = png_chunks(content)
            edit(parts, rng)
            return content[:8] + b"".join(parts)
        if content.startswith(b"BM"):
            parts = [content[:14], content[14:54], content[54:]]
            edit(parts, rng)
            return b"".join(parts)
        parts, rest = jpeg_segments(content)
        edit(parts, rng)
        return content[:2] + b"".join(parts) + rest

    return change


def _drop(parts: list[bytes], rng: random.Random) -> None:
    parts.pop(rng.randrange(len(parts)))


def _repeat(parts: list[bytes], rng: random.Random) -> None:
    parts.insert(rng.randrange(len(parts)), rng.choice(parts))


def _swap(parts: list[bytes], rng: random.Random) -> None:
    rng.shuffle(parts)


def _insert(content: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(content))
    return content[:at] + rng.randbytes(rng.randrange(1, 40)) + content[at:]


def _overwrite(content: bytes, rng: random.Random) -> bytes:
    at, count = rng.randrange(len(content)), rng.randrange(1, 300)
    return (content[:at] + rng.randbytes(count) + content[at + count :])[
        : len(content)
    ]


def _append(content: bytes, rng: random.Random) -> bytes:
    return content + rng.randbytes(rng.randrange(1, 2000))


def _invent(content: bytes, rng: random.Random) -> bytes:
    return content[: rng.choice((2, 8, 30))] + rng.randbytes(500)


Change = Callable[[bytes, random.Random], bytes]
CHANGES: dict[str, Change] = {
    "flip_1": _flip_bits(1),
    "flip_20": _flip_bits(20),
    "flip_head": _flip_bits(3, _HEAD_BYTES),
    "cut": _cut,
    "cut_end": _cut_end,
    "edit_head": _edit_head,
    "state_size": _state_size,
    "drop": _edit_parts(_drop),
    "repeat": _edit_parts(_repeat),
    "swap": _edit_parts(_swap),
    "insert": _insert,
    "overwrite": _overwrite,
    "append": _append,
    "invent": _invent,
}
