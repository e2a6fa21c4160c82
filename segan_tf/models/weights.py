"""Weights by names that are the same in Keras 2 and 3; copying them."""

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from segan_tf.models import blocks, layers


def named_weights(model: keras.Model) -> dict[str, tf.Variable]:
    """Names each weight by its layer and role, such as stem_conv/kernel.

    Keras 3 calls this a weight's path. Keras 2 appends an output's number, and
    calls the kernel of a depthwise convolution depthwise_kernel. Weights stored
    by these names can be read with both.

    Args:
      model: functional or sequential, without nested layers.
    """
    return {
        f"{layer.name}/{_part(weight.name)}": weight
        for layer in model.layers
        for weight in layer.weights
    }


def _part(name: str) -> str:
    part = name.rpartition("/")[2].removesuffix(":0")
    return part.removeprefix("depthwise_")


def copy_weights(source: keras.Model, target: keras.Model) -> None:
    """Copies the weights of the layers that both models have.

    Those of the layers that `source` lacks stay as they are, such as the style
    modulation of a new segmentor that starts from one without styles.

    Args:
      source: of the same architecture, maybe without styles.
      target: is changed.
    """
    of_source = named_weights(source)
    for name, weight in named_weights(target).items():
        if name in of_source:
            weight.assign(of_source[name])


def fix_style(
    styled: keras.Model, plain: keras.Model, mixture: Sequence[float]
) -> None:
    """Gives a segmentor without styles the weights that draw in one.

    A modulation follows a batch normalization, which takes it in:

        (g n + b) (1 + s A) + s B  =  g (1 + s A) n + b (1 + s A) + s B

    with the normalized features n, scale g and offset b.

    Args:
      styled: a segmentor of [image, style].
      plain: the same architecture without styles; is changed.
      mixture: the weight of each style, s.
    """
    copy_weights(styled, plain)
    style = np.asarray(mixture, np.float32)
    for layer in styled.layers:
        if not isinstance(layer, layers.StyleModulation):
            continue
        name = layer.name.removesuffix(blocks.STYLE_ENDING)
        norm = plain.get_layer(f"{name}{blocks.NORM_ENDING}")
        scale = 1 + style @ layer.scale.numpy()
        norm.gamma.assign(norm.gamma * scale)
        norm.beta.assign(norm.beta * scale + style @ layer.offset.numpy())
