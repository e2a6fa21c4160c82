"""Segmentors for phones: an EfficientNet-Lite encoder and a decoder.

EfficientNet-Lite (Apache-2.0, TensorFlow's, after arXiv:1905.11946) has no
squeeze-and-excitation, and ReLU6 instead of swish, so that it quantizes to int8
and all of it runs on a phone. Its levels have 1/2 to 1/32 of the image's size.
Lite1 and Lite2 are deeper than Lite0, and Lite2 is wider.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import keras

from segan_tf.models import blocks, imagenet_weights, layers

# EfficientNet-Lite's own settings, which the ImageNet weights need.
_MOMENTUM = 0.99
_EPSILON = 1e-3
_STEM_CHANNELS = 32
# Coefficients of width and depth (efficientnet_lite_builder.py of TensorFlow's
# tpu repository). Neither scales the stem.
_SCALES = {
    "efficientnet_lite0": (1.0, 1.0),
    "efficientnet_lite1": (1.0, 1.1),
    "efficientnet_lite2": (1.1, 1.2),
}
_CHANNEL_MULTIPLE = 8  # of scaled channels, for fast kernels
# Each stage of Lite0: repeats, kernel, stride, expansion, channels
# (arXiv:1905.11946, table 1; only the first repeat has the stride). The last
# stage, one block to 320 channels at the same size, is omitted: a fifth of the
# weights.
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
)
# The last stage at 1/2, 1/4, 1/8, 1/16 and 1/32 of the image's size.
_LEVEL_ENDS = (0, 1, 2, 4, 5)
# Channels of the decoder in units of width / 8, from 1/16 of the size to 1/2:
# 64, 48, 32, 24 at width 64. Our choice.
_DECODER_EIGHTHS = (8, 6, 4, 3)


def build_efficientnet_lite0(
    *,
    image_size: int = 128,
    width: int = 64,
    num_labels: int = 1,
    multiclass: bool = True,
    num_styles: int = 0,
    synchronized: bool = False,
    dtype: str = "float32",
) -> keras.Model:
    """Builds the segmentor with an EfficientNet-Lite0 encoder.

    The decoder has four steps: resize by two, concatenate the encoder's level
    of that size, convolve 3x3. The output is that of `segan.build_segan`: a
    resize and a 3x3 convolution to the labels.

    Args:
      image_size: side in pixels, a multiple of 32.
      width: channels of the decoder's first level; those of the encoder are
        fixed.
      num_labels: number of labels, background not counted.
      multiclass: whether a pixel has at most one label.
      num_styles: number of annotation styles; 0: a model of the image alone.
      synchronized: whether batch statistics span all replicas.
      dtype: Keras dtype policy; the label map is always float32.

    Returns:
      A functional model ``segmentor`` with the inputs and outputs of
      `segan.build_segan`. All weights are random, see `load_imagenet_weights`.
    """
    return _build(
        "efficientnet_lite0",
        image_size=image_size,
        width=width,
        num_labels=num_labels,
        multiclass=multiclass,
        num_styles=num_styles,
        synchronized=synchronized,
        dtype=dtype,
    )


def build_efficientnet_lite1(**settings: Any) -> keras.Model:
    """Builds the segmentor with an EfficientNet-Lite1 encoder.

    It has 20 blocks to Lite0's 15. Arguments and result are those of
    `build_efficientnet_lite0`.
    """
    return _build("efficientnet_lite1", **settings)


def build_efficientnet_lite2(**settings: Any) -> keras.Model:
    """Builds the segmentor with an EfficientNet-Lite2 encoder.

    It has 20 blocks to Lite0's 15, and more channels from 1/8 of the image's
    size on. Arguments and result are those of `build_efficientnet_lite0`.
    """
    return _build("efficientnet_lite2", **settings)


def _build(
    encoder: str,
    *,
    image_size: int = 128,
    width: int = 64,
    num_labels: int = 1,
    multiclass: bool = True,
    num_styles: int = 0,
    synchronized: bool = False,
    dtype: str = "float32",
) -> keras.Model:
    """Builds encoder and decoder; see `build_efficientnet_lite0`."""
    image = keras.Input((image_size, image_size, 3), name="image")
    style = blocks.style_input(num_styles)
    make = _Layers(synchronized, dtype)
    *skips, x = _encode(image, make, _blocks(encoder))
    for level, eighths in zip(
        range(len(skips), 0, -1), _DECODER_EIGHTHS, strict=True
    ):
        name = f"up{level}"
        x = keras.layers.UpSampling2D(
            2, interpolation="bilinear", name=f"{name}_resize", dtype=dtype
        )(x)
        x = keras.layers.Concatenate(name=f"{name}_skip", dtype=dtype)(
            [x, skips[level - 1]]
        )
        channels = max(1, width * eighths // 8)
        x = make.conv(x, channels, layers.UP_KERNEL, name=name)
        x = blocks.batch_norm(
            x, name=name, synchronized=synchronized, dtype=dtype
        )
        x = blocks.modulate(x, style, name=name, dtype=dtype)
        x = make.relu6(x, name=name)
    x = layers.ResizeConv(num_labels, name="logits", dtype=dtype)(x)
    label_map = blocks.label_map(x, multiclass=multiclass, name="label_map")
    return blocks.make_model(image, style, label_map, name="segmentor")


def load_imagenet_weights(segmentor: keras.Model, encoder: str) -> None:
    """Loads ImageNet weights into the encoder; the decoder is unchanged.

    Args:
      segmentor: of `build_efficientnet_lite0` to `build_efficientnet_lite2`.
      encoder: "efficientnet_lite0" to "efficientnet_lite2", that of segmentor.

    Raises:
      UserError: the package with the weights is missing or damaged.
    """
    weights = imagenet_weights.read_imagenet_weights(encoder)
    for name, source in _sources(encoder):
        layer = segmentor.get_layer(name)
        if isinstance(layer, keras.layers.BatchNormalization):
            parts = ("weight", "bias", "running_mean", "running_var")
            layer.set_weights([weights[f"{source}.{part}"] for part in parts])
            continue
        kernel = weights[f"{source}.weight"]
        # PyTorch's [out, in, height, width]; depthwise it is [channels, 1, ...]
        depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
        order = (2, 3, 0, 1) if depthwise else (2, 3, 1, 0)
        layer.set_weights([kernel.transpose(order)])


def _sources(encoder: str) -> Iterator[tuple[str, str]]:
    """Yields each layer of the encoder with its name in the weights' file."""
    yield "stem_conv", "_conv_stem"
    yield "stem_norm", "_bn0"
    for index, (_, _, expansion, _, _) in enumerate(_blocks(encoder)):
        block, source = f"block{index}", f"_blocks.{index}"
        if expansion > 1:
            yield f"{block}_expand_conv", f"{source}._expand_conv"
            yield f"{block}_expand_norm", f"{source}._bn0"
        yield f"{block}_depthwise_conv", f"{source}._depthwise_conv"
        yield f"{block}_depthwise_norm", f"{source}._bn1"
        yield f"{block}_project_conv", f"{source}._project_conv"
        yield f"{block}_project_norm", f"{source}._bn2"


def _blocks(encoder: str) -> Iterator[tuple[int, int, int, int, int]]:
    """Yields kernel, stride, expansion, channels and stage of each block."""
    width, depth = _SCALES[encoder]
    for stage, (repeats, kernel, stride, expansion, channels) in enumerate(
        _STAGES
    ):
        if stage > 0:  # the first and the omitted last stage keep theirs
            repeats = math.ceil(depth * repeats)
        for repeat in range(repeats):
            yield (
                kernel,
                1 if repeat else stride,
                expansion,
                _scale_channels(channels, width),
                stage,
            )


def _scale_channels(channels: int, width: float) -> int:
    """Rounds to a multiple of 8.

    TensorFlow's also adds 8 where that takes more than a tenth away, which
    happens for none of these.
    """
    multiples = int(channels * width / _CHANNEL_MULTIPLE + 1 / 2)
    return multiples * _CHANNEL_MULTIPLE


class _Layers:
    """Makes the encoder's layers, which share two settings."""

    def __init__(self, synchronized: bool, dtype: str) -> None:
        self._synchronized = synchronized
        self._dtype = dtype

    def conv(
        self,
        x: keras.KerasTensor,
        channels: int,
        kernel: int,
        *,
        name: str,
        strides: int = 1,
    ) -> keras.KerasTensor:
        return self._convolve(
            keras.layers.Conv2D, x, channels, kernel, name=name, strides=strides
        )

    def depthwise(
        self, x: keras.KerasTensor, kernel: int, *, name: str, strides: int
    ) -> keras.KerasTensor:
        return self._convolve(
            keras.layers.DepthwiseConv2D, x, kernel, name=name, strides=strides
        )

    def _convolve(
        self,
        layer: type[keras.layers.Layer],
        x: keras.KerasTensor,
        *sizes: int,
        name: str,
        strides: int,
    ) -> keras.KerasTensor:
        return layer(
            *sizes,
            strides=strides,
            padding="same",
            use_bias=False,
            name=f"{name}_conv",
            dtype=self._dtype,
        )(x)

    def norm(self, x: keras.KerasTensor, *, name: str) -> keras.KerasTensor:
        return blocks.batch_norm(
            x,
            name=name,
            momentum=_MOMENTUM,
            epsilon=_EPSILON,
            synchronized=self._synchronized,
            dtype=self._dtype,
        )

    def relu6(self, x: keras.KerasTensor, *, name: str) -> keras.KerasTensor:
        return keras.layers.ReLU(6, name=f"{name}_relu6", dtype=self._dtype)(x)

    def add(
        self, x: keras.KerasTensor, y: keras.KerasTensor, *, name: str
    ) -> keras.KerasTensor:
        return keras.layers.Add(name=f"{name}_add", dtype=self._dtype)([x, y])


def _encode(
    image: keras.KerasTensor,
    make: _Layers,
    described: Iterator[tuple[int, int, int, int, int]],
) -> list[keras.KerasTensor]:
    """Builds the encoder and returns its five levels, largest first."""
    x = make.conv(image, _STEM_CHANNELS, 3, name="stem", strides=2)
    x = make.relu6(make.norm(x, name="stem"), name="stem")
    by_stage = {}
    for index, (kernel, stride, expansion, channels, stage) in enumerate(
        described
    ):
        block = f"block{index}"
        entering = x
        if expansion > 1:
            name = f"{block}_expand"
            x = make.conv(x, expansion * x.shape[-1], 1, name=name)
            x = make.relu6(make.norm(x, name=name), name=name)
        name = f"{block}_depthwise"
        x = make.depthwise(x, kernel, name=name, strides=stride)
        x = make.relu6(make.norm(x, name=name), name=name)
        name = f"{block}_project"
        x = make.norm(make.conv(x, channels, 1, name=name), name=name)
        if stride == 1 and channels == entering.shape[-1]:
            x = make.add(x, entering, name=block)
        by_stage[stage] = x
    return [by_stage[stage] for stage in _LEVEL_ENDS]
