"""The table of TFLite quantizations: how each is converted and judged.

Imports no TensorFlow, so that --quantizations is checked before anything slow
starts. A new quantization is a row here.
"""

import dataclasses

# A float32 sum depends on the order, by some 1e-7 of its terms. Layers add
# this up, and the last one multiplies it: 99.9 % of a trained model's
# probabilities differ by less than 1e-5, and single ones by 3e-5, with equal
# label maps. An error in the graph differs by hundredths.
FLOAT32_DIFFERENCE = 1e-4
FLOAT32_DISAGREEMENT = 1e-3
# The same with weights of 11 significant bits: 0.016 was seen, with equal Dice.
FLOAT16_DIFFERENCE = 0.05


@dataclasses.dataclass(frozen=True)
class Quantization:
    """A row of the table.

    Attributes:
      difference_limit: how far 99.9 % of a label's probabilities may be from
        Keras'; None: they are not judged.
      dice_loss_limit: how much lower than Keras' the mean Dice of a label, or
        of all, may be. None: the label maps are compared with Keras' instead,
        as they are where the true ones are unknown.
      disagreement_limit: how far below 1 the Dice with the label maps of Keras
        may then be.
      optimize: whether the converter quantizes at all, by default the weights
        to int8.
      weights: their dtype, where it is another; a name of TensorFlow.
      operators: the set that it may use, a name in tf.lite.OpsSet.
      calibrated: whether activations are quantized too, with ranges measured
        on images of the training split.
      pixels: dtype of the model's input.
    """

    difference_limit: float | None = None
    dice_loss_limit: float | None = 0.005
    # Higher: every pixel that flips counts, also where Keras was wrong. An
    # int8 model that lost 0.001 of Dice was 0.007 off.
    disagreement_limit: float = 0.02
    optimize: bool = True
    weights: str = ""
    operators: str = "TFLITE_BUILTINS"
    calibrated: bool = False
    pixels: str = "float32"


QUANTIZATIONS = {
    # LiteRT adds in another order than Keras: see FLOAT32_DIFFERENCE.
    "none": Quantization(
        difference_limit=FLOAT32_DIFFERENCE,
        dice_loss_limit=None,
        disagreement_limit=FLOAT32_DISAGREEMENT,
        optimize=False,
    ),
    "float16": Quantization(
        difference_limit=FLOAT16_DIFFERENCE, weights="float16"
    ),
    "dynamic": Quantization(),
    "int8": Quantization(
        operators="TFLITE_BUILTINS_INT8", calibrated=True, pixels="uint8"
    ),
}
