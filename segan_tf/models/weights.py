"""Names for a model's weights that are the same in Keras 2 and 3."""

import keras
import tensorflow as tf


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
