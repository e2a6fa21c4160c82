"""The expected Dice of a label map, computed in a server's graph.

It is what `segan_tf.inference.agreement` and a `Curve` compute, of operators
that servers may run.
"""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from segan_tf.expected_dice import Curve
from segan_tf.imaging import preprocessing
from segan_tf.inference import agreement

# The pixels of the largest image at each step; far more than can be read.
_PIXELS_AT_STEP = agreement.MAX_PIXELS * np.arange(256, dtype=np.int64) ** 2


def expect_dice(
    probability_map: tf.Tensor,
    *,
    multiclass: bool,
    thresholds: Sequence[float],
    curve: Curve,
) -> tf.Tensor:
    """Computes what `Predictor.expect_dice` does without views.

    Args:
      probability_map: float32 [height, width, labels] in [0, 1]. Only a thinned
        out copy of it is made.
      multiclass: at most one label at a pixel.
      thresholds: one for each label.
      curve: from the agreement of outlines at several thresholds.

    Returns:
      float32 [] in [0, 1].
    """
    found = outlines(
        probability_map, multiclass=multiclass, thresholds=thresholds
    )
    return interpolate(curve, mean_pairwise_dice(found))


def interpolate(curve: Curve, value: tf.Tensor) -> tf.Tensor:
    """Reads a curve as calling it does, of operators that servers may run.

    Args:
      curve: constants of the graph.
      value: float32 [], the agreement.

    Returns:
      float32 [], the expected Dice.
    """
    # float64, as in Python: a curve may rise steeply.
    points = tf.constant(curve.agreement, tf.float64)
    dice = tf.constant(curve.dice, tf.float64)
    value = tf.cast(value, tf.float64)
    passed = tf.reduce_sum(tf.cast(points <= value, tf.int32))
    low = tf.maximum(passed - 1, 0)
    high = tf.minimum(passed, len(curve.agreement) - 1)
    # Outside of the points both are the same one, and the share is 0.
    share = tf.math.divide_no_nan(
        value - points[low], points[high] - points[low]
    )
    return tf.cast(dice[low] + share * (dice[high] - dice[low]), tf.float32)


def thin_out(array: tf.Tensor) -> tf.Tensor:
    """Takes every n-th row and column, as `agreement.thin_out` does.

    Args:
      array: [height, width, channels].
    """
    size = tf.shape(array)
    pixels = tf.cast(size[0], tf.int64) * tf.cast(size[1], tf.int64)
    step = tf.reduce_sum(tf.cast(pixels > _PIXELS_AT_STEP, tf.int32))
    small = array[step // 2 :: step, step // 2 :: step]
    # A graph does not see by itself how many channels are left.
    small.set_shape((None, None, array.shape[-1]))
    return small


def outlines(
    probability_map: tf.Tensor,
    *,
    multiclass: bool,
    thresholds: Sequence[float],
) -> list[tf.Tensor]:
    """Decides at several thresholds, as `agreement.outlines` does.

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
        for odds in (1 / agreement.ODDS, 1.0, agreement.ODDS)
    ]


def mean_pairwise_dice(label_maps: Sequence[tf.Tensor]) -> tf.Tensor:
    """Computes what `agreement.mean_pairwise_dice` does.

    Args:
      label_maps: at least two, [height, width, labels] in {0, 1}, thinned
        out.

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
