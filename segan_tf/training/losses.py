"""The losses, one value per image, so that replicas can add them up.

Symbols: image x, true label map y, segmentor S, critic C with scales
i = 1..L, masking o, features f^i.
"""

from collections.abc import Sequence

import tensorflow as tf

from segan_tf import config


def scale_distances(
    features: Sequence[tf.Tensor], other_features: Sequence[tf.Tensor]
) -> tf.Tensor:
    """Computes || f^i(x) - f^i(x') ||_1 for every scale i.

    The L1 norm is the mean absolute difference over the scale's positions and
    channels (reference, Loss), so that scales of any size weigh the same.

    Args:
      features: L tensors [batch, height_i, width_i, channels_i].
      other_features: the same shapes.

    Returns:
      float32 [batch, L].
    """
    return tf.stack(
        [
            tf.reduce_mean(
                tf.abs(tf.cast(f, tf.float32) - tf.cast(g, tf.float32)),
                axis=(1, 2, 3),
            )
            for f, g in zip(features, other_features, strict=True)
        ],
        axis=1,
    )


def multi_scale_l1(
    features: Sequence[tf.Tensor], other_features: Sequence[tf.Tensor]
) -> tf.Tensor:
    """Computes l_mae = (1/L) sum_i || f^i(x o S(x)) - f^i(x o y) ||_1.

    Source: SegAN, equation 2, with the reference's mean absolute difference.
    Worked by hand: scales [1, 3] against [2, 5] and [4] against [0] have the
    distances (1 + 2) / 2 = 1.5 and 4, so the loss is (1.5 + 4) / 2 = 2.75.

    Args:
      features: L tensors [batch, height_i, width_i, channels_i].
      other_features: the same shapes.

    Returns:
      float32 [batch].
    """
    return tf.reduce_mean(scale_distances(features, other_features), axis=1)


def soft_dice_loss(
    predicted_label_map: tf.Tensor, true_label_map: tf.Tensor
) -> tf.Tensor:
    """Computes 1 - (2 sum p y + e) / (sum p^2 + sum y^2 + e), e = 1 pixel.

    Source: V-Net (arXiv:1606.04797), equation of section 3; e makes two empty
    maps a loss of 0. Worked by hand: p = [1, 0.5], y = [1, 0] gives
    1 - (2 + 1) / (1.25 + 1 + 1) = 0.0769.

    Args:
      predicted_label_map: float32 [batch, height, width, labels] in [0, 1].
      true_label_map: the same shape, in {0, 1}.

    Returns:
      float32 [batch], the mean over the labels.
    """
    p, y = predicted_label_map, true_label_map
    both = tf.reduce_sum(p * y, axis=(1, 2))
    each = tf.reduce_sum(p * p + y * y, axis=(1, 2))
    smooth = config.DICE_EPSILON
    return tf.reduce_mean(1 - (2 * both + smooth) / (each + smooth), axis=1)


def binary_cross_entropy(
    predicted_label_map: tf.Tensor, true_label_map: tf.Tensor
) -> tf.Tensor:
    """Computes -mean(y log p + (1 - y) log(1 - p)), p kept off 0 and 1.

    Worked by hand: p = 0.5 everywhere gives -log 0.5 = 0.693.

    Args:
      predicted_label_map: float32 [batch, height, width, labels] in [0, 1].
      true_label_map: the same shape, in {0, 1}.

    Returns:
      float32 [batch].
    """
    p = tf.clip_by_value(
        predicted_label_map, config.LOG_EPSILON, 1 - config.LOG_EPSILON
    )
    y = true_label_map
    return -tf.reduce_mean(
        y * tf.math.log(p) + (1 - y) * tf.math.log(1 - p), axis=(1, 2, 3)
    )
