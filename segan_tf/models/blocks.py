"""The blocks that the segmentor and the critic are made of.

Each block is a function x -> x that names its layers ``<name>_<part>``. Batch
normalization takes momentum 0.9 and epsilon 1e-5, SegAN's numbers (PyTorch's
defaults) in Keras' terms; Keras' own would be 0.99 and 1e-3.
"""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

DOWN_KERNEL = 4  # reference, Networks: 4x4 stride-2 convolutions
UP_KERNEL = 3  # reference, Networks: 3x3 stride-1 convolutions
LEVEL_MULTIPLES = (1, 2, 4, 8)  # reference, Networks: 64, 128, 256, 512
LEAKY_SLOPE = 0.2  # SegAN, section 3
BATCH_NORM_MOMENTUM = 0.9  # PyTorch's default in Keras' terms
BATCH_NORM_EPSILON = 1e-5  # PyTorch's default


def down(
    x: keras.KerasTensor,
    channels: int,
    *,
    name: str,
    normalized: bool = True,
    synchronized: bool = False,
    constraint: keras.constraints.Constraint | None = None,
    dtype: str = "float32",
) -> keras.KerasTensor:
    """Halves the size: 4x4 stride-2 convolution, batch norm, LeakyReLU(0.2).

    Args:
      x: dtype [batch, height, width, any].
      channels: channels of the result.
      name: first part of the layers' names.
      normalized: False leaves batch normalization out (the first level).
      synchronized: batch statistics over all replicas.
      constraint: applied to every trained weight after every step.
      dtype: Keras dtype policy of the layers.

    Returns:
      dtype [batch, height / 2, width / 2, channels].
    """
    x = keras.layers.Conv2D(
        channels,
        DOWN_KERNEL,
        strides=2,
        padding="same",
        use_bias=not normalized,
        kernel_constraint=constraint,
        bias_constraint=constraint,
        name=f"{name}_conv",
        dtype=dtype,
    )(x)
    if normalized:
        x = batch_norm(
            x,
            name=name,
            synchronized=synchronized,
            constraint=constraint,
            dtype=dtype,
        )
    return keras.layers.LeakyReLU(
        LEAKY_SLOPE, name=f"{name}_leaky", dtype=dtype
    )(x)


def up(
    x: keras.KerasTensor,
    skip: keras.KerasTensor,
    channels: int,
    *,
    name: str,
    synchronized: bool = False,
    dtype: str = "float32",
) -> keras.KerasTensor:
    """Doubles the size: resize x2, 3x3 convolution, batch norm, ReLU, skip.

    Args:
      x: dtype [batch, height, width, any].
      skip: dtype [batch, 2 height, 2 width, s], the encoder's level of the
        result's size; concatenated behind the new channels.
      channels: channels of the convolution.
      name: first part of the layers' names.
      synchronized: batch statistics over all replicas.
      dtype: Keras dtype policy of the layers.

    Returns:
      dtype [batch, 2 height, 2 width, channels + s].
    """
    x = keras.layers.UpSampling2D(
        2, interpolation="bilinear", name=f"{name}_resize", dtype=dtype
    )(x)
    x = keras.layers.Conv2D(
        channels,
        UP_KERNEL,
        padding="same",
        use_bias=False,
        name=f"{name}_conv",
        dtype=dtype,
    )(x)
    x = batch_norm(x, name=name, synchronized=synchronized, dtype=dtype)
    x = keras.layers.ReLU(name=f"{name}_relu", dtype=dtype)(x)
    return keras.layers.Concatenate(name=f"{name}_skip", dtype=dtype)([x, skip])


def label_map(
    logits: keras.KerasTensor, *, multiclass: bool, name: str
) -> keras.KerasTensor:
    """Turns logits into the probability of each label, in float32.

    Overlapping labels, or a single one, take a sigmoid each. Exclusive ones
    share a softmax with the background, whose logit is 0: adding a number to
    all k + 1 logits changes nothing, so one of them can be fixed, and with
    one label this is the sigmoid. Source: softmax(0, z)_1 = 1 / (1 + e^-z).

    Args:
      logits: dtype [batch, height, width, labels].
      multiclass: at most one label holds at a pixel.
      name: of the layer.

    Returns:
      float32 [batch, height, width, labels] in [0, 1]; of multiclass labels
      the sum over the labels is at most 1, the rest is background.
    """
    if multiclass and logits.shape[-1] > 1:
        return ExclusiveLabels(name=name, dtype="float32")(logits)
    return keras.layers.Activation("sigmoid", name=name, dtype="float32")(
        logits
    )


class ExclusiveLabels(keras.layers.Layer):
    """Computes softmax(0, z_1, ..., z_k) and leaves the background out."""

    def call(self, logits: tf.Tensor) -> tf.Tensor:
        """Maps float32 [b, h, w, k] to float32 [b, h, w, k] in [0, 1]."""
        with_background = tf.pad(logits, ((0, 0), (0, 0), (0, 0), (1, 0)))
        return tf.nn.softmax(with_background)[..., 1:]

    def compute_output_shape(self, input_shape):
        return input_shape


class ResizeConv(keras.layers.Conv2D):
    """Resizes by two (bilinear), then convolves 3x3, for a few channels.

    Computed as 1x1 convolution to the 9 taps, resize, shift and sum: the same
    function, because a 1x1 convolution and a resize of every channel commute.
    The resized tensor then has 9 channels a label instead of all channels of
    the input, which is the most expensive part of the plain order: measured
    on 2 CPU cores this layer's forward and backward pass takes a third of the
    time at width 16 and a seventh at width 64.
    """

    def __init__(self, filters: int, **kwargs) -> None:
        super().__init__(filters, UP_KERNEL, padding="same", **kwargs)

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """Maps dtype [b, h, w, c] to dtype [b, 2 h, 2 w, filters]."""
        kernel = tf.transpose(tf.cast(self.kernel, x.dtype), (2, 0, 1, 3))
        taps = tf.reshape(kernel, (1, 1, x.shape[-1], -1))
        maps = tf.nn.conv2d(x, taps, 1, "VALID")
        size = (2 * x.shape[1], 2 * x.shape[2])
        maps = tf.cast(tf.image.resize(maps, size), x.dtype)
        return _shift_and_sum(maps) + tf.cast(self.bias, x.dtype)

    def compute_output_shape(self, input_shape):
        batch, height, width, _ = input_shape
        return (batch, 2 * height, 2 * width, self.filters)


@tf.custom_gradient
def _shift_and_sum(maps: tf.Tensor):
    """Adds the 9 tap maps, each shifted to its place in the 3x3 window.

    The gradient is written out because TensorFlow's own, nine
    zero-filled tensors of the full size, takes longer than the convolution.
    """
    labels = maps.shape[-1] // UP_KERNEL**2
    shifts = [
        (row, column) for row in range(UP_KERNEL) for column in range(UP_KERNEL)
    ]

    def shifted(x: tf.Tensor, row: int, column: int) -> tf.Tensor:
        height, width = maps.shape[1], maps.shape[2]
        return x[:, row : row + height, column : column + width]

    def gradient(upstream: tf.Tensor) -> tf.Tensor:
        padded = tf.pad(upstream, _EDGE)
        return tf.concat(
            [shifted(padded, 2 - row, 2 - column) for row, column in shifts],
            axis=-1,
        )

    # As a convolution whose kernel only picks: nine slices and their sum are
    # twenty TFLite operators, the sum of them neither XNNPACK's nor int8.
    picks = np.zeros((*_WINDOW, maps.shape[-1], labels), np.float32)
    for tap, (row, column) in enumerate(shifts):
        for label in range(labels):
            picks[row, column, tap * labels + label, label] = 1
    total = tf.nn.conv2d(maps, tf.cast(picks, maps.dtype), 1, "SAME")
    return total, gradient


_WINDOW = (UP_KERNEL, UP_KERNEL)
_EDGE = ((0, 0), (1, 1), (1, 1), (0, 0))


def batch_norm(
    x: keras.KerasTensor,
    *,
    name: str,
    synchronized: bool = False,
    constraint: keras.constraints.Constraint | None = None,
    momentum: float = BATCH_NORM_MOMENTUM,
    epsilon: float = BATCH_NORM_EPSILON,
    dtype: str = "float32",
) -> keras.KerasTensor:
    """Normalizes the batch, by default with SegAN's momentum and epsilon."""
    return keras.layers.BatchNormalization(
        momentum=momentum,
        epsilon=epsilon,
        synchronized=synchronized,
        gamma_constraint=constraint,
        beta_constraint=constraint,
        name=f"{name}_norm",
        dtype=dtype,
    )(x)
