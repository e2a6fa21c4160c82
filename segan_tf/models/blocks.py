"""Building blocks of the segmentors and critics.

Each block is a function x -> x that names its layers ``<name>_<part>``. Batch
normalization uses momentum 0.9 and epsilon 1e-5 as SegAN does (PyTorch's
defaults in Keras' terms); Keras' defaults are 0.99 and 1e-3.
"""

from __future__ import annotations

import keras
import tensorflow as tf

from segan_tf.models import layers

DOWN_KERNEL = 4  # the paper, Networks: 4x4 stride-2 convolutions
LEVEL_MULTIPLES = (1, 2, 4, 8)  # the paper, Networks: 64, 128, 256, 512
LEAKY_SLOPE = 0.2  # SegAN, section 3
BATCH_NORM_MOMENTUM = 0.9  # PyTorch's default in Keras' terms
BATCH_NORM_EPSILON = 1e-5  # PyTorch's default
NORM_ENDING = "_norm"
STYLE_ENDING = "_style"  # of the layer after a normalization


def down(
    x: keras.KerasTensor,
    channels: int,
    *,
    name: str,
    normalized: bool = True,
    style: keras.KerasTensor | None = None,
    synchronized: bool = False,
    constraint: keras.constraints.Constraint | None = None,
    dtype: str = "float32",
) -> keras.KerasTensor:
    """Halves the size: 4x4 stride-2 convolution, batch norm, LeakyReLU(0.2).

    Args:
      x: dtype [batch, height, width, any].
      channels: number of output channels.
      name: prefix of the layers' names.
      normalized: whether there is batch normalization; the first level has
        none.
      style: see `modulate`.
      synchronized: whether batch statistics span all replicas.
      constraint: applied to every trainable weight after each step.
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
    x = modulate(x, style, name=name, constraint=constraint, dtype=dtype)
    return keras.layers.LeakyReLU(
        LEAKY_SLOPE, name=f"{name}_leaky", dtype=dtype
    )(x)


def up(
    x: keras.KerasTensor,
    skip: keras.KerasTensor,
    channels: int,
    *,
    name: str,
    style: keras.KerasTensor | None = None,
    synchronized: bool = False,
    dtype: str = "float32",
) -> keras.KerasTensor:
    """Doubles the size: resize x2, 3x3 convolution, batch norm, ReLU, skip.

    Args:
      x: dtype [batch, height, width, any].
      skip: dtype [batch, 2 height, 2 width, s], the encoder's level of that
        size; concatenated after the new channels.
      channels: number of channels of the convolution.
      name: prefix of the layers' names.
      style: see `modulate`.
      synchronized: whether batch statistics span all replicas.
      dtype: Keras dtype policy of the layers.

    Returns:
      dtype [batch, 2 height, 2 width, channels + s].
    """
    x = keras.layers.UpSampling2D(
        2, interpolation="bilinear", name=f"{name}_resize", dtype=dtype
    )(x)
    x = keras.layers.Conv2D(
        channels,
        layers.UP_KERNEL,
        padding="same",
        use_bias=False,
        name=f"{name}_conv",
        dtype=dtype,
    )(x)
    x = batch_norm(x, name=name, synchronized=synchronized, dtype=dtype)
    x = modulate(x, style, name=name, dtype=dtype)
    x = keras.layers.ReLU(name=f"{name}_relu", dtype=dtype)(x)
    return keras.layers.Concatenate(name=f"{name}_skip", dtype=dtype)([x, skip])


def modulate(
    x: keras.KerasTensor,
    style: keras.KerasTensor | None,
    *,
    name: str,
    constraint: keras.constraints.Constraint | None = None,
    dtype: str = "float32",
) -> keras.KerasTensor:
    """Scales and shifts the channels by the style; without one, returns x.

    Args:
      x: dtype [batch, height, width, channels], after batch normalization.
      style: float32 [batch, styles], weights that sum to 1; None: no styles.
      name: prefix of the layer's name.
      constraint: of the layer's weights.
      dtype: Keras dtype policy of the layer.

    Returns:
      Like x; see `layers.StyleModulation`.
    """
    if style is None:
        return x
    return layers.StyleModulation(
        constraint=constraint, name=f"{name}{STYLE_ENDING}", dtype=dtype
    )([x, style])


def style_input(num_styles: int) -> keras.KerasTensor | None:
    """Makes the second input of a model with styles; None without."""
    if not num_styles:
        return None
    return keras.Input((num_styles,), name="style")


def make_model(
    image: keras.KerasTensor,
    style: keras.KerasTensor | None,
    outputs: keras.KerasTensor | list[keras.KerasTensor],
    *,
    name: str,
) -> keras.Model:
    """Makes a model of the image, or of [image, style]."""
    inputs = image if style is None else [image, style]
    return keras.Model(inputs, outputs, name=name)


def with_style(
    image: tf.Tensor, style: tf.Tensor | None
) -> tf.Tensor | list[tf.Tensor]:
    """Returns what a model is called with, with styles or without."""
    return image if style is None else [image, style]


def label_map(
    logits: keras.KerasTensor, *, multiclass: bool, name: str
) -> keras.KerasTensor:
    """Turns logits into the probability of each label, in float32.

    Multilabel (overlapping) labels, or a single one, each have a sigmoid.
    Multiclass (exclusive) labels share a softmax with the background, see
    `layers.MulticlassSoftmax`; for one label the two are the same, since
    softmax(0, z)_1 = 1 / (1 + e^-z).

    Args:
      logits: dtype [batch, height, width, labels].
      multiclass: whether a pixel has at most one label.
      name: name of the layer.

    Returns:
      float32 [batch, height, width, labels] in [0, 1]. Multiclass
      probabilities sum to at most 1; the rest is the background's.
    """
    if multiclass and logits.shape[-1] > 1:
        return layers.MulticlassSoftmax(name=name, dtype="float32")(logits)
    return keras.layers.Activation("sigmoid", name=name, dtype="float32")(
        logits
    )


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
    """Applies batch normalization, by default with SegAN's settings."""
    return layers.BatchNormalization(
        momentum=momentum,
        epsilon=epsilon,
        synchronized=synchronized,
        gamma_constraint=constraint,
        beta_constraint=constraint,
        name=f"{name}{NORM_ENDING}",
        dtype=dtype,
    )(x)
