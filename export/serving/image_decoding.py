"""Decodes images inside a graph, and says what is wrong with bad files.

Nothing that is wrong with a file fails the graph: the other images of a batch
may be other clients'.
"""

from collections.abc import Sequence

import tensorflow as tf

from segan_tf.imaging import bit_depth, size_limits

from . import exif, headers

# Half of what `--mode=predict` reads, since a server decodes several images at
# once. The main cameras of phones have up to 50 million pixels.
MAX_PIXELS = 50_000_000

# The first bytes of each format.
_JPEG = b"\xff\xd8\xff"
_PNG = b"\x89PNG\r\n\x1a\n"
_BMP = b"BM"
_BMP_REMEDY = (
    " bits a pixel of a kind that is not read; uncompressed ones of 24 and 32 "
    "can be read: send it as PNG"
)
_KIND_REMEDY = "is an image of an unusual kind: send it as 8-bit RGB PNG"
_DAMAGED = "is damaged or truncated"
_TRANSPARENT = "is fully transparent: send it without its alpha channel"
_FAINT = (
    "uses few of its 16 bits, and would be nearly black: send it as 8-bit PNG"
)
# libjpeg fills up what is missing with it, and with the second in CMYK.
_FILLING = (128, 64)
_BLOCK = 8
_MORE_DATA = b"\x55" * 16
_RESTART_MARKERS = [bytes((0xFF, kind)) for kind in range(0xD0, 0xD8)]
_SIZE_REMEDY = f"); a server decodes at most {MAX_PIXELS:,} pixels"
_SIDE_REMEDY = (
    f"); an image needs at least {size_limits.MIN_SIDE} pixels a side"
)
_OPAQUE = 255
_WHITE = 255


@tf.function(input_signature=[tf.TensorSpec((), tf.string)], autograph=False)
def read_image(image_bytes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Decodes an image as RGB, upright, over white where it is transparent.

    It is traced once: all signatures of a SavedModel share it, and what is
    exported later, too.

    Args:
      image_bytes: string [], a JPEG, PNG or BMP file.

    Returns:
      uint8 [height, width, 3], and string [], "" or what is wrong with the
      file: it is empty, no image, damaged, of a kind that TensorFlow cannot
      decode as Pillow does, or too small or large. The image is then a black
      pixel.
    """
    is_jpeg, is_png, is_bmp = (
        tf.strings.substr(image_bytes, 0, len(start)) == start
        for start in (_JPEG, _PNG, _BMP)
    )
    header = tf.cond(
        is_jpeg,
        lambda: headers.read_jpeg(image_bytes),
        lambda: tf.cond(
            is_png,
            lambda: headers.read_png(image_bytes),
            lambda: headers.read_bmp(image_bytes),
        ),
    )
    orientation = exif.read_orientation(header.exif)
    problem = _find_problem_of_header(
        image_bytes,
        header,
        orientation=orientation,
        is_bmp=is_bmp,
        is_image=is_jpeg | is_png | is_bmp,
    )

    def decode() -> tuple[tf.Tensor, tf.Tensor]:
        rgb, problem = _decode_checked(image_bytes, header, is_jpeg=is_jpeg)
        return exif.turn_upright(rgb, orientation), problem

    image, problem = tf.cond(
        problem == "", decode, lambda: (tf.zeros((1, 1, 3), tf.uint8), problem)
    )
    return tf.ensure_shape(image, (None, None, 3)), problem


def _decode_checked(
    image_bytes: tf.Tensor, header: headers.Header, *, is_jpeg: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Decodes a file with a good header; also returns what is wrong with it."""
    decoded, brightest = _try_to_decode(image_bytes, header, is_jpeg=is_jpeg)
    is_cut = tf.cond(
        is_jpeg & _ends_in_filling(decoded),
        lambda: _is_cut_jpeg(image_bytes, decoded, header),
        lambda: False,
    )

    def look() -> tuple[tf.Tensor, tf.Tensor]:
        rgb = _to_rgb(decoded, has_alpha=header.has_alpha)
        return rgb, _find_invisible(decoded, rgb, brightest, header=header)

    rgb, problem = tf.cond(
        (tf.size(decoded) > 0) & ~is_cut,
        look,
        lambda: (tf.zeros((1, 1, 3), tf.uint8), tf.constant(_DAMAGED)),
    )
    return tf.cond(
        problem == "",
        lambda: rgb,
        lambda: tf.zeros((1, 1, 3), tf.uint8),
    ), problem


def _find_problem_of_header(
    image_bytes: tf.Tensor,
    header: headers.Header,
    *,
    orientation: tf.Tensor,
    is_bmp: tf.Tensor,
    is_image: tf.Tensor,
) -> tf.Tensor:
    """Checks a file by its header; returns "" or what is wrong."""
    width, height = header.width, header.height
    size = _join(width, "x", height)
    return _first_that_holds(
        [
            (tf.strings.length(image_bytes) == 0, "is empty"),
            (~is_image, "is not a JPEG, PNG or BMP image"),
            (
                is_bmp & ~header.is_known,
                _join("is a BMP image of ", header.bits, _BMP_REMEDY),
            ),
            (
                ~header.is_known | (orientation == exif.UNKNOWN),
                _KIND_REMEDY,
            ),
            (~header.is_complete | (tf.minimum(height, width) <= 0), _DAMAGED),
            (
                height * width > MAX_PIXELS,
                _join("is too large (", size, _SIZE_REMEDY),
            ),
            (header.is_short, _DAMAGED),
            (
                tf.minimum(height, width) < size_limits.MIN_SIDE,
                _join("is too small (", size, _SIDE_REMEDY),
            ),
        ],
    )


def _first_that_holds(
    problems: Sequence[tuple[tf.Tensor, tf.Tensor | str]],
) -> tf.Tensor:
    """Returns the message of the first condition that holds, or ""."""
    problem = tf.constant("")
    for condition, message in reversed(problems):
        problem = tf.where(condition, message, problem)
    return problem


def _join(*parts: tf.Tensor | str) -> tf.Tensor:
    return tf.strings.join(
        [
            part if isinstance(part, str) else tf.strings.as_string(part)
            for part in parts
        ]
    )


def _try_to_decode(
    image_bytes: tf.Tensor, header: headers.Header, *, is_jpeg: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Decodes as `_decode`; gives an empty image if that is an error.

    A graph has no `try`; only tf.data's ignore_errors survives an error in it,
    so the decoder runs as a data set of one element.
    """
    nothing = (tf.zeros((0, 0, 0), tf.uint8), tf.constant(0))
    tried = tf.data.Dataset.from_tensors(image_bytes).map(
        lambda content: _decode(content, header, is_jpeg=is_jpeg)
    )
    return (
        tried.ignore_errors()
        .concatenate(tf.data.Dataset.from_tensors(nothing))
        .take(1)
        .get_single_element()
    )


def _ends_in_filling(decoded: tf.Tensor) -> tf.Tensor:
    end = decoded[-_BLOCK:, -_BLOCK:]
    return (tf.size(end) > 0) & tf.reduce_any(
        [tf.reduce_all(end == filling) for filling in _FILLING]
    )


def _is_cut_jpeg(
    image_bytes: tf.Tensor, decoded: tf.Tensor, header: headers.Header
) -> tf.Tensor:
    """Tells whether more data at the end of the first scan change the image.

    They are left over after a complete scan.
    """
    scan_at = tf.cast(header.scan_at, tf.int32) + 2
    scan = tf.cast(
        tf.io.decode_raw(tf.strings.substr(image_bytes, scan_at, -1), tf.uint8),
        tf.int32,
    )
    marker, kind = scan[:-1] == 0xFF, scan[1:]
    restarts = (kind >= 0xD0) & (kind <= 0xD7)
    ends = marker & (kind != 0) & (kind != 0xFF) & ~restarts
    length = tf.argmax(ends, output_type=tf.int32)
    end = scan_at + length
    # Data are read after the next restart only, where the image has restarts.
    count = tf.math.count_nonzero((marker & restarts)[:length])
    restart = tf.gather(_RESTART_MARKERS, count % len(_RESTART_MARKERS))
    longer = tf.strings.join(
        [
            tf.strings.substr(image_bytes, 0, end),
            _MORE_DATA,
            restart,
            _MORE_DATA,
            tf.strings.substr(image_bytes, end, -1),
        ]
    )
    more, _ = _try_to_decode(longer, header, is_jpeg=tf.constant(True))
    return tf.cond(
        tf.reduce_any(ends) & (tf.size(more) == tf.size(decoded)),
        lambda: tf.reduce_any(more != decoded),
        lambda: tf.reduce_any(ends),
    )


def _find_invisible(
    decoded: tf.Tensor,
    rgb: tf.Tensor,
    brightest: tf.Tensor,
    *,
    header: headers.Header,
) -> tf.Tensor:
    """Checks as training does that anything would be seen; "" if so."""
    channels = tf.shape(decoded)[-1]
    is_transparent = tf.cond(
        header.has_alpha & (channels % 2 == 0),  # gray or RGB, and alpha
        lambda: tf.reduce_all(decoded[..., -1] == 0),
        lambda: False,
    )
    faint = 1 << bit_depth.MAX_EMPTY_BITS
    is_faint = tf.cond(
        header.is_16_bit & ~header.is_16_bit_gray,
        # Of colors, only the upper 8 bits are there.
        lambda: tf.cast(tf.reduce_max(rgb), tf.int32) * 256 + _OPAQUE < faint,
        lambda: (brightest > 0) & (brightest < faint),
    )
    return _first_that_holds(
        [(is_transparent, _TRANSPARENT), (is_faint, _FAINT)]
    )


def _decode(
    image_bytes: tf.Tensor, header: headers.Header, *, is_jpeg: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Decodes; also returns the largest value of a 16-bit gray image, or 0."""

    # With as many channels as the file has: TensorFlow cannot convert a BMP
    # image. CMYK becomes RGB.
    def decode_jpeg() -> tuple[tf.Tensor, tf.Tensor]:
        content = tf.cond(
            header.needs_adobe_marker,
            lambda: headers.add_adobe_marker(image_bytes),
            lambda: image_bytes,
        )
        # TensorFlow's default, the fast transform, is 3 gray values off what
        # Pillow reads for training.
        image = tf.io.decode_jpeg(content, dct_method="INTEGER_ACCURATE")
        return image, tf.constant(0)

    def decode_other() -> tuple[tf.Tensor, tf.Tensor]:
        return tf.cond(
            header.is_16_bit_gray,
            lambda: _decode_16_bit_gray(image_bytes),
            lambda: (
                tf.io.decode_image(image_bytes, expand_animations=False),
                tf.constant(0),
            ),
        )

    decoded, brightest = tf.cond(is_jpeg, decode_jpeg, decode_other)
    return tf.ensure_shape(decoded, (None, None, None)), brightest


def _decode_16_bit_gray(image_bytes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    # Rounded; decode_image would cut the lower byte off.
    gray = tf.cast(tf.io.decode_png(image_bytes, dtype=tf.uint16), tf.int32)
    largest = bit_depth.MAX_16_BIT
    rounded = tf.cast((gray * _OPAQUE + largest // 2) // largest, tf.uint8)
    return rounded, tf.reduce_max(gray)


def _to_rgb(decoded: tf.Tensor, *, has_alpha: tf.Tensor) -> tf.Tensor:
    """Converts 1 to 4 channels, gray or RGB with or without alpha, to RGB.

    Without alpha, the fourth channel of a BMP image is padding, usually 0.
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
