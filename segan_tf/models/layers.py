"""Keras layers and constraints of the segmentors and critics.

Importing this module registers them with Keras; every builder imports it. In a
program that only loads a saved model:

>>> import segan_tf.models.layers
>>> segmentor = keras.models.load_model("segmentor.keras")
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

UP_KERNEL = 3  # the paper, Networks: 3x3 stride-1 convolutions
_IMAGE_CHANNELS = 3  # RGB


@keras.saving.register_keras_serializable(package="segan_tf")
class BatchNormalization(keras.layers.BatchNormalization):
    """Batch normalization of images in one operation, in training, too.

    Keras 2 has that operation; Keras 3 takes several that read the image again
    each. Weights, results and moving statistics are those of the layer of
    Keras. With ``synchronized`` it is that layer.
    """

    def call(
        self, inputs: tf.Tensor, training: bool | None = None, **kwargs: Any
    ) -> tf.Tensor:
        """Maps dtype [b, h, w, c] to dtype [b, h, w, c]."""
        is_plain = self.synchronized or not hasattr(keras, "ops")
        if is_plain or not (training and self.trainable):
            return super().call(inputs, training=training, **kwargs)
        x = tf.cast(inputs, tf.float32)
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=x,
            scale=self.gamma,
            offset=self.beta,
            mean=[],
            variance=[],
            epsilon=self.epsilon,
            is_training=True,
        )
        # Of n - 1 values, where Keras keeps that of n.
        count = tf.cast(tf.size(x) // x.shape[-1], tf.float32)
        variance *= (count - 1) / count
        for moving, value in (
            (self.moving_mean, mean),
            (self.moving_variance, variance),
        ):
            moving.assign(moving * self.momentum + value * (1 - self.momentum))
        return tf.cast(outputs, self.compute_dtype)


@keras.saving.register_keras_serializable(package="segan_tf")
class MulticlassSoftmax(keras.layers.Layer):
    """Computes softmax(0, z_1, ..., z_k) and drops the background.

    The background's logit is 0: adding a number to all k + 1 logits changes
    nothing, so one of them can be fixed. Example: logits [log 2, log 1] give
    [2 / 4, 1 / 4]; the background has 1 / 4.
    """

    def call(self, logits: tf.Tensor) -> tf.Tensor:
        """Maps float32 [b, h, w, k] to float32 [b, h, w, k] in [0, 1]."""
        with_background = tf.pad(logits, ((0, 0), (0, 0), (0, 0), (1, 0)))
        return tf.nn.softmax(with_background)[..., 1:]

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """Returns the shape of the input."""
        return input_shape


@keras.saving.register_keras_serializable(package="segan_tf")
class MaskedImageOfLabel(keras.layers.Layer):
    """Selects one label's masked image from the stack of all of them.

    Args:
      label: index of the label, from 0.
      **kwargs: of `keras.layers.Layer`.
    """

    def __init__(self, label: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.label = label

    def call(self, masked: tf.Tensor) -> tf.Tensor:
        """Maps float32 [b, h, w, 3 labels] to float32 [b, h, w, 3]."""
        first = _IMAGE_CHANNELS * self.label
        return masked[..., first : first + _IMAGE_CHANNELS]

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """Returns the shape of a single masked image."""
        return (*input_shape[:-1], _IMAGE_CHANNELS)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        return {**super().get_config(), "label": self.label}


@keras.saving.register_keras_serializable(package="segan_tf")
class StyleModulation(keras.layers.Layer):
    """Scales and shifts the channels by an annotation style (FiLM).

        y = x (1 + s A) + s B

    with the style s, and A and B of [styles, channels] that start at 0, so
    that a new layer changes nothing (feature-wise linear modulation,
    arXiv:1709.07871).

    Args:
      constraint: of A and B.
      **kwargs: of `keras.layers.Layer`.
    """

    def __init__(
        self,
        constraint: keras.constraints.Constraint | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.constraint = constraint

    def build(self, input_shape: Sequence[tuple]) -> None:
        """Makes A and B for the shapes of [x, style]."""
        features, style = input_shape
        for name in ("scale", "offset"):
            weight = self.add_weight(
                name=name,
                shape=(style[-1], features[-1]),
                initializer="zeros",
                constraint=self.constraint,
            )
            setattr(self, name, weight)
        super().build(input_shape)

    def call(self, inputs: Sequence[tf.Tensor]) -> tf.Tensor:
        """Maps dtype [b, h, w, c] and dtype [b, styles] to [b, h, w, c]."""
        x, style = inputs
        scale, offset = (
            tf.matmul(style, tf.cast(weight, style.dtype))[:, None, None]
            for weight in (self.scale, self.offset)
        )
        return x * (1 + scale) + offset

    def compute_output_shape(self, input_shape: Sequence[tuple]) -> tuple:
        """Returns the shape of x."""
        return input_shape[0]

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        constraint = keras.constraints.serialize(self.constraint)
        return {**super().get_config(), "constraint": constraint}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "StyleModulation":
        """Makes a layer from what `get_config` returned."""
        constraint = keras.constraints.deserialize(config["constraint"])
        return cls(**{**config, "constraint": constraint})


@keras.saving.register_keras_serializable(package="segan_tf")
class Clip(keras.constraints.Constraint):
    """Clips every weight to [-limit, limit] after the optimizer's step.

    Without a bound the critic's loss can grow to infinity (SegAN, section 3).
    The scale and offset of batch normalization are clipped too, as in the
    2018 code: they alone can make the features, and so the loss, grow.

    Args:
      limit: the largest absolute value of a weight.
    """

    def __init__(self, limit: float) -> None:
        self.limit = limit

    def __call__(self, w: tf.Tensor) -> tf.Tensor:
        """Returns the clipped weights."""
        return tf.clip_by_value(w, -self.limit, self.limit)

    def get_config(self) -> dict[str, float]:
        """Returns the arguments of the constructor."""
        return {"limit": self.limit}


@keras.saving.register_keras_serializable(package="segan_tf")
class ResizeConv(keras.layers.Conv2D):
    """Resizes by two (bilinear), then convolves 3x3, for a few channels.

    Computed as 1x1 convolution to the 9 taps, resize, shift and sum: the same
    function, because a 1x1 convolution and a resize of every channel commute.
    The resized tensor then has 9 channels per label instead of all channels of
    the input, which is the most expensive part of the plain order: measured
    on 2 CPU cores this layer's forward and backward pass takes a third of the
    time at width 16 and a seventh at width 64.

    Args:
      filters: channels of the output.
      **kwargs: of `keras.layers.Conv2D`, except those that `FIXED` sets.
    """

    # What `call` computes; passing any of these is a TypeError.
    FIXED = {
        "kernel_size": UP_KERNEL,
        "strides": 1,
        "padding": "same",
        "data_format": "channels_last",
        "dilation_rate": 1,
        "groups": 1,
        "activation": None,
        "use_bias": True,
    }

    def __init__(self, filters: int, **kwargs: Any) -> None:
        super().__init__(filters, **self.FIXED, **kwargs)

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """Maps dtype [b, h, w, c] to dtype [b, 2 h, 2 w, filters]."""
        kernel = tf.transpose(tf.cast(self.kernel, x.dtype), (2, 0, 1, 3))
        taps = tf.reshape(kernel, (1, 1, x.shape[-1], -1))
        maps = tf.nn.conv2d(x, taps, 1, "VALID")
        size = (2 * x.shape[1], 2 * x.shape[2])
        maps = tf.cast(tf.image.resize(maps, size), x.dtype)
        return _shift_and_sum(maps) + tf.cast(self.bias, x.dtype)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """Returns twice the height and width, and the filters."""
        batch, height, width, _ = input_shape
        return (batch, 2 * height, 2 * width, self.filters)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        config = super().get_config()
        return {k: v for k, v in config.items() if k not in self.FIXED}


@tf.custom_gradient
def _shift_and_sum(maps: tf.Tensor) -> tuple[tf.Tensor, Any]:
    """Adds the 9 tap maps, each shifted to its place in the 3x3 window.

    The gradient is written out because TensorFlow's own, nine
    zero-filled tensors of the full size, takes longer than the convolution.
    """
    side = UP_KERNEL
    labels = maps.shape[-1] // side**2
    shifts = [(row, column) for row in range(side) for column in range(side)]

    def shifted(x: tf.Tensor, row: int, column: int) -> tf.Tensor:
        height, width = maps.shape[1], maps.shape[2]
        return x[:, row : row + height, column : column + width]

    def gradient(upstream: tf.Tensor) -> tf.Tensor:
        padded = tf.pad(upstream, ((0, 0), (1, 1), (1, 1), (0, 0)))
        return tf.concat(
            [shifted(padded, 2 - row, 2 - column) for row, column in shifts],
            axis=-1,
        )

    # As a convolution whose kernel only selects: nine slices and their sum are
    # twenty TFLite operators, and neither XNNPACK nor int8 has AddN.
    selected = np.zeros((side, side, maps.shape[-1], labels), np.float32)
    for tap, (row, column) in enumerate(shifts):
        for label in range(labels):
            selected[row, column, tap * labels + label, label] = 1
    total = tf.nn.conv2d(maps, tf.cast(selected, maps.dtype), 1, "SAME")
    return total, gradient
