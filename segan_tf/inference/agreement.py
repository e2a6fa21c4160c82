"""Measures how much several outlines of one image agree.

The predictor and the exported graphs call the same functions.
"""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import tensorflow as tf

from segan_tf.imaging import preprocessing

MAX_PIXELS = 1 << 16  # of an image that are compared

# Factor of the odds of the thresholds around the decision's own: of 0.5 they
# are 0.1 and 0.9. Of the factors tried (2.3, 4, 9) it ranks images best.
ODDS = 9.0

# The pixels of the largest image at each step; far more than can be read.
_PIXELS_AT_STEP = MAX_PIXELS * np.arange(256, dtype=np.int64) ** 2

_Array = TypeVar("_Array", np.ndarray, tf.Tensor)


def thin_out(array: _Array) -> _Array:
    """Takes every n-th row and column, so that MAX_PIXELS are left at most.

    The step n is the root of the pixels / MAX_PIXELS, rounded up.

    Args:
      array: [height, width, channels]; an array is not copied.
    """
    size = tf.shape(array) if tf.is_tensor(array) else np.shape(array)
    pixels = tf.cast(size[0], tf.int64) * tf.cast(size[1], tf.int64)
    step = tf.reduce_sum(tf.cast(pixels > _PIXELS_AT_STEP, tf.int32))
    small = array[step // 2 :: step, step // 2 :: step]
    if isinstance(small, tf.Tensor):
        # Which a graph does not see by itself.
        small.set_shape((None, None, array.shape[-1]))
    return small


def outlines(
    probability_map: np.ndarray | tf.Tensor,
    *,
    multiclass: bool,
    thresholds: Sequence[float],
) -> list[tf.Tensor]:
    """Decides at the thresholds, and at lower and higher ones.

    Args:
      probability_map: float32 [height, width, labels] in [0, 1].
      multiclass: at most one label at a pixel.
      thresholds: one for each label.

    Returns:
      Three label maps, float32 [height, width, labels] in {0, 1}, thinned out.
    """
    small = thin_out(probability_map)
    return [
        preprocessing.decide_label_map(
            small,
            multiclass=multiclass,
            thresholds=[t * odds / (t * odds + 1 - t) for t in thresholds],
        )
        for odds in (1 / ODDS, 1.0, ODDS)
    ]


def mean_pairwise_dice(
    label_maps: Sequence[np.ndarray | tf.Tensor],
) -> tf.Tensor:
    """Computes the mean Dice of all pairs of label maps.

    Of several labels it is the mean over those that any map has. Where no map
    has a label, there is nothing to agree on, and the result is 0. Example:
    maps of 1, 2 and 4 pixels, each inside the next, give the mean of 2 / 3,
    2 / 5 and 4 / 6.

    Args:
      label_maps: at least two, [height, width, labels] in {0, 1} or bool, of
        MAX_PIXELS at most.

    Returns:
      float32 [] in [0, 1].
    """
    maps = tf.cast(tf.stack(label_maps), tf.float32)
    count, *_, labels = maps.shape
    flat = tf.reshape(tf.transpose(maps, (3, 0, 1, 2)), (labels, count, -1))
    # One by one, since servers are to run no more kinds of operators.
    both = tf.stack(
        [tf.matmul(one, one, transpose_b=True) for one in tf.unstack(flat)]
    )
    areas = tf.reduce_sum(flat, axis=-1)
    each = areas[:, :, None] + areas[:, None, :]
    dice = tf.where(each > 0, 2 * both / tf.maximum(each, 1.0), 1.0)
    is_used = tf.cast(tf.reduce_any(areas > 0, axis=-1), tf.float32)
    is_pair = np.triu(np.ones((count, count), np.float32), k=1)
    return tf.math.divide_no_nan(
        tf.reduce_sum(dice * is_pair * is_used[:, None, None]),
        tf.reduce_sum(is_used) * is_pair.sum(),
    )
