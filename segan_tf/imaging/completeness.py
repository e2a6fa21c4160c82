"""Finds image files that hold less than the size in their header claims.

Decoders fill up what is missing and say nothing: libjpeg with mid-gray, Pillow
with zeros. So a file of a few kilobytes could be read as a large image. Nor
does Pillow compare the checksum of a PNG's pixels.
"""

import io
import os
import re
import struct
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import Image

# What libjpeg, of inks less than 255, and Pillow's PNG decoder fill up with.
_JPEG_FILLING = 128
_CMYK_FILLING = 127
_PNG_FILLING = 0
_PNG_PIXELS = b"IDAT"
# A scan's data end at a marker that neither restarts nor escapes.
_END_OF_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_START_OF_SCAN = b"\xff\xda"
# Markers that no length follows, and that of the scan.
_WITHOUT_SEGMENT = (0x01, *range(0xD0, 0xDB))
_RESTART = re.compile(rb"\xff[\xd0-\xd7]")
_FIRST_RESTART = 0xD0
_MORE_DATA = b"\x55" * 16
# JPEG frames with Huffman codes, and the fewest bits of one of their blocks: a
# code for its mean and, in one scan, another for the end of the block.
_LEAST_BITS = {0xC0: 2, 0xC1: 2, 0xC2: 1}
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of a PNG, by its color type
# Columns and rows of Adam7's passes: start, step, start, step.
_ADAM7 = (
    (0, 8, 0, 8),
    (4, 8, 0, 8),
    (0, 4, 4, 8),
    (2, 4, 0, 4),
    (0, 2, 2, 4),
    (1, 2, 0, 2),
    (0, 1, 1, 2),
)
_CHUNK_BYTES = 1 << 20


def is_too_short(data: bytes, length: int) -> bool:
    """Tells from its header whether a JPEG is shorter than its size allows.

    Each block of 8x8 values takes a bit at least.

    Args:
      data: the beginning of the file.
      length: of the file, in bytes.
    """
    frame = _find_frame(data)
    if frame is None:
        return False
    bits_per_block, blocks = frame
    return length * 8 < bits_per_block * blocks


def is_filled_up(path: str | os.PathLike[str], image: Image.Image) -> bool:
    """Tells whether a decoder filled up the lower end of an image.

    Only an image that ends as a filled one does is read a second time.

    Args:
      path: of the file.
      image: decoded, as stored: not turned upright.
    """
    width, height = image.size
    if image.format == "PNG":
        corner, filling, is_cut = (0, height - 1), _PNG_FILLING, _is_cut_png
    elif image.format in ("JPEG", "MPO"):
        corner = (width - 8, height - 8)
        filling = _CMYK_FILLING if image.mode == "CMYK" else _JPEG_FILLING
        is_cut = _is_cut_jpeg
    else:
        return False
    end = image.crop((*corner, width, height))
    if np.any(np.asarray(end) != filling):
        return False
    with open(path, "rb") as file:
        return is_cut(file.read())


def has_wrong_checksum(path: str | os.PathLike[str]) -> bool:
    """Tells whether the pixels of a PNG are not those that were written.

    Of a file whose end was never copied, and is zeros, Pillow shows whatever
    the zeros unpack to.
    """
    with open(path, "rb") as file:
        return any(
            zlib.crc32(content, zlib.crc32(kind)) != checksum
            for kind, content, checksum in _png_chunks(file.read())
            if kind == _PNG_PIXELS
        )


def _find_frame(data: bytes) -> tuple[int, int] | None:
    """Reads the least bits of a block and the number of blocks of a JPEG."""
    for marker, segment in _segments(data):
        if marker in _LEAST_BITS and len(segment) >= 6:
            height, width, count = struct.unpack(">HHB", segment[1:6])
            sampling = [s for s in segment[7 : 6 + 3 * count : 3] if s]
            factors = [(s >> 4, s & 15) for s in sampling]
            if not factors or not all(min(f) for f in factors):
                return None
            most_h, most_v = (max(f[i] for f in factors) for i in (0, 1))
            blocks = sum(
                -(-width * h // (8 * most_h)) * -(-height * v // (8 * most_v))
                for h, v in factors
            )
            return _LEAST_BITS[marker], blocks
    return None


def _segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yields the markers before a JPEG's first scan with their content.

    It ends earlier where other bytes are between them.
    """
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        if marker in _WITHOUT_SEGMENT:
            return
        (length,) = struct.unpack(">H", data[at + 2 : at + 4])
        yield marker, data[at + 4 : at + 2 + length]
        at += 2 + length


def _is_cut_jpeg(data: bytes) -> bool:
    """Tells whether more data at the end of the first scan change the image.

    They are left over after a complete scan.
    """
    start = 2
    for _, segment in _segments(data):
        start += 4 + len(segment)
    start = data.find(_START_OF_SCAN, start)
    end = _END_OF_SCAN.search(data, start + 2) if start >= 0 else None
    if end is None:
        return False
    # Data are read after the next restart only, where the image has restarts.
    restarts = len(_RESTART.findall(data, start, end.start()))
    more = bytes((0xFF, _FIRST_RESTART + restarts % 8)) + _MORE_DATA
    longer = data[: end.start()] + _MORE_DATA + more + data[end.start() :]
    return _decode(longer) != _decode(data)


def _decode(data: bytes) -> bytes:
    try:
        with Image.open(io.BytesIO(data)) as image:
            return image.tobytes()
    except OSError:
        return b""


def _is_cut_png(data: bytes) -> bool:
    """Tells whether a PNG's pixels are fewer than its header says."""
    width, height, depth, color, _, _, interlaced = struct.unpack(
        ">IIBBBBB", data[16:29]
    )
    bits = depth * _CHANNELS[color]
    passes = _ADAM7 if interlaced else ((0, 1, 0, 1),)
    needed = 0
    for left, across, top, down in passes:
        columns = len(range(left, width, across))
        if columns:
            rows = len(range(top, height, down))
            needed += rows * (1 + -(-columns * bits // 8))
    return _count_unpacked(data, needed) < needed


def _count_unpacked(data: bytes, most: int) -> int:
    """Counts the bytes that a PNG's pixels unpack to, up to about most."""
    unpacker = zlib.decompressobj()
    count = 0
    for kind, waiting, _ in _png_chunks(data):
        if kind == _PNG_PIXELS:
            while waiting and count < most:
                count += len(unpacker.decompress(waiting, _CHUNK_BYTES))
                waiting = unpacker.unconsumed_tail
    return count


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes, int]]:
    """Yields the kind, content and checksum of a PNG's chunks.

    Of a file that ends within a chunk the content is shorter; its checksum is
    then -1.
    """
    at, kind = 8, b""
    while at + 8 <= len(data) and kind != b"IEND":
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        end = at + 8 + length
        written = data[end : end + 4]
        checksum = int.from_bytes(written, "big") if len(written) == 4 else -1
        yield kind, data[at + 8 : end], checksum
        at = end + 4
