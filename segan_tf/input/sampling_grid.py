"""Warps: rotation, scale, shear and elastic deformation of a training pair.

All of them together say for each pixel of the result where in the source it
comes from, so that a pair is interpolated once, however it is warped.
"""

import math

import keras
import tensorflow as tf

from segan_tf import compat

# --augment=strong: degrees to either side. Flips and transposes turn by
# quarters already; more of a turn mirrors more border into the image; ours.
STRONG_ROTATION = 20
STRONG_SHEAR = 5  # --augment=strong: degrees to either side; ours
# --augment=strong: how far a knot of the elastic deformation moves, of a side.
STRONG_ELASTIC = 0.01
STRONG_SCALE = 1.25  # --augment=strong: size times 1/1.25 to 1.25; ours

_KNOTS = 5  # a side, of the elastic deformation; ours
NUM_DRAWS = 3 + 2 * _KNOTS**2  # what `draw_sampling_grid` needs


def warp(
    image: tf.Tensor, label_map: tf.Tensor, places: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Takes the image, bilinear, and the label map, nearest, at the places.

    Args:
      image: float32 [size, size, channels].
      label_map: float32 [size, size, labels].
      places: float32 [2, size, size]: row and column in pixels, (0, 0) in the
        middle of the first pixel. Beyond the border the image is mirrored.

    Returns:
      Both, of the same shapes.
    """
    places = _mirror(places, image.shape[0])
    # At a pixel's middle bilinear and nearest are the same.
    middles = tf.floor(places + 1 / 2)
    return sample(image, places), sample(label_map, middles)


def sample(x: tf.Tensor, places: tf.Tensor) -> tf.Tensor:
    """Takes x between its pixels, bilinear.

    With (r, c) the whole part of a place and (p, q) the rest:

        (1 - p) ((1 - q) x[r, c] + q x[r, c + 1])
          + p ((1 - q) x[r + 1, c] + q x[r + 1, c + 1])

    Args:
      x: float32 [height, width, channels].
      places: float32 [2, rows, columns] within 0..height - 1 and
        0..width - 1; with tensorflow-addons of x's own size.

    Returns:
      float32 [rows, columns, channels].
    """
    addons = compat.find_addons()
    if addons is None:
        channels = [
            keras.ops.image.map_coordinates(channel, places, order=1)
            for channel in tf.unstack(x, axis=-1)
        ]
        return tf.stack(channels, axis=-1)
    flow = tf.transpose(_identity(x.shape[0]) - places, (1, 2, 0))
    return addons.image.dense_image_warp(x[None], flow[None])[0]


def draw_sampling_grid(draw: tf.Tensor, size: int) -> tf.Tensor:
    """Draws how a pair is warped.

    Of a pixel's distance (x, y) from the middle, in columns and rows, first
    the shear takes x + y tan(shear), then rotation and scale follow, then the
    elastic deformation moves it by what is drawn at knots between which the
    movement is bicubic.

    Args:
      draw: float32 [NUM_DRAWS] in 0..1; 1/2 everywhere warps nothing.
      size: side of the pair in pixels.

    Returns:
      places float32 [2, size, size], as `warp` takes them.
    """
    signed = 2 * draw - 1
    angle, shear = tf.unstack(signed[:2])
    angle *= math.radians(STRONG_ROTATION)
    shear = tf.tan(shear * math.radians(STRONG_SHEAR))
    scale = STRONG_SCALE ** signed[2]
    middle = (size - 1) / 2
    row, column = tf.unstack(_identity(size) - middle)
    column += shear * row
    cos, sin = tf.cos(angle) / scale, tf.sin(angle) / scale
    turned = tf.stack([sin * column + cos * row, cos * column - sin * row])
    knots = tf.reshape(signed[3:], (_KNOTS, _KNOTS, 2))
    bent = tf.image.resize(knots, (size, size), "bicubic")
    bent = tf.transpose(bent, (2, 0, 1)) * (STRONG_ELASTIC * size)
    return middle + turned + bent


def _identity(size: int) -> tf.Tensor:
    """Returns each pixel's own place, float32 [2, size, size]."""
    steps = tf.range(size, dtype=tf.float32)
    return tf.stack(tf.meshgrid(steps, steps, indexing="ij"))


def _mirror(places: tf.Tensor, size: int) -> tf.Tensor:
    """Folds places beyond the border back: d c b a | a b c d | d c b a."""
    folded = size - tf.abs(size - (places + 1 / 2) % (2 * size))
    return tf.clip_by_value(folded - 1 / 2, 0, size - 1)
