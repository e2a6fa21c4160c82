"""Makes training pairs look more like photographs taken without a dermoscope.

The lesion is smaller, and light and camera are those of a room. All bounds are
ours. They are gentle: a first, stronger attempt, with lesions pasted on drawn
skin, made the results worse on photographs and on dermoscopy images.
"""

import math

import tensorflow as tf

from segan_tf.imaging import preprocessing

MAX_ZOOM = 1.6  # the lesion's size times 1/1.6 to 1; at most 2, see zoom_out
GAMMA = 1.3  # exponent 1/1.3 to 1.3
WARMTH = 1.12  # red times 1/1.12 to 1.12, blue the other way round
GRADIENT = 0.3  # brightness times 0.7 on one side, 1.3 on the other
# A corner below this share of the mean brightness is that of a dermoscope's
# round view: mirrored, it would become a dark spot on the skin.
DARK_CORNER = 0.75
_CORNER = 16  # part of a side that is a corner

ZOOM_DRAWS = 3  # for `zoom_out`
LIGHT_DRAWS = 4  # for `change_light`


def zoom_out(
    image: tf.Tensor, label_map: tf.Tensor, draw: tf.Tensor, *, size: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """Resizes a pair to less than a size and continues it by its mirror image.

    Only what lies beyond the labels is mirrored, so that no lesion is doubled:
    with margins of 20 % on the left, 10 % on the right and more above and
    below, the pair is made at most 1.3 times smaller. Without margins, or with
    dark corners, it is only resized.

    Args:
      image: uint8 [height, width, 3].
      label_map: uint8 [height, width, labels] in {0, 1}.
      draw: float32 [3] in 0..1: how much smaller, and the position, from the
        top and from the left.
      size: side of the result in pixels.

    Returns:
      image float32 [size, size, 3] in the range of the image, and label_map
      uint8 [size, size, labels].
    """
    labeled = tf.reduce_any(label_map > 0, axis=-1)
    margins = tf.stack([_margins(labeled, axis=1), _margins(labeled, axis=0)])
    room = tf.minimum(tf.reduce_min(tf.reduce_sum(margins, 1)), MAX_ZOOM - 1)
    room = tf.where(_has_dark_corner(image), 0.0, room)
    inner = tf.cast(tf.math.ceil(size / (1 + draw[0] * room)), tf.int32)
    beyond = size - inner
    limits = tf.cast(margins * tf.cast(inner, tf.float32), tf.int32)
    least = tf.maximum(0, beyond - limits[:, 1])
    most = tf.maximum(least, tf.minimum(beyond, limits[:, 0]))
    choices = tf.cast(most - least + 1, tf.float32)
    before = least + tf.cast(draw[1:3] * choices, tf.int32)
    paddings = tf.stack([before, beyond - before], axis=1)
    paddings = tf.concat([paddings, [[0, 0]]], axis=0)

    def mirror(x: tf.Tensor) -> tf.Tensor:
        shape = (size, size, x.shape[-1])
        return tf.ensure_shape(tf.pad(x, paddings, "SYMMETRIC"), shape)

    return (
        mirror(preprocessing.resize_image(image, inner, inner)),
        mirror(preprocessing.resize_label_map(label_map, inner, inner)),
    )


def _margins(labeled: tf.Tensor, *, axis: int) -> tf.Tensor:
    """Returns the shares of a side before and after the labels."""
    occupied = tf.cast(tf.reduce_any(labeled, axis=axis), tf.float32)
    # argmax finds the first; where no label is, everything is margin.
    free = tf.stack([tf.argmax(occupied), tf.argmax(occupied[::-1])])
    count = tf.shape(occupied)[0]
    shares = tf.cast(free, tf.float32) / tf.cast(count, tf.float32)
    return tf.where(tf.reduce_any(labeled), shares, tf.ones([2]))


def _has_dark_corner(image: tf.Tensor) -> tf.Tensor:
    gray = tf.reduce_mean(tf.cast(image, tf.float32), axis=-1)
    rows, columns = tf.unstack(tf.maximum(1, tf.shape(gray) // _CORNER))
    corners = [
        tf.reduce_mean(side)
        for edge in (gray[:rows], gray[-rows:])
        for side in (edge[:, :columns], edge[:, -columns:])
    ]
    return tf.reduce_min(corners) < DARK_CORNER * tf.reduce_mean(gray)


def change_light(image: tf.Tensor, draw: tf.Tensor) -> tf.Tensor:
    """Changes gamma, then how warm the light is, then adds a gradient.

    With (x, y) the position of a pixel in -1..1 and a direction t, the
    gradient multiplies by

        1 + amount (x cos t + y sin t) / (|cos t| + |sin t|)

    which is 1 - amount and 1 + amount at its extremes.

    Args:
      image: float32 [height, width, 3] in 0..255.
      draw: float32 [4] in 0..1: gamma, warmth, the amount of the gradient and
        its direction. 1/2, 1/2 and 0 change nothing.

    Returns:
      float32 [height, width, 3] in 0..255.
    """
    signed = 2 * draw[:2] - 1
    image = 255 * (image / 255) ** (GAMMA ** signed[0])
    image *= WARMTH ** (signed[1] * tf.constant([1.0, 0.0, -1.0]))
    amount, direction = GRADIENT * draw[2], 2 * math.pi * draw[3]
    cos, sin = tf.cos(direction), tf.sin(direction)
    rows, columns = (_positions(length) for length in image.shape[:2])
    slope = columns * cos + rows[:, None] * sin
    slope /= tf.abs(cos) + tf.abs(sin)
    image *= (1 + amount * slope)[..., None]
    return tf.clip_by_value(image, 0.0, 255.0)


def _positions(length: int) -> tf.Tensor:
    """Returns float32 [length], -1 for the first pixel and 1 for the last."""
    return tf.linspace(-1.0, 1.0, length)
