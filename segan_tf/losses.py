"""The losses, one value per image, so that replicas can add them up.

Symbols: image x, true label map y, segmentor S, critic C with scales
i = 1..L, masking o, features f^i, labels j = 1..k with weights w_j of mean 1.
"""

from collections.abc import Sequence

import tensorflow as tf

DICE_EPSILON = 1.0  # pixels; keeps the Dice loss of few pixels smooth
LOG_EPSILON = 1e-7  # keeps log(p) finite; Keras' own


def scale_distances(
    features: Sequence[tf.Tensor], other_features: Sequence[tf.Tensor]
) -> tf.Tensor:
    """Computes || f^i(x) - f^i(x') ||_1 for every scale i.

    The L1 norm is the mean absolute difference over the scale's positions and
    channels (reference, Loss), so that scales of any size weigh the same.

    Args:
      features: L tensors [batch, views, height_i, width_i, channels_i], see
        `critic.compute_features`.
      other_features: the same shapes.

    Returns:
      float32 [batch, views, L].
    """
    return tf.stack(
        [
            tf.reduce_mean(
                tf.abs(tf.cast(f, tf.float32) - tf.cast(g, tf.float32)),
                axis=(2, 3, 4),
            )
            for f, g in zip(features, other_features, strict=True)
        ],
        axis=2,
    )


def multi_scale_l1(
    distances: tf.Tensor, weights: Sequence[float] | tf.Tensor = ()
) -> tf.Tensor:
    """Computes l_mae = (1/L) sum_i || f^i(x o S(x)) - f^i(x o y) ||_1.

    Source: SegAN, equation 2, with the reference's mean absolute difference.
    Several views are averaged, (1/k) sum_j w_j l_mae_j, so that the loss
    keeps its size whatever the number of labels.
    Worked by hand: scales [1, 3] against [2, 5] and [4] against [0] have the
    distances (1 + 2) / 2 = 1.5 and 4, so the loss is (1.5 + 4) / 2 = 2.75.

    Args:
      distances: float32 [batch, views, L], from `scale_distances`.
      weights: one for each view; all 1 if left out.

    Returns:
      float32 [batch].
    """
    return weighted_mean(tf.reduce_mean(distances, axis=2), weights)


def weighted_mean(
    values: tf.Tensor, weights: Sequence[float] | tf.Tensor = ()
) -> tf.Tensor:
    """Computes (1/k) sum_j w_j v_j over the labels.

    The sum is divided by k, not by sum_j w_j, so that the same mean over some
    of the labels, drawn at random, has this one as its expectation.

    Args:
      values: float32 [batch, labels].
      weights: [labels], of mean 1; all 1 if left out.

    Returns:
      float32 [batch].
    """
    if not isinstance(weights, tf.Tensor) and not weights:
        return tf.reduce_mean(values, axis=1)
    return tf.reduce_mean(values * weights, axis=1)


def soft_dice_loss(
    true_label_map: tf.Tensor,
    predicted_label_map: tf.Tensor,
    *,
    weights: Sequence[float] = (),
    multiclass: bool = True,
) -> tf.Tensor:
    """Computes 1 - (2 sum p y + e) / (sum p^2 + sum y^2 + e).

    Source: V-Net (arXiv:1606.04797), equation of section 3. e is 1 pixel, but
    all pixels of the image for a label that the image lacks. With 1 there
    too, such images alone decide: at p = 0.01 everywhere their gradient,
    over 128x128 pixels, is some twenty times that of an image which has the
    label, and a thin or rare one is never learned. With all pixels the loss of
    an absent label is about the mean of p^2, and 0 once nothing of it is
    predicted. Worked by hand: p = [1, 0.5], y = [1, 0] gives
    1 - (2 + 1) / (1.25 + 1 + 1) = 0.0769; y = [0, 0] gives
    1 - 2 / (1.25 + 2) = 0.3846.

    Args:
      true_label_map: float32 [batch, height, width, labels] in {0, 1}.
      predicted_label_map: the same shape, in [0, 1].
      weights: one for each label; all 1 if left out.
      multiclass: accepted and not used, so that all terms are called alike.

    Returns:
      float32 [batch], the weighted mean over the labels.
    """
    del multiclass
    p, y = predicted_label_map, true_label_map
    both = tf.reduce_sum(p * y, axis=(1, 2))
    each = tf.reduce_sum(p * p + y * y, axis=(1, 2))
    absent = tf.reduce_sum(y, axis=(1, 2)) == 0
    pixels = tf.cast(tf.reduce_prod(tf.shape(y)[1:3]), tf.float32)
    smooth = tf.where(absent, pixels, DICE_EPSILON)
    return weighted_mean(1 - (2 * both + smooth) / (each + smooth), weights)


def cross_entropy(
    true_label_map: tf.Tensor,
    predicted_label_map: tf.Tensor,
    *,
    multiclass: bool = True,
    weights: Sequence[float] = (),
) -> tf.Tensor:
    """Computes the cross-entropy, a mean over the pixels.

        multilabel: -(1/k) sum_j w_j (y_j log p_j + (1 - y_j) log(1 - p_j))
        multiclass:   -(sum_j w_j y_j log p_j + y_0 log p_0)

    with the background y_0 = 1 - sum_j y_j and p_0 = 1 - sum_j p_j, and every
    p kept off 0 and 1. For one label the two are the same. Worked by hand:
    p = 0.5 everywhere gives -log 0.5 = 0.693 for one label.

    Args:
      true_label_map: float32 [batch, height, width, labels] in {0, 1}.
      predicted_label_map: the same shape, in [0, 1].
      multiclass: at most one label holds at a pixel.
      weights: one for each label; all 1 if left out.

    Returns:
      float32 [batch].
    """
    p, y = predicted_label_map, true_label_map
    present = tf.reduce_mean(y * _log(p), axis=(1, 2))
    if multiclass:
        y_0 = 1 - tf.reduce_sum(y, axis=-1)
        p_0 = 1 - tf.reduce_sum(p, axis=-1)
        background = tf.reduce_mean(y_0 * _log(p_0), axis=(1, 2))
        return -(weighted_mean(present, weights) * y.shape[-1] + background)
    absent = tf.reduce_mean((1 - y) * _log(1 - p), axis=(1, 2))
    return -weighted_mean(present + absent, weights)


def _log(p: tf.Tensor) -> tf.Tensor:
    return tf.math.log(tf.clip_by_value(p, LOG_EPSILON, 1 - LOG_EPSILON))


# The terms of the segmentor's loss that compare label maps, by the name in the
# log: (true, predicted, *, multiclass, weights) -> float32 [batch]. The setting
# that weighs a term is in config.py.
LABEL_MAP_TERMS = {
    "dice_loss": soft_dice_loss,
    "cross_entropy": cross_entropy,
}
