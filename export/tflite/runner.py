"""Opens a TFLite model to be timed; imports no TensorFlow."""

from collections.abc import Callable

import numpy as np

from segan_tf.inference import tflite_model


def open_runner(
    path: str, *, num_threads: int
) -> Callable[[np.ndarray], object]:
    """Opens a model: uint8 [1, size, size, 3] -> its probability map."""
    return tflite_model.TFLiteModel(path, num_threads=num_threads).segment
