"""Turns the bytes of an image into RGB inside a graph, or says what is wrong.

A server's client learns from the error which of its images is at fault:
`image_bytes[2] is empty`.
"""

from collections.abc import Callable, Sequence

import tensorflow as tf

from segan_tf.imaging import images

from . import exif

# What the formats' files begin with.
_JPEG = b"\xff\xd8\xff"
_PNG = b"\x89PNG\r\n\x1a\n"
_BMP = b"BM"
# PNG, chunk IHDR: width and height, 4 bytes each, the first byte highest.
_PNG_WIDTH = 16
_PNG_HEIGHT = 20
# BMP, BITMAPINFOHEADER: the first byte lowest; a negative height stands for
# rows from the top.
_BMP_WIDTH = 18
_BMP_HEIGHT = 22
_BMP_PIXEL_BITS = 28
_BMP_READ_BITS = (24, 32)  # with 8, TensorFlow takes palette numbers for gray
_HEAD_BYTES = 30
_BMP_REMEDY = " bits a pixel; 24 and 32 can be read: send it as PNG"
_SIZE_REMEDY = f"); at most {images.MAX_PIXELS:,} pixels are decoded"
_OPAQUE = 255
_WHITE = 255


def read_image(
    picture_bytes: tf.Tensor, position: tf.Tensor, *, name: str
) -> tf.Tensor:
    """Decodes an image as RGB, upright; what is transparent lies over white.

    Args:
      picture_bytes: string [], a JPEG, PNG or BMP file.
      position: int32 [], within the batch, for the error.
      name: of the input, for the error.

    Returns:
      uint8 [height, width, 3].

    Raises:
      InvalidArgumentError: when it runs: `<name>[<position>]` is empty, no
        image, damaged, of a kind that TensorFlow cannot decode, or has more
        than images.MAX_PIXELS pixels.
    """
    where = _join(name, "[", position, "] ")
    # Beyond its end a short file counts as zeros.
    head = tf.io.decode_raw(picture_bytes, tf.uint8, fixed_length=_HEAD_BYTES)
    is_jpeg, is_png, is_bmp = (
        tf.reduce_all(head[: len(start)] == tuple(start))
        for start in (_JPEG, _PNG, _BMP)
    )
    height, width = _stored_size(
        picture_bytes, head, is_jpeg=is_jpeg, is_png=is_png
    )
    bits = _number(head, (_BMP_PIXEL_BITS + 1, _BMP_PIXEL_BITS))
    picture_bytes = _refuse(
        where,
        [
            (tf.strings.length(picture_bytes) == 0, "is empty"),
            (
                ~(is_jpeg | is_png | is_bmp),
                "is not a JPEG, PNG or BMP image",
            ),
            (
                is_bmp & tf.reduce_all(bits != _BMP_READ_BITS),
                _join("is a BMP image of ", bits, _BMP_REMEDY),
            ),
            (
                height * width > images.MAX_PIXELS,
                _join("is too large (", width, "x", height, _SIZE_REMEDY),
            ),
        ],
        before=picture_bytes,
    )
    decoded = _or_else(
        lambda content: _decode(content, is_jpeg),
        picture_bytes,
        tf.zeros((0, 0, 0), tf.uint8),
    )
    decoded = _refuse(
        where,
        [(tf.size(decoded) == 0, "is damaged or truncated")],
        before=decoded,
    )
    orientation = tf.cond(
        is_jpeg, lambda: exif.jpeg_orientation(picture_bytes), lambda: 1
    )
    rgb = _to_rgb(decoded, has_alpha=~is_bmp)
    return exif.turn_upright(rgb, orientation)


def _refuse(
    where: tf.Tensor,
    reasons: Sequence[tuple[tf.Tensor, tf.Tensor | str]],
    *,
    before: tf.Tensor,
) -> tf.Tensor:
    """Stops at the first reason that holds; what is returned waits for it."""
    reason = ""
    for condition, words in reversed(reasons):
        reason = tf.where(condition, words, reason)
    check = tf.debugging.Assert(reason == "", [where + reason])
    with tf.control_dependencies([check]):
        return tf.identity(before)


def _join(*parts: tf.Tensor | str) -> tf.Tensor:
    return tf.strings.join(
        [
            part if isinstance(part, str) else tf.strings.as_string(part)
            for part in parts
        ]
    )


def _or_else(
    function: Callable, argument: tf.Tensor, fallback: tf.Tensor
) -> tf.Tensor:
    """Returns function(argument), or the fallback if that is an error.

    A graph has no `try`; tf.data's ignore_errors is the one thing in it that
    outlives an error, so the function runs as a data set of one element.
    """
    tried = tf.data.Dataset.from_tensors(argument).map(function)
    return (
        tried.ignore_errors()
        .concatenate(tf.data.Dataset.from_tensors(fallback))
        .take(1)
        .get_single_element()
    )


def _stored_size(
    picture_bytes: tf.Tensor,
    head: tf.Tensor,
    *,
    is_jpeg: tf.Tensor,
    is_png: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Reads height and width, int64 [], from the header; 0 if it has none."""

    def of_jpeg():
        shape = _or_else(
            lambda content: tf.image.extract_jpeg_shape(content, tf.int64),
            picture_bytes,
            tf.zeros(3, tf.int64),
        )
        return shape[0], shape[1]

    def of_png():
        return tuple(
            _number(head, range(at, at + 4)) for at in (_PNG_HEIGHT, _PNG_WIDTH)
        )

    def of_bmp():
        height, width = (
            tf.bitcast(
                tf.cast(_number(head, range(at + 3, at - 1, -1)), tf.uint32),
                tf.int32,
            )
            for at in (_BMP_HEIGHT, _BMP_WIDTH)
        )
        return tf.abs(tf.cast(height, tf.int64)), tf.cast(width, tf.int64)

    return tf.cond(is_jpeg, of_jpeg, lambda: tf.cond(is_png, of_png, of_bmp))


def _number(head: tf.Tensor, places) -> tf.Tensor:
    """Reads an unsigned number, int64 [], from these bytes, highest first."""
    number = tf.constant(0, tf.int64)
    for place in places:
        number = 256 * number + tf.cast(head[place], tf.int64)
    return number


def _decode(picture_bytes: tf.Tensor, is_jpeg: tf.Tensor) -> tf.Tensor:
    # As many channels as the file has: of a BMP image TensorFlow converts
    # none. CMYK comes as RGB.
    decoded = tf.cond(
        is_jpeg,
        # TensorFlow's own choice is the fast transform, 3 gray values off
        # what Pillow reads for the training.
        lambda: tf.io.decode_jpeg(picture_bytes, dct_method="INTEGER_ACCURATE"),
        lambda: tf.io.decode_image(picture_bytes, expand_animations=False),
    )
    return tf.ensure_shape(decoded, (None, None, None))


def _to_rgb(decoded: tf.Tensor, *, has_alpha: tf.Tensor) -> tf.Tensor:
    """Makes RGB of 1 to 4 channels: gray or RGB, and perhaps alpha.

    The fourth channel of a BMP image is padding, 0 as a rule.
    """
    height, width, channels = tf.unstack(tf.shape(decoded))
    num_colors = tf.where(channels > 2, 3, 1)
    rgb = tf.broadcast_to(decoded[..., :num_colors], (height, width, 3))

    def over_white():
        # In whole numbers; 255 * 255 + 127 fits 16 bits.
        alpha = tf.cast(decoded[..., -1:], tf.uint16)
        total = tf.cast(rgb, tf.uint16) * alpha + _WHITE * (_OPAQUE - alpha)
        return tf.cast((total + _OPAQUE // 2) // _OPAQUE, tf.uint8)

    return tf.cond(has_alpha & (channels > num_colors), over_white, lambda: rgb)
