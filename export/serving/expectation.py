"""The expected Dice of a label map, computed in a server's graph."""

from collections.abc import Sequence

import tensorflow as tf

from segan_tf.expected_dice import Curve
from segan_tf.inference import agreement


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
    outlines = agreement.outlines(
        probability_map, multiclass=multiclass, thresholds=thresholds
    )
    return interpolate(curve, agreement.mean_pairwise_dice(outlines))


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
