"""Reads a camera's orientation tag inside a graph, and turns images upright.

TensorFlow decodes a JPEG image as it is stored. A phone stores portraits on
their side, with a tag that says so.
"""

import tensorflow as tf

# A segment has at most so many bytes, and cameras put EXIF first.
_SEARCHED_BYTES = 1 << 16
# JPEG (ITU T.81): two bytes of marker, two of length, then the content.
_MARKER = 0xFF
_FIRST_SEGMENT = 2  # after the marker that starts an image
_LENGTH = 2
_CONTENT = 4
_EXIF_MARKER = 0xE1
_APPLICATION_MARKERS = (0xE0, 0xEF)
_COMMENT_MARKER = 0xFE
_EXIF_NAME = tuple(b"Exif\0\0")
# EXIF 2.32, 4.6.2: byte order, the directory's offset at 4; the directory is
# a count and entries of 12 bytes: tag at 0, value at 8.
_LITTLE_ENDIAN = ord("I")
_DIRECTORY_OFFSET = 4
_ENTRY_BYTES = 12
_VALUE = 8
_ORIENTATION_TAG = 0x0112
_UPRIGHT = 1
# EXIF 2.32, table 6. First rows and columns swap places, then a side does.
_SWAPPED = (5, 6, 7, 8)
_LEFT_TO_RIGHT = (2, 3, 6, 7)
_TOP_TO_BOTTOM = (3, 4, 7, 8)


def jpeg_orientation(image_bytes: tf.Tensor) -> tf.Tensor:
    """Reads the orientation of a JPEG image.

    Args:
      image_bytes: string [].

    Returns:
      int32 [], 1 to 8 as in EXIF; 1, upright, where there is no valid tag.
    """
    # Twice as long as what is searched, so that every offset below is inside.
    head = tf.cast(
        tf.io.decode_raw(
            image_bytes, tf.uint8, fixed_length=2 * _SEARCHED_BYTES
        ),
        tf.int32,
    )
    segment = _find_segment(head)
    return tf.cond(
        _is_exif(head, segment),
        lambda: _read_orientation(
            head, segment + _CONTENT + len(_EXIF_NAME), default=_UPRIGHT
        ),
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


def _find_segment(head: tf.Tensor) -> tf.Tensor:
    """Finds the EXIF segment, or else the first that is needed to decode."""
    first, last = _APPLICATION_MARKERS

    def is_skipped(at: tf.Tensor) -> tf.Tensor:
        marker = head[at + 1]
        application = (first <= marker) & (marker <= last)
        return (
            (head[at] == _MARKER)
            & (application | (marker == _COMMENT_MARKER))
            & ~_is_exif(head, at)
            & (at < _SEARCHED_BYTES)
        )

    def skip(at: tf.Tensor) -> tf.Tensor:
        length = 256 * head[at + _LENGTH] + head[at + _LENGTH + 1]
        return tf.minimum(at + _LENGTH + length, _SEARCHED_BYTES)

    (at,) = tf.while_loop(is_skipped, skip, (tf.constant(_FIRST_SEGMENT),))
    return at


def _is_exif(head: tf.Tensor, segment: tf.Tensor) -> tf.Tensor:
    content = segment + _CONTENT
    name = head[content : content + len(_EXIF_NAME)]
    return (head[segment + 1] == _EXIF_MARKER) & tf.reduce_all(
        name == _EXIF_NAME
    )


def _read_orientation(
    head: tf.Tensor, tiff: tf.Tensor, *, default: int
) -> tf.Tensor:
    is_little_endian = head[tiff] == _LITTLE_ENDIAN

    def two_bytes(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
        return tf.where(
            is_little_endian, 256 * second + first, 256 * first + second
        )

    # The lower two of its four bytes: no directory is beyond 64 KiB.
    low = tiff + _DIRECTORY_OFFSET + tf.where(is_little_endian, 0, 2)
    directory = tf.minimum(
        tiff + two_bytes(head[low], head[low + 1]), _SEARCHED_BYTES
    )
    count = tf.minimum(
        two_bytes(head[directory], head[directory + 1]),
        (_SEARCHED_BYTES - 2) // _ENTRY_BYTES,
    )
    entries = tf.reshape(
        tf.slice(head, [directory + 2], [count * _ENTRY_BYTES]),
        (-1, _ENTRY_BYTES),
    )
    is_tag = two_bytes(entries[:, 0], entries[:, 1]) == _ORIENTATION_TAG
    value = two_bytes(entries[:, _VALUE], entries[:, _VALUE + 1])
    is_valid = (value >= _UPRIGHT) & (value <= max(_SWAPPED))
    return tf.reduce_max(tf.where(is_tag & is_valid, value, default))
