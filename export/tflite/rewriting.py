"""Computes a segmentor by operators that lose little in int8.

An int8 graph rounds every tensor to 256 levels between the smallest and the
largest value that it had in calibration. The same function, computed in other
steps, loses less and runs faster:

- Normalization is one depthwise convolution, which rounds once; a division, a
  subtraction and a division round three times.
- Concatenated tensors share one range: of a ReLU6 beside features from -40 to
  40 a few levels are left. Where a convolution follows, each tensor is
  convolved by its part of the kernel instead, and the results are added.
- `layers.ResizeConv` is one convolution to the four output pixels of each input
  pixel, which are then reordered, instead of nine maps that are added up.

The weights are those of the Keras model, which stays as it is.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from segan_tf.imaging import preprocessing
from segan_tf.models import layers

_LARGEST_PIXEL_VALUE = 255
# Of a bilinear resize by two: the shares of the input pixels i - 1, i and
# i + 1 in the output pixels 2 i - 1, 2 i, 2 i + 1 and 2 i + 2.
_SHARES = np.array(
    [[0.75, 0.25, 0], [0.25, 0.75, 0], [0, 0.75, 0.25], [0, 0.25, 0.75]],
    np.float32,
)


def normalize(image: tf.Tensor) -> tf.Tensor:
    """Computes `preprocessing.normalize` as one depthwise convolution.

    Args:
      image: float32 [batch, height, width, 3], RGB, 0..255.

    Returns:
      float32 of the same shape.
    """
    std = np.array(preprocessing.IMAGE_STD, np.float32)
    kernel = 1 / (_LARGEST_PIXEL_VALUE * std)
    offset = -np.array(preprocessing.IMAGE_MEAN, np.float32) / std
    scaled = tf.nn.depthwise_conv2d(
        image, kernel.reshape(1, 1, -1, 1), (1, 1, 1, 1), "VALID"
    )
    return tf.nn.bias_add(scaled, offset)


def run(
    segmentor: keras.Model, inputs: tf.Tensor | Sequence[tf.Tensor]
) -> tf.Tensor:
    """Computes the output of a segmentor in inference.

    Args:
      segmentor: a functional model of one output, float32. One that calls a
        layer twice or holds other models is called as it is.
      inputs: what it is called with.

    Returns:
      Its output, as far as float32 is exact; see `_resize_and_convolve` for
      the edge of the image.
    """
    if not all(map(_is_called_once, segmentor.layers)):
        return segmentor(inputs, training=False)
    values: dict[int, Any] = {
        id(symbol): tensor
        for symbol, tensor in zip(
            segmentor.inputs, tf.nest.flatten(inputs), strict=True
        )
    }
    for layer in segmentor.layers:
        if not isinstance(layer, keras.layers.InputLayer):
            taken = tf.nest.map_structure(lambda x: values[id(x)], layer.input)
            values[id(layer.output)] = _apply(layer, taken)
    (output,) = segmentor.outputs
    return _tensor(values[id(output)])


@dataclasses.dataclass(frozen=True)
class _Parts:
    """Tensors that stand for their concatenation on channels."""

    tensors: tuple[tf.Tensor, ...]

    def compute(self) -> tf.Tensor:
        return tf.concat(self.tensors, axis=-1)


@dataclasses.dataclass(frozen=True)
class _Convolution:
    """A convolution of parts that is not yet computed.

    So that batch normalization can scale its kernel instead of its result.
    """

    parts: _Parts
    kernel: np.ndarray
    offset: np.ndarray
    strides: tuple[int, int]
    padding: str

    def compute(self) -> tf.Tensor:
        sizes = [tensor.shape[-1] for tensor in self.parts.tensors]
        kernels = np.split(self.kernel, np.cumsum(sizes)[:-1], axis=2)
        first, *others = (
            tf.nn.conv2d(tensor, kernel, self.strides, self.padding)
            for tensor, kernel in zip(self.parts.tensors, kernels, strict=True)
        )
        return sum(others, tf.nn.bias_add(first, self.offset))


def _tensor(value: tf.Tensor | _Parts | _Convolution) -> tf.Tensor:
    pending = isinstance(value, _Parts | _Convolution)
    return value.compute() if pending else value


def _is_called_once(layer: keras.layers.Layer) -> bool:
    # Keras 3 gives the inputs of the first call without a warning.
    nodes = layer._inbound_nodes
    return len(nodes) == 1 and not isinstance(layer, keras.Model)


def _apply(layer: keras.layers.Layer, taken: Any) -> Any:
    """Applies a layer to what the layers before it gave."""
    kind = type(layer)
    if kind is keras.layers.Concatenate:
        return _Parts(tuple(map(_tensor, taken)))
    if kind is layers.ResizeConv:
        parts = taken if isinstance(taken, _Parts) else _Parts((taken,))
        return _resize_and_convolve(layer, parts)
    if isinstance(taken, _Parts):
        if kind is keras.layers.UpSampling2D:
            return _Parts(tuple(map(layer, taken.tensors)))
        if kind is keras.layers.Conv2D and _only_convolves(layer):
            return _convolve(layer, taken)
    is_norm = isinstance(layer, keras.layers.BatchNormalization)
    if isinstance(taken, _Convolution) and is_norm and _has_both(layer):
        return _normalize(layer, taken)
    return layer(tf.nest.map_structure(_tensor, taken))


def _only_convolves(layer: keras.layers.Conv2D) -> bool:
    linear = layer.activation is keras.activations.linear
    return linear and layer.groups == 1 and set(layer.dilation_rate) == {1}


def _has_both(layer: keras.layers.BatchNormalization) -> bool:
    return layer.scale and layer.center


def _convolve(layer: keras.layers.Conv2D, parts: _Parts) -> _Convolution:
    kernel, *bias = _weights(layer)
    return _Convolution(
        parts,
        kernel,
        bias[0] if bias else np.zeros(layer.filters, np.float32),
        strides=layer.strides,
        padding=layer.padding.upper(),
    )


def _normalize(
    layer: keras.layers.BatchNormalization, value: _Convolution
) -> _Convolution:
    """Applies batch normalization to the kernel and offset."""
    gamma, beta, mean, variance = _weights(layer)
    scale = gamma / np.sqrt(variance + layer.epsilon)
    return dataclasses.replace(
        value,
        kernel=value.kernel * scale,
        offset=(value.offset - mean) * scale + beta,
    )


def _resize_and_convolve(layer: layers.ResizeConv, parts: _Parts) -> tf.Tensor:
    """Computes a resize by two and a 3x3 convolution as one convolution.

    Each of the four output pixels of an input pixel is a 3x3 convolution of
    the input. At the edge the two differ a little: the resize repeats the
    outermost pixels, where a convolution takes zeros for those beyond. This
    is seen in the two outermost rows and columns of the result.
    """
    kernel, bias = _weights(layer)
    # [output pixel, tap, input pixel] along one axis
    shares = np.stack([_SHARES[:3], _SHARES[1:]])
    four = np.einsum("dua,evb,uvck->abcdek", shares, shares, kernel)
    logits = _Convolution(
        parts,
        four.reshape(*four.shape[:3], -1),
        np.tile(bias, 4),
        strides=(1, 1),
        padding="SAME",
    )
    return tf.nn.depth_to_space(logits.compute(), 2)


def _weights(layer: keras.layers.Layer) -> list[np.ndarray]:
    with tf.init_scope():  # values, where a graph is traced too
        return layer.get_weights()
