"""Rotation, scale, shear and elastic deformation of a training pair.

A sampling grid holds, for each pixel of the result, the place in the source
that it comes from. All deformations are combined in one grid, so that a pair is
interpolated only once.
"""

import math

import tensorflow as tf

from segan_tf import compat

# Bounds of the deformations of --augment=strong, all ours. With --flip=both,
# flips and transposes already rotate by quarter turns, and larger angles mirror
# more of the border into the image.
STRONG_ROTATION = 20  # degrees to either side
STRONG_SHEAR = 5  # degrees to either side
STRONG_SCALE = 1.25  # size times 1/1.25 to 1.25
STRONG_ELASTIC = 0.01  # shift of a knot, as a share of a side

_KNOTS = 5  # a side, of the elastic deformation; ours
NUM_DRAWS = 3 + 2 * _KNOTS**2  # for `draw_sampling_grid`


def warp(
    image: tf.Tensor, label_map: tf.Tensor, grid: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Samples a pair at a grid: the image bilinear, the label map nearest.

    Args:
      image: float32 [size, size, channels].
      label_map: float32 [size, size, labels].
      grid: float32 [2, size, size], row and column in pixels; (0, 0) is the
        center of the first pixel. Outside the border the image is mirrored.

    Returns:
      Both, in their shapes.
    """
    size = image.shape[0]
    grid = _mirror(grid, size)
    nearest = tf.cast(tf.floor(grid + 1 / 2), tf.int32)
    return sample(image, grid), _take(label_map, *tf.unstack(nearest))


def sample(x: tf.Tensor, grid: tf.Tensor) -> tf.Tensor:
    """Samples x bilinearly.

    With (r, c) the integer part of a place and (p, q) its fraction:

        (1 - p) ((1 - q) x[r, c] + q x[r, c + 1])
          + p ((1 - q) x[r + 1, c] + q x[r + 1, c + 1])

    All channels of a pixel are taken at once: `keras.ops.image.map_coordinates`
    takes one channel at a time, and repeats its hundred operations for each.

    Args:
      x: float32 [height, width, channels].
      grid: float32 [2, rows, columns] within 0..height - 1 and 0..width - 1;
        with tensorflow-addons, of the size of x.

    Returns:
      float32 [rows, columns, channels].
    """
    addons = compat.find_addons()
    if addons is not None:
        flow = tf.transpose(_identity(x.shape[0]) - grid, (1, 2, 0))
        return addons.image.dense_image_warp(x[None], flow[None])[0]
    last = tf.constant([x.shape[0] - 1, x.shape[1] - 1])[:, None, None]
    floor = tf.floor(grid)
    before = tf.cast(floor, tf.int32)
    # On the last row or column, what comes after it has the weight 0.
    after = tf.minimum(before + 1, last)
    share = grid - floor
    corners = []
    for rows, row_share in ((before[0], 1 - share[0]), (after[0], share[0])):
        for columns, column_share in (
            (before[1], 1 - share[1]),
            (after[1], share[1]),
        ):
            weight = (row_share * column_share)[..., None]
            corners.append(weight * _take(x, rows, columns))
    return tf.add_n(corners)


def _take(x: tf.Tensor, row: tf.Tensor, column: tf.Tensor) -> tf.Tensor:
    """Takes pixels of x, all channels at once.

    Args:
      x: float32 [height, width, channels].
      row: int32 [rows, columns].
      column: int32 [rows, columns].

    Returns:
      float32 [rows, columns, channels].
    """
    height, width, channels = x.shape
    pixels = tf.reshape(x, (height * width, channels))
    return tf.gather(pixels, row * width + column)


def draw_sampling_grid(draw: tf.Tensor, size: int) -> tf.Tensor:
    """Draws a random sampling grid.

    With (x, y) the columns and rows from the center to a pixel, the shear
    replaces x by x + y tan(shear). Then follow rotation and scale, then the
    elastic deformation, which shifts each knot by a drawn distance and the
    pixels between knots by bicubic interpolation.

    Args:
      draw: float32 [NUM_DRAWS] in 0..1; 1/2 everywhere gives the identity.
      size: side of the pair in pixels.

    Returns:
      float32 [2, size, size], for `warp`.
    """
    signed = 2 * draw - 1
    angle, shear = tf.unstack(signed[:2])
    angle *= math.radians(STRONG_ROTATION)
    shear = tf.tan(shear * math.radians(STRONG_SHEAR))
    scale = STRONG_SCALE ** signed[2]
    center = (size - 1) / 2
    row, column = tf.unstack(_identity(size) - center)
    column += shear * row
    cos, sin = tf.cos(angle) / scale, tf.sin(angle) / scale
    rotated = tf.stack([sin * column + cos * row, cos * column - sin * row])
    knots = tf.reshape(signed[3:], (_KNOTS, _KNOTS, 2))
    shifts = tf.image.resize(knots, (size, size), "bicubic")
    shifts = tf.transpose(shifts, (2, 0, 1)) * (STRONG_ELASTIC * size)
    return center + rotated + shifts


def _identity(size: int) -> tf.Tensor:
    """Returns the grid that changes nothing, float32 [2, size, size]."""
    steps = tf.range(size, dtype=tf.float32)
    return tf.stack(tf.meshgrid(steps, steps, indexing="ij"))


def _mirror(grid: tf.Tensor, size: int) -> tf.Tensor:
    """Reflects places outside the border: d c b a | a b c d | d c b a."""
    folded = size - tf.abs(size - (grid + 1 / 2) % (2 * size))
    return tf.clip_by_value(folded - 1 / 2, 0, size - 1)
