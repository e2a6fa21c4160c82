"""Reads the headers of image files inside a graph.

TensorFlow's decoders skip what Pillow, which reads the images for training,
uses: orientation, the color order of a BMP image, the absence of Adobe's
marker. The headers tell whether both read the same pixels.
"""

from typing import NamedTuple

import tensorflow as tf

# Cameras write about ten segments or chunks; a file of fill bytes would never
# end.
_MAX_PARTS = 1000
# The pixels that a byte of a PNG file can hold at most: zlib's best ratio, for
# one bit per pixel.
_PNG_PIXELS_PER_BYTE = 1032 * 8
_EXIF_NAME = b"Exif\0\0"
_ADOBE_NAME = b"Adobe"

# JPEG (ITU T.81): two bytes of marker, two of length, then the content.
_MARKER = 0xFF
_FIRST_SEGMENT = 2  # after the marker that starts an image
_CONTENT = 4
_EXIF_MARKER = 0xE1
_ADOBE_MARKER = 0xEE
_SCAN_MARKER = 0xDA
_FRAMES = (*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC))
# Everything else that has a length and may come before the pixels.
_OTHERS = (0xC4, 0xCC, 0xDB, 0xDD, *range(0xE0, 0xF0), 0xFE)
# The bits that a block of 8x8 values has at least, by its frame; see
# segan_tf.imaging.completeness.
_LEAST_BITS = {0xC0: 2, 0xC1: 2, 0xC2: 1}
_BLOCK = 8
_MAX_COMPONENTS = 4
_SAMPLING = 11  # of the first component in a frame; the next 3 bytes later
_SEGMENT_HEAD_BYTES = 22
_ADOBE_BYTES = 14  # an Adobe segment is no shorter, without its marker

# PNG: chunks of a length, a type, the content and a checksum.
_FIRST_CHUNK = 8
_PNG_WIDTH = 16
_PNG_HEIGHT = 20
_PNG_DEPTH = 24
_PNG_COLOR = 25
_PNG_GRAY = 0
_CHUNK_HEAD_BYTES = 8
_CHUNK_EXTRA_BYTES = 12
_MAX_CHECKED_BYTES = 1 << 16
# PNG, annex D: the remainder that each byte leaves.
_CRC_POLYNOMIAL = 0xEDB88320
_CRC_ONES = 0xFFFFFFFF

# BMP: little-endian, BITMAPINFOHEADER from 14 on; masks follow it in a file
# of the first version and are part of it in later ones.
_BMP_PIXELS_AT = 10
_BMP_HEADER_SIZE = 14
_BMP_WIDTH = 18
_BMP_HEIGHT = 22
_BMP_PIXEL_BITS = 28
_BMP_COMPRESSION = 30
_BMP_MASKS = 54
_BMP_ALPHA_MASK = 66
_BMP_HEAD_BYTES = 70
_BMP_FIRST_BYTES = 14
_BMP_HEADER_SIZES = (40, 52, 56, 64, 108, 124)
_BMP_WITH_ALPHA_MASK = 56  # from this size of the header on
_BMP_READ_BITS = (24, 32)  # of 8, TensorFlow reads palette indices as gray
_BITFIELDS = 3
_BGR_MASKS = (0xFF0000, 0xFF00, 0xFF)
_BGRA_ALPHA_MASK = 0xFF000000


def _make_crc_table() -> list[int]:
    table = []
    for remainder in range(256):
        for _ in range(8):
            odd = remainder & 1
            remainder = remainder >> 1 ^ (_CRC_POLYNOMIAL if odd else 0)
        table.append(remainder)
    return table


_CRC_TABLE = _make_crc_table()


class Header(NamedTuple):
    """What the header of an image file says; all of it tensors [].

    Attributes:
      width: int64, in pixels, as stored.
      height: int64.
      exif: string, the TIFF structure of the EXIF tags; empty without them.
      is_complete: bool, whether the pixels were found.
      is_known: bool, whether TensorFlow reads the pixels as Pillow does.
      is_short: bool, whether the file cannot hold so many pixels.
      has_alpha: bool, whether a fourth channel is transparency.
      is_16_bit: bool, whether a value has 16 bits.
      is_16_bit_gray: bool.
      scan_at: int64, where a JPEG image's first scan begins.
      needs_adobe_marker: bool, for a CMYK image without one: Pillow reads it
        as if it had one.
      bits: int64, of a pixel; of a BMP image only.
    """

    width: tf.Tensor
    height: tf.Tensor
    exif: tf.Tensor
    is_complete: tf.Tensor
    is_known: tf.Tensor
    is_short: tf.Tensor
    has_alpha: tf.Tensor
    is_16_bit: tf.Tensor
    is_16_bit_gray: tf.Tensor
    scan_at: tf.Tensor
    needs_adobe_marker: tf.Tensor
    bits: tf.Tensor


def _make_header(**stated: tf.Tensor) -> Header:
    """Makes a header of what a format states, and defaults."""
    false = tf.constant(False)
    defaults = {
        "exif": tf.constant(b""),
        "is_complete": tf.constant(True),
        "is_known": tf.constant(True),
        "is_short": false,
        "has_alpha": false,
        "is_16_bit": false,
        "is_16_bit_gray": false,
        "scan_at": tf.constant(0, tf.int64),
        "needs_adobe_marker": false,
        "bits": tf.constant(0, tf.int64),
    }
    return Header(**{**defaults, **stated})


def read_jpeg(content: tf.Tensor) -> Header:
    """Walks over the segments before the pixels, as Pillow does."""

    def is_before_pixels(found: "_Segments") -> tf.Tensor:
        return ~found.is_ended & (found.count < _MAX_PARTS)

    (found,) = tf.while_loop(
        is_before_pixels,
        lambda found: (_read_segment(content, found),),
        (
            _Segments(
                at=tf.constant(_FIRST_SEGMENT, tf.int64),
                count=tf.constant(0),
                is_ended=tf.constant(False),
                is_complete=tf.constant(False),
                exif=tf.constant(b""),
                has_adobe_marker=tf.constant(False),
                frame=tf.zeros(_SEGMENT_HEAD_BYTES, tf.int64),
            ),
        ),
    )
    height, width = _number(found.frame[5:7]), _number(found.frame[7:9])
    return _make_header(
        width=width,
        height=height,
        exif=found.exif,
        is_complete=found.is_complete & (width * height > 0),
        is_short=_count_least_bits(found.frame) > 8 * _length(content),
        scan_at=found.at,
        needs_adobe_marker=(found.frame[9] == 4) & ~found.has_adobe_marker,
    )


class _Segments(NamedTuple):
    """What is known of a JPEG image's segments so far.

    Attributes:
      frame: int64 [22], the first bytes of the last frame; zeros without one.
    """

    at: tf.Tensor
    count: tf.Tensor
    is_ended: tf.Tensor
    is_complete: tf.Tensor
    exif: tf.Tensor
    has_adobe_marker: tf.Tensor
    frame: tf.Tensor


def _read_segment(content: tf.Tensor, found: _Segments) -> _Segments:
    """Reads a segment, or skips a fill byte."""
    head = _bytes_at(content, found.at, _SEGMENT_HEAD_BYTES)
    marker = head[1]
    is_marker = head[0] == _MARKER
    is_fill = is_marker & (marker == _MARKER)
    is_frame = is_marker & _is_one_of(marker, _FRAMES)
    is_scan = is_marker & (marker == _SCAN_MARKER)
    length = _number(head[2:4])
    is_segment = (is_frame | (is_marker & _is_one_of(marker, _OTHERS))) & (
        length >= 2
    )
    zero = tf.zeros_like(length)
    inside = _substr(content, found.at + _CONTENT, length - 2)
    is_exif = (
        is_segment
        & (marker == _EXIF_MARKER)
        & (tf.strings.substr(inside, 0, len(_EXIF_NAME)) == _EXIF_NAME)
    )
    is_adobe = (
        is_segment
        & (marker == _ADOBE_MARKER)
        & (length >= _ADOBE_BYTES)
        & (tf.strings.substr(inside, 0, len(_ADOBE_NAME)) == _ADOBE_NAME)
    )
    tags = tf.cond(
        is_exif,
        lambda: tf.strings.substr(inside, len(_EXIF_NAME), 1 << 16),
        lambda: b"",
    )
    return _Segments(
        at=found.at
        + tf.where(is_scan, zero, tf.where(is_fill, zero + 1, 2 + length)),
        count=found.count + 1,
        is_ended=~is_fill & ~is_segment,
        is_complete=is_scan,
        # Pillow joins several.
        exif=tf.strings.join([found.exif, tags]),
        has_adobe_marker=found.has_adobe_marker | is_adobe,
        frame=tf.where(is_frame, head, found.frame),
    )


def _count_least_bits(frame: tf.Tensor) -> tf.Tensor:
    """Counts the bits, int64 [], that a frame's pixels have at least."""
    count = tf.minimum(frame[9], _MAX_COMPONENTS)
    sampling = frame[_SAMPLING::3][:count]
    blocks = tf.ones_like(sampling)
    for side, factors in (
        (_number(frame[5:7]), sampling % 16),
        (_number(frame[7:9]), sampling // 16),
    ):
        unit = tf.maximum(_BLOCK * tf.reduce_max(factors), 1)
        blocks *= -(-side * factors // unit)
    bits = tf.constant(0, tf.int64)
    for marker, least in _LEAST_BITS.items():
        bits = tf.where(frame[1] == marker, tf.constant(least, tf.int64), bits)
    return bits * tf.reduce_sum(blocks)


def add_adobe_marker(content: tf.Tensor) -> tf.Tensor:
    """Adds the marker of Adobe's CMYK, 100 less the ink, to a JPEG image."""
    segment = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00"
    return tf.strings.join(
        [
            tf.strings.substr(content, 0, _FIRST_SEGMENT),
            segment,
            _substr(content, _FIRST_SEGMENT, _length(content)),
        ]
    )


def read_png(content: tf.Tensor) -> Header:
    """Walks over the chunks before the pixels, as Pillow does."""
    head = _bytes_at(content, 0, _PNG_COLOR + 1)
    width = _number(head[_PNG_WIDTH:_PNG_HEIGHT])
    height = _number(head[_PNG_HEIGHT:_PNG_DEPTH])
    depth, color = head[_PNG_DEPTH], head[_PNG_COLOR]
    found = _read_chunks(content)
    # Pillow compares the transparent color with scaled values.
    is_scaled = (depth == 16) | (
        (color == _PNG_GRAY) & ((depth == 2) | (depth == 4))
    )
    return _make_header(
        width=width,
        height=height,
        exif=found.exif,
        is_complete=found.is_complete,
        is_known=found.is_usual & ~(found.has_transparency & is_scaled),
        is_short=width * height > _PNG_PIXELS_PER_BYTE * _length(content),
        has_alpha=tf.constant(True),
        is_16_bit=depth == 16,
        is_16_bit_gray=(depth == 16) & (color == _PNG_GRAY),
    )


class _Chunks(NamedTuple):
    """What is known of a PNG image's chunks so far.

    Attributes:
      is_usual: whether no chunk that matters is repeated, damaged, or after
        one that needs it.
    """

    at: tf.Tensor
    count: tf.Tensor
    is_ended: tf.Tensor
    is_complete: tf.Tensor
    is_usual: tf.Tensor
    exif: tf.Tensor
    has_exif: tf.Tensor
    has_transparency: tf.Tensor


def _read_chunks(content: tf.Tensor) -> _Chunks:
    def is_before_pixels(found: _Chunks) -> tf.Tensor:
        return ~found.is_ended & (found.count < _MAX_PARTS)

    start = _Chunks(
        at=tf.constant(_FIRST_CHUNK, tf.int64),
        count=tf.constant(0),
        is_ended=tf.constant(False),
        is_complete=tf.constant(False),
        is_usual=tf.constant(True),
        exif=tf.constant(b""),
        has_exif=tf.constant(False),
        has_transparency=tf.constant(False),
    )
    (found,) = tf.while_loop(
        is_before_pixels, lambda found: (_read_chunk(content, found),), (start,)
    )
    return found


def _read_chunk(content: tf.Tensor, found: _Chunks) -> _Chunks:
    length = _number(_bytes_at(content, found.at, 4))
    kind = _substr(content, found.at + 4, 4)
    after = found.at + _CHUNK_EXTRA_BYTES + length
    is_exif, is_transparency = kind == b"eXIf", kind == b"tRNS"
    # libpng passes over such a chunk where its checksum is wrong, and takes
    # the first of several; Pillow rejects the file, and takes the last.
    is_usual = tf.cond(
        is_exif | is_transparency,
        lambda: _has_right_checksum(content, found.at, length),
        lambda: True,
    ) & ~(
        (is_exif & found.has_exif)
        | (is_transparency & found.has_transparency)
        | ((kind == b"PLTE") & found.has_transparency)
    )
    return _Chunks(
        at=after,
        count=found.count + 1,
        is_ended=(kind == b"IDAT") | (after >= _length(content)),
        is_complete=kind == b"IDAT",
        is_usual=found.is_usual & is_usual,
        exif=tf.cond(
            is_exif,
            lambda: _substr(content, found.at + _CHUNK_HEAD_BYTES, length),
            lambda: found.exif,
        ),
        has_exif=found.has_exif | is_exif,
        has_transparency=found.has_transparency | is_transparency,
    )


def _has_right_checksum(
    content: tf.Tensor, at: tf.Tensor, length: tf.Tensor
) -> tf.Tensor:
    """Checks a chunk's CRC-32; of a large chunk, says no."""
    stated = _number(_bytes_at(content, at + _CHUNK_HEAD_BYTES + length, 4))
    checked = tf.cast(
        tf.io.decode_raw(_substr(content, at + 4, length + 4), tf.uint8),
        tf.int64,
    )
    table = tf.constant(_CRC_TABLE, tf.int64)

    def add_byte(i: tf.Tensor, crc: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        index = tf.bitwise.bitwise_xor(crc, checked[i]) % 256
        return i + 1, tf.bitwise.bitwise_xor(crc // 256, table[index])

    count = tf.where(length <= _MAX_CHECKED_BYTES, tf.size(checked), 0)
    _, crc = tf.while_loop(
        lambda i, crc: i < count,
        add_byte,
        (0, tf.constant(_CRC_ONES, tf.int64)),
    )
    return tf.bitwise.bitwise_xor(crc, _CRC_ONES) == stated


def read_bmp(content: tf.Tensor) -> Header:
    """Reads the header of a BMP image."""
    head = _bytes_at(content, 0, _BMP_HEAD_BYTES)

    def number(at: int, count: int = 4) -> tf.Tensor:
        return _number(tf.reverse(head[at : at + count], axis=[0]))

    def signed(at: int) -> tf.Tensor:
        value = number(at)
        return tf.where(value >= 1 << 31, value - (1 << 32), value)

    header_size = number(_BMP_HEADER_SIZE)
    bits = number(_BMP_PIXEL_BITS, 2)
    compression = number(_BMP_COMPRESSION)
    pixels_at = number(_BMP_PIXELS_AT)
    alpha_mask = tf.where(
        header_size >= _BMP_WITH_ALPHA_MASK,
        number(_BMP_ALPHA_MASK),
        tf.constant(0, tf.int64),
    )
    masks = tf.stack([number(_BMP_MASKS + 4 * i) for i in range(3)])
    has_alpha = alpha_mask == _BGRA_ALPHA_MASK
    has_bgr_masks = (
        (compression == _BITFIELDS)
        & (bits == 32)
        & tf.reduce_all(masks == tf.constant(_BGR_MASKS, tf.int64))
        & (has_alpha | (alpha_mask == 0))
    )
    # A negative height says that the rows run from the top.
    width, height = signed(_BMP_WIDTH), tf.abs(signed(_BMP_HEIGHT))
    return _make_header(
        width=width,
        height=height,
        is_known=_is_one_of(header_size, _BMP_HEADER_SIZES)
        & (pixels_at >= _BMP_FIRST_BYTES + header_size)
        & ((compression == 0) | has_bgr_masks)
        & _is_one_of(bits, _BMP_READ_BITS),
        is_short=pixels_at + width * height * bits // 8 > _length(content),
        has_alpha=has_bgr_masks & has_alpha,
        bits=bits,
    )


def _length(content: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.strings.length(content), tf.int64)


def _substr(
    content: tf.Tensor, at: tf.Tensor | int, count: tf.Tensor | int
) -> tf.Tensor:
    """Cuts bytes out of a file; fewer where it ends before."""
    size = _length(content)
    at = tf.minimum(tf.cast(at, tf.int64), size)
    return tf.strings.substr(
        content, at, tf.clip_by_value(tf.cast(count, tf.int64), 0, size - at)
    )


def _bytes_at(content: tf.Tensor, at: tf.Tensor | int, count: int) -> tf.Tensor:
    """Reads bytes, int64 [count]; zeros after the end of the file."""
    return tf.cast(
        tf.io.decode_raw(
            _substr(content, at, count), tf.uint8, fixed_length=count
        ),
        tf.int64,
    )


def _number(digits: tf.Tensor) -> tf.Tensor:
    """Makes an unsigned number, int64 [], of bytes, highest first."""
    number = tf.constant(0, tf.int64)
    for digit in tf.unstack(digits):
        number = 256 * number + digit
    return number


def _is_one_of(value: tf.Tensor, values: tuple[int, ...]) -> tf.Tensor:
    return tf.reduce_any(value == tf.constant(values, tf.int64))
