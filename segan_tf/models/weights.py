"""What a model's weights are called, whichever Keras built it."""

import keras
import tensorflow as tf


def named_weights(model: keras.Model) -> dict[str, tf.Variable]:
    """Names each weight by its layer and its part, such as stem_conv/kernel.

    Keras 3 calls this a weight's path; in Keras 2 its name has an output's
    number behind it, and a depthwise kernel is called so. What is stored by
    these names can be read with either.

    Args:
      model: functional or sequential, of layers that have no layers inside.
    """
    return {
        f"{layer.name}/{_part(weight.name)}": weight
        for layer in model.layers
        for weight in layer.weights
    }


def _part(name: str) -> str:
    part = name.rpartition("/")[2].removesuffix(":0")
    return part.removeprefix("depthwise_")
