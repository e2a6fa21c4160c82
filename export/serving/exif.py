"""Reads a camera's orientation tag inside a graph, and turns images upright.

TensorFlow decodes an image as it is stored. A phone stores portraits on their
side, with a tag that says so.
"""

from collections.abc import Callable

import tensorflow as tf

# TIFF 6.0: byte order, the number 42, the directory's offset; the directory is
# a count and entries of 12 bytes: tag, type, count of values, the value or its
# offset.
_LITTLE_ENDIAN = b"II"
_BIG_ENDIAN = b"MM"
_VERSION = (b"*\0", b"\0*")
_DIRECTORY_OFFSET = 4
_HEADER_BYTES = 8
_ENTRY_BYTES = 12
_TYPE, _COUNT, _VALUE = 2, 4, 8
_INLINE_BYTES = 4
_ORIENTATION_TAG = 0x0112
_SHORT, _LONG = 3, 4
# Bytes of a value by its type, from 0 on; 0 for unknown types, which Pillow
# skips.
_VALUE_BYTES = (0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8)
UNKNOWN = 0
_UPRIGHT = 1
# EXIF 2.32, table 6. First rows and columns swap places, then a side does.
_SWAPPED = (5, 6, 7, 8)
_LEFT_TO_RIGHT = (2, 3, 6, 7)
_TOP_TO_BOTTOM = (3, 4, 7, 8)


def read_orientation(exif: tf.Tensor) -> tf.Tensor:
    """Reads the orientation from EXIF tags, as Pillow does.

    Args:
      exif: string [], the TIFF structure; empty where there is none.

    Returns:
      int32 [], 1 to 8 as in EXIF; 1, upright, where there is no valid tag;
        UNKNOWN where the tag is no integer, as EXIF demands, or after a
        damaged one.
    """
    order = tf.strings.substr(exif, 0, 2)
    version = _substr(exif, 2, 2)
    # Pillow accepts the number in either byte order.
    is_tiff = ((order == _LITTLE_ENDIAN) | (order == _BIG_ENDIAN)) & (
        (version == _VERSION[0]) | (version == _VERSION[1])
    )
    return tf.cond(
        is_tiff & (tf.strings.length(exif) >= _HEADER_BYTES),
        lambda: _read_directory(exif, order == _LITTLE_ENDIAN),
        lambda: _UPRIGHT,
    )


def turn_upright(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Turns an image upright.

    Args:
      image: uint8 [height, width, 3].
      orientation: int32 [], 1 to 8 as in EXIF.

    Returns:
      The same, [width, height, 3] for the orientations 5 to 8.
    """
    for orientations, turn in (
        (_SWAPPED, lambda image: tf.transpose(image, (1, 0, 2))),
        (_LEFT_TO_RIGHT, lambda image: tf.reverse(image, axis=[1])),
        (_TOP_TO_BOTTOM, lambda image: tf.reverse(image, axis=[0])),
    ):
        image = tf.cond(
            tf.reduce_any(orientation == orientations),
            lambda image=image, turn=turn: turn(image),
            lambda image=image: image,
        )
    return image


def _read_directory(exif: tf.Tensor, is_little_endian: tf.Tensor) -> tf.Tensor:
    """Reads the orientation from the first directory."""

    def number(digits: tf.Tensor) -> tf.Tensor:
        """Makes numbers, int64 [...], of bytes [..., count]."""
        digits = tf.cond(
            is_little_endian,
            lambda: tf.reverse(digits, axis=[-1]),
            lambda: digits,
        )
        total = tf.zeros(tf.shape(digits)[:-1], tf.int64)
        for digit in tf.unstack(digits, axis=-1):
            total = 256 * total + digit
        return total

    content = tf.cast(tf.io.decode_raw(exif, tf.uint8), tf.int64)
    size = tf.size(content, tf.int64)
    offset = content[_DIRECTORY_OFFSET:_HEADER_BYTES]
    start = tf.minimum(number(tf.ensure_shape(offset, (4,))), size)
    padded = tf.pad(content[start : start + 2], [[0, 2]])[:2]
    count = number(tf.ensure_shape(padded, (2,)))
    # Those that are there whole.
    count = tf.clip_by_value((size - start - 2) // _ENTRY_BYTES, 0, count)
    entries = tf.reshape(
        content[start + 2 : start + 2 + count * _ENTRY_BYTES],
        (-1, _ENTRY_BYTES),
    )
    return tf.cast(_find_orientation(entries, number, size), tf.int32)


def _find_orientation(
    entries: tf.Tensor,
    number: Callable[[tf.Tensor], tf.Tensor],
    size: tf.Tensor,
) -> tf.Tensor:
    """Reads the first orientation."""
    kind = number(entries[:, _TYPE:_COUNT])
    last_kind = len(_VALUE_BYTES) - 1
    value_bytes = tf.gather(
        tf.constant(_VALUE_BYTES, tf.int64), tf.minimum(kind, last_kind)
    ) * tf.cast(kind <= last_kind, tf.int64)
    num_bytes = value_bytes * number(entries[:, _COUNT:_VALUE])
    offset = number(entries[:, _VALUE:])
    # After a value that is outside, it depends on Pillow's version whether the
    # other entries count.
    is_outside = (num_bytes > _INLINE_BYTES) & (offset + num_bytes > size)
    is_certain = tf.cumsum(tf.cast(is_outside, tf.int32)) == 0
    is_tag = (number(entries[:, :_TYPE]) == _ORIENTATION_TAG) & (num_bytes > 0)
    short = number(entries[:, _VALUE : _VALUE + 2])
    value = tf.where(kind == _SHORT, short, offset)
    is_valid = (value >= _UPRIGHT) & (value <= max(_SWAPPED))
    is_known = (
        is_certain
        & ((kind == _SHORT) | (kind == _LONG))
        & (num_bytes <= _INLINE_BYTES)
    )
    value = tf.where(is_valid, value, _UPRIGHT)
    found = tf.boolean_mask(tf.where(is_known, value, UNKNOWN), is_tag)
    # One more, for where there is none.
    return tf.concat([found, [_UPRIGHT]], axis=0)[0]


def _substr(content: tf.Tensor, at: int, count: int) -> tf.Tensor:
    at = tf.minimum(at, tf.strings.length(content))
    return tf.strings.substr(content, at, count)
