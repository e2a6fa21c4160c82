"""The table of TFLite quantizations: how each is converted and judged.

Imports no TensorFlow, so that --quantizations is checked before anything slow
starts. A new quantization is a row here.
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Quantization:
    """A row of the table.

    Attributes:
      difference_limit: largest absolute difference from Keras allowed in a
        probability; None: its label maps are judged, by their Dice.
      optimize: whether the converter quantizes at all, by default the weights
        to int8.
      weights: their dtype, where it is another; a name of TensorFlow.
      operators: the set that it may use, a name in tf.lite.OpsSet.
      calibrated: whether activations are quantized too, with ranges measured
        on images of the training split.
      pixels: dtype of the model's input.
    """

    difference_limit: float | None = None
    optimize: bool = True
    weights: str = ""
    operators: str = "TFLITE_BUILTINS"
    calibrated: bool = False
    pixels: str = "float32"


QUANTIZATIONS = {
    # LiteRT has kernels of its own.
    "none": Quantization(difference_limit=1e-4, optimize=False),
    "float16": Quantization(difference_limit=1e-2, weights="float16"),
    "dynamic": Quantization(),
    "int8": Quantization(
        operators="TFLITE_BUILTINS_INT8", calibrated=True, pixels="uint8"
    ),
}
