"""Metrics of batches of label maps, as TensorFlow operations."""

import tensorflow as tf


def as_label_maps(
    y_true: tf.Tensor, y_pred: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Casts the arguments of a Keras loss or metric to float32 label maps.

    Raises:
      ValueError: they are not [batch, height, width, labels], or their shapes
        differ and would be broadcast.
    """
    y_true, y_pred = (tf.cast(y, tf.float32) for y in (y_true, y_pred))
    if y_pred.shape.rank not in (
        None,
        4,
    ) or not y_true.shape.is_compatible_with(y_pred.shape):
        raise ValueError(
            f"y_true {y_true.shape} and y_pred {y_pred.shape} must have the "
            "same shape (batch, height, width, labels)"
        )
    return y_true, y_pred


def hard_dice(label_map: tf.Tensor, true_label_map: tf.Tensor) -> tf.Tensor:
    """Computes 2 |X Y| / (|X| + |Y|) of two label maps, 1 if both are empty.

    Example: [1, 1, 0, 0] and [1, 0, 1, 0] give 2 * 1 / (2 + 2) = 0.5.

    Args:
      label_map: float32 [batch, height, width, labels] in {0, 1}.
      true_label_map: the same shape, in {0, 1}.

    Returns:
      float32 [batch, labels].
    """
    both = tf.reduce_sum(label_map * true_label_map, axis=(1, 2))
    each = tf.reduce_sum(label_map + true_label_map, axis=(1, 2))
    return tf.where(each > 0, 2 * both / tf.maximum(each, 1), 1.0)


def hard_iou(label_map: tf.Tensor, true_label_map: tf.Tensor) -> tf.Tensor:
    """Computes |X Y| / |X u Y| of two label maps, 1 if both are empty.

    Example: [1, 1, 0, 0] and [1, 0, 1, 0] give 1 / (2 + 2 - 1) = 0.333.

    Args:
      label_map: float32 [batch, height, width, labels] in {0, 1}.
      true_label_map: the same shape, in {0, 1}.

    Returns:
      float32 [batch, labels].
    """
    both = tf.reduce_sum(label_map * true_label_map, axis=(1, 2))
    either = tf.reduce_sum(tf.maximum(label_map, true_label_map), axis=(1, 2))
    return tf.where(either > 0, both / tf.maximum(either, 1), 1.0)


def confusion_matrix(
    label_map: tf.Tensor, true_label_map: tf.Tensor
) -> tf.Tensor:
    """Counts pixels of multiclass labels by true and predicted label.

    Args:
      label_map: float32 [batch, height, width, labels] in {0, 1}.
      true_label_map: the same shape, in {0, 1}.

    Returns:
      int32 [labels + 1, labels + 1]: rows are true labels, columns predicted
      ones; the first of each is the background.
    """
    count = label_map.shape[-1]
    numbers = tf.range(1, count + 1, dtype=tf.float32)
    true, predicted = (
        tf.cast(tf.reshape(tf.reduce_sum(m * numbers, -1), (-1,)), tf.int32)
        for m in (true_label_map, label_map)
    )
    return tf.math.confusion_matrix(true, predicted, count + 1)
