"""Metrics of batches of label maps, as TensorFlow operations."""

import tensorflow as tf


def hard_dice(label_map: tf.Tensor, true_label_map: tf.Tensor) -> tf.Tensor:
    """Computes Dice of two binary label maps, 1 where both are empty.

    Args:
      label_map: float32 [batch, height, width, labels] in {0, 1}.
      true_label_map: the same shape, in {0, 1}.

    Returns:
      float32 [batch, labels].
    """
    both = tf.reduce_sum(label_map * true_label_map, axis=(1, 2))
    each = tf.reduce_sum(label_map + true_label_map, axis=(1, 2))
    return tf.where(each > 0, 2 * both / tf.maximum(each, 1), 1.0)


def confusion_matrix(
    label_map: tf.Tensor, true_label_map: tf.Tensor
) -> tf.Tensor:
    """Counts pixels by true and predicted label, of multiclass labels.

    Args:
      label_map: float32 [batch, height, width, labels] in {0, 1}.
      true_label_map: the same shape, in {0, 1}.

    Returns:
      int32 [labels + 1, labels + 1]: rows are true, columns predicted; the
      first of each is the background.
    """
    count = label_map.shape[-1]
    numbers = tf.range(1, count + 1, dtype=tf.float32)
    true, predicted = (
        tf.cast(tf.reshape(tf.reduce_sum(m * numbers, -1), (-1,)), tf.int32)
        for m in (true_label_map, label_map)
    )
    return tf.math.confusion_matrix(true, predicted, count + 1)
