"""Decodes images inside a graph, with an error for each kind of bad file.

The error tells a client which of its images is at fault: `image_bytes[2] is
empty`.
"""

from collections.abc import Callable, Iterable, Sequence

import tensorflow as tf

from segan_tf.imaging import images

from . import exif

# The first bytes of each format.
_JPEG = b"\xff\xd8\xff"
_PNG = b"\x89PNG\r\n\x1a\n"
_BMP = b"BM"
# PNG, chunk IHDR: width and height, 4 bytes each, big-endian.
_PNG_WIDTH = 16
_PNG_HEIGHT = 20
# BMP, BITMAPINFOHEADER: little-endian; a negative height means that the rows
# run from the top.
_BMP_WIDTH = 18
_BMP_HEIGHT = 22
_BMP_PIXEL_BITS = 28
_BMP_READ_BITS = (24, 32)  # of 8, TensorFlow reads palette indices as gray
_HEAD_BYTES = 30
_BMP_REMEDY = " bits a pixel; 24 and 32 can be read: send it as PNG"
_SIZE_REMEDY = f"); at most {images.MAX_PIXELS:,} pixels are decoded"
_OPAQUE = 255
_WHITE = 255


def read_image(
    image_bytes: tf.Tensor, position: tf.Tensor, *, name: str
) -> tf.Tensor:
    """Decodes an image as RGB, upright, over white where it is transparent.

    Args:
      image_bytes: string [], a JPEG, PNG or BMP file.
      position: int32 [], within the batch, for the error.
      name: of the input, for the error.

    Returns:
      uint8 [height, width, 3].

    Raises:
      InvalidArgumentError: when it runs: `<name>[<position>]` is empty, no
        image, damaged, of a kind that TensorFlow cannot decode, or larger
        than images.MAX_PIXELS.
    """
    where = _join(name, "[", position, "] ")
    # A short file is padded with zeros.
    head = tf.io.decode_raw(image_bytes, tf.uint8, fixed_length=_HEAD_BYTES)
    is_jpeg, is_png, is_bmp = (
        tf.reduce_all(head[: len(start)] == tuple(start))
        for start in (_JPEG, _PNG, _BMP)
    )
    image_bytes = _check_header(
        image_bytes, head, where, is_jpeg=is_jpeg, is_png=is_png, is_bmp=is_bmp
    )
    decoded = _or_else(
        lambda content: _decode(content, is_jpeg),
        image_bytes,
        fallback=tf.zeros((0, 0, 0), tf.uint8),
    )
    decoded = _checked(
        decoded, where, [(tf.size(decoded) == 0, "is damaged or truncated")]
    )
    orientation = tf.cond(
        is_jpeg, lambda: exif.jpeg_orientation(image_bytes), lambda: 1
    )
    rgb = _to_rgb(decoded, has_alpha=~is_bmp)
    return exif.turn_upright(rgb, orientation)


def _check_header(
    image_bytes: tf.Tensor,
    head: tf.Tensor,
    where: tf.Tensor,
    *,
    is_jpeg: tf.Tensor,
    is_png: tf.Tensor,
    is_bmp: tf.Tensor,
) -> tf.Tensor:
    """Checks a file by its first bytes; returns the file."""
    height, width = _stored_size(
        image_bytes, head, is_jpeg=is_jpeg, is_png=is_png
    )
    bits = _number(head, (_BMP_PIXEL_BITS + 1, _BMP_PIXEL_BITS))
    return _checked(
        image_bytes,
        where,
        [
            (tf.strings.length(image_bytes) == 0, "is empty"),
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
    )


def _checked(
    tensor: tf.Tensor,
    where: tf.Tensor,
    problems: Sequence[tuple[tf.Tensor, tf.Tensor | str]],
) -> tf.Tensor:
    """Returns the tensor, or raises with the first problem that holds."""
    problem = ""
    for condition, message in reversed(problems):
        problem = tf.where(condition, message, problem)
    check = tf.debugging.Assert(problem == "", [where + problem])
    with tf.control_dependencies([check]):
        return tf.identity(tensor)


def _join(*parts: tf.Tensor | str) -> tf.Tensor:
    return tf.strings.join(
        [
            part if isinstance(part, str) else tf.strings.as_string(part)
            for part in parts
        ]
    )


def _or_else(
    function: Callable[[tf.Tensor], tf.Tensor],
    argument: tf.Tensor,
    *,
    fallback: tf.Tensor,
) -> tf.Tensor:
    """Returns function(argument), or the fallback if that is an error.

    A graph has no `try`; only tf.data's ignore_errors survives an error in it,
    so the function runs as a data set of one element.
    """
    tried = tf.data.Dataset.from_tensors(argument).map(function)
    return (
        tried.ignore_errors()
        .concatenate(tf.data.Dataset.from_tensors(fallback))
        .take(1)
        .get_single_element()
    )


def _stored_size(
    image_bytes: tf.Tensor,
    head: tf.Tensor,
    *,
    is_jpeg: tf.Tensor,
    is_png: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Reads height and width, int64 [], from the header; 0 if it has none."""

    def of_jpeg() -> tuple[tf.Tensor, ...]:
        shape = _or_else(
            lambda content: tf.image.extract_jpeg_shape(content, tf.int64),
            image_bytes,
            fallback=tf.zeros(3, tf.int64),
        )
        return shape[0], shape[1]

    def of_png() -> tuple[tf.Tensor, ...]:
        return tuple(
            _number(head, range(at, at + 4)) for at in (_PNG_HEIGHT, _PNG_WIDTH)
        )

    def of_bmp() -> tuple[tf.Tensor, ...]:
        height, width = (
            tf.bitcast(
                tf.cast(_number(head, range(at + 3, at - 1, -1)), tf.uint32),
                tf.int32,
            )
            for at in (_BMP_HEIGHT, _BMP_WIDTH)
        )
        return tf.abs(tf.cast(height, tf.int64)), tf.cast(width, tf.int64)

    return tf.cond(is_jpeg, of_jpeg, lambda: tf.cond(is_png, of_png, of_bmp))


def _number(head: tf.Tensor, places: Iterable[int]) -> tf.Tensor:
    """Reads an unsigned number, int64 [], from bytes, highest first."""
    number = tf.constant(0, tf.int64)
    for place in places:
        number = 256 * number + tf.cast(head[place], tf.int64)
    return number


def _decode(image_bytes: tf.Tensor, is_jpeg: tf.Tensor) -> tf.Tensor:
    # With as many channels as the file has: TensorFlow cannot convert a BMP
    # image. CMYK becomes RGB.
    decoded = tf.cond(
        is_jpeg,
        # TensorFlow's default, the fast transform, is 3 gray values off what
        # Pillow reads for training.
        lambda: tf.io.decode_jpeg(image_bytes, dct_method="INTEGER_ACCURATE"),
        lambda: tf.io.decode_image(image_bytes, expand_animations=False),
    )
    return tf.ensure_shape(decoded, (None, None, None))


def _to_rgb(decoded: tf.Tensor, *, has_alpha: tf.Tensor) -> tf.Tensor:
    """Converts 1 to 4 channels, gray or RGB with or without alpha, to RGB.

    The fourth channel of a BMP image is padding, usually 0.
    """
    height, width, channels = tf.unstack(tf.shape(decoded))
    num_colors = tf.where(channels > 2, 3, 1)
    rgb = tf.broadcast_to(decoded[..., :num_colors], (height, width, 3))

    def over_white() -> tf.Tensor:
        # In integers; 255 * 255 + 127 fits 16 bits.
        alpha = tf.cast(decoded[..., -1:], tf.uint16)
        total = tf.cast(rgb, tf.uint16) * alpha + _WHITE * (_OPAQUE - alpha)
        return tf.cast((total + _OPAQUE // 2) // _OPAQUE, tf.uint8)

    return tf.cond(has_alpha & (channels > num_colors), over_white, lambda: rgb)
