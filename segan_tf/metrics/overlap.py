"""Dice and IoU as Keras metrics, averaged per label over images."""

from typing import Any

import keras
import tensorflow as tf

from segan_tf.imaging import preprocessing
from segan_tf.metrics import batch


class _MeanOverImages(keras.metrics.Metric):
    """The mean over images of a metric of binary label maps.

    Subclasses say which one in `_measure`.
    """

    def __init__(
        self, num_labels: int = 1, multiclass: bool = True, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.num_labels = num_labels
        self.multiclass = multiclass
        self._total = self.add_weight(
            name="total", shape=(num_labels,), initializer="zeros"
        )
        self._count = self.add_weight(
            name="count", shape=(num_labels,), initializer="zeros"
        )

    def _measure(
        self, label_map: tf.Tensor, true_label_map: tf.Tensor
    ) -> tf.Tensor:
        """Maps two float32 [b, h, w, labels] in {0, 1} to [b, labels]."""
        raise NotImplementedError

    def update_state(
        self,
        y_true: tf.Tensor,
        y_pred: tf.Tensor,
        sample_weight: tf.Tensor | None = None,
    ) -> None:
        """Adds a batch.

        Args:
          y_true: [batch, height, width, labels] in {0, 1}.
          y_pred: float32 of the same shape, in [0, 1].
          sample_weight: [batch], the weight of each image.

        Raises:
          ValueError: the shapes differ, or there are not num_labels channels.
        """
        y_true, y_pred = batch.as_label_maps(y_true, y_pred)
        if y_pred.shape[-1] != self.num_labels:
            raise ValueError(
                f"num_labels ({self.num_labels}) must be the number of "
                f"channels of y_pred {tuple(y_pred.shape)}"
            )
        label_map = preprocessing.decide_label_map(
            y_pred, multiclass=self.multiclass
        )
        either = tf.maximum(label_map, y_true)
        weights = tf.reduce_max(either, axis=(1, 2))
        if sample_weight is not None:
            sample_weight = tf.cast(sample_weight, tf.float32)
            weights *= tf.reshape(sample_weight, (-1, 1))
        values = weights * self._measure(label_map, y_true)
        self._total.assign_add(tf.reduce_sum(values, axis=0))
        self._count.assign_add(tf.reduce_sum(weights, axis=0))

    def per_label(self) -> tf.Tensor:
        """Returns the mean of each label, float32 [labels]; 1 without images.

        A label counts in the images that have it or where it is predicted:
        if it counted as right wherever it is absent, a model that never
        predicts a rare label would score well.
        """
        mean = tf.math.divide_no_nan(
            tf.convert_to_tensor(self._total), tf.convert_to_tensor(self._count)
        )
        return tf.where(tf.convert_to_tensor(self._count) > 0, mean, 1.0)

    def result(self) -> tf.Tensor:
        """Returns the mean over the labels, float32 scalar."""
        return tf.reduce_mean(self.per_label())

    def reset_state(self) -> None:
        """Forgets all images."""
        for variable in (self._total, self._count):
            variable.assign(tf.zeros(variable.shape))

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        return {
            **super().get_config(),
            "num_labels": self.num_labels,
            "multiclass": self.multiclass,
        }


@keras.saving.register_keras_serializable(package="segan_tf")
class Dice(_MeanOverImages):
    """Computes the mean Dice coefficient over images, then over labels.

    Dice = 2 |X Y| / (|X| + |Y|) of the predicted pixels X and the true pixels
    Y of a label in an image; predicted as `preprocessing.decide_label_map`
    decides: above 0.5, or the likeliest of several multiclass labels.

    A label counts in the images that have it or where it is predicted.
    `result` is the mean over the labels, `per_label` each label's.

    >>> y_true = [[[[1.0], [0.0], [1.0]]]]  # an image of 1 x 3 pixels
    >>> y_pred = [[[[0.9], [0.6], [0.2]]]]
    >>> metric = Dice()
    >>> metric.update_state(y_true, y_pred)
    >>> metric.result()  # 2 * 1 / (2 + 2)
    0.5

    Args:
      num_labels: number of labels, background not counted.
      multiclass: whether a pixel has at most one label.
      name: name of the metric.
      **kwargs: ``dtype``, of `keras.metrics.Metric`.
    """

    def __init__(
        self,
        num_labels: int = 1,
        multiclass: bool = True,
        *,
        name: str = "dice",
        **kwargs: Any,
    ) -> None:
        super().__init__(num_labels, multiclass, name=name, **kwargs)

    def _measure(
        self, label_map: tf.Tensor, true_label_map: tf.Tensor
    ) -> tf.Tensor:
        return batch.hard_dice(label_map, true_label_map)


@keras.saving.register_keras_serializable(package="segan_tf")
class IoU(_MeanOverImages):
    """Computes the mean intersection over union over images, then labels.

    IoU = |X Y| / (|X| + |Y| - |X Y|), the Jaccard index; everything else is as
    in `Dice`.

    >>> y_true = [[[[1.0], [0.0], [1.0]]]]  # an image of 1 x 3 pixels
    >>> y_pred = [[[[0.9], [0.6], [0.2]]]]
    >>> metric = IoU()
    >>> metric.update_state(y_true, y_pred)
    >>> metric.result()  # 1 / (2 + 2 - 1)
    0.333

    Args:
      num_labels: number of labels, background not counted.
      multiclass: whether a pixel has at most one label.
      name: name of the metric.
      **kwargs: ``dtype``, of `keras.metrics.Metric`.
    """

    def __init__(
        self,
        num_labels: int = 1,
        multiclass: bool = True,
        *,
        name: str = "iou",
        **kwargs: Any,
    ) -> None:
        super().__init__(num_labels, multiclass, name=name, **kwargs)

    def _measure(
        self, label_map: tf.Tensor, true_label_map: tf.Tensor
    ) -> tf.Tensor:
        return batch.hard_iou(label_map, true_label_map)
