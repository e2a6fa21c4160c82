"""Runs exported TFLite models in LiteRT.

This file imports no TensorFlow, so that a model's time and memory can be
measured in a process without it.
"""

import json
import os
import zipfile
from typing import Any

import numpy as np
from ai_edge_litert import interpreter as litert

from segan_tf import console, decision, labels
from segan_tf.errors import UserError
from segan_tf.inference import signatures

# In the zip archive at the end of the file: its input, output and labels. The
# JSON file of the same name repeats it, with the model's hash.
CONTRACT_NAME = "contract.json"

_LARGEST_PIXEL_VALUE = 255


class TFLiteModel:
    """A TFLite model that maps plain pixels to probabilities.

    >>> model = TFLiteModel("segan_int8.tflite")
    >>> probability_map = model.segment(image)

    Attributes:
      interpreter: LiteRT's.
      contract: the file's description of its input, output and labels.
      labels: of the channels of the probability map.
      decision: that label maps are made with.
      size: (height, width) of its images.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, num_threads: int | None = None
    ) -> None:
        """Opens a file.

        Args:
          path: of the file.
          num_threads: for the operators; LiteRT's own choice by default.

        Raises:
          ValueError: it is damaged or was not exported by this program; the
            message is one line.
        """
        try:
            with console.capture_output():  # LiteRT reports its delegate
                # Checks every offset in the file.
                self.interpreter = litert.Interpreter(
                    model_path=os.fspath(path), num_threads=num_threads
                )
                self.interpreter.allocate_tensors()
            self._run = self.interpreter.get_signature_runner(
                signatures.DEFAULT
            )
        except (ValueError, KeyError, RuntimeError) as error:
            raise ValueError(_first_line(error)) from error
        self._input = _named(
            "input", signatures.IMAGE, self._run.get_input_details()
        )
        self._output = _named(
            "output", signatures.PROBABILITY_MAP, self._run.get_output_details()
        )
        self.contract = _read_contract(path)
        self.labels = _labels_of(self.contract)
        self.decision = _decision_of(self.contract)
        shape, dtype = self._input["shape"], self._input["dtype"]
        _, *self.size, _ = shape.tolist()
        try:
            # A damaged file may open, and fail when it runs.
            self._run(**{signatures.IMAGE: np.zeros(shape, dtype)})
        except (ValueError, RuntimeError) as error:
            raise ValueError(_first_line(error)) from error

    def segment(self, image: np.ndarray) -> np.ndarray:
        """Maps an image to its probability map.

        Args:
          image: float32 or uint8 [1, height, width, 3], RGB, 0..255.

        Returns:
          float32 [1, height, width, labels] in [0, 1].
        """
        # Rounding what is whole takes as long as a third of an int8 model.
        if self._input["dtype"] == np.uint8 and image.dtype != np.uint8:
            image = np.clip(np.rint(image), 0, _LARGEST_PIXEL_VALUE)
        return self._run(
            **{signatures.IMAGE: image.astype(self._input["dtype"])}
        )[signatures.PROBABILITY_MAP]


def _named(what: str, name: str, details: dict[str, Any]) -> dict[str, Any]:
    if list(details) != [name]:
        raise ValueError(f"its {what} is {', '.join(details)}, not {name}")
    return details[name]


def _read_contract(path: str | os.PathLike[str]) -> dict[str, Any]:
    try:
        with zipfile.ZipFile(path) as archive:
            return json.loads(archive.read(CONTRACT_NAME))
    except (zipfile.BadZipFile, KeyError, ValueError) as error:
        raise ValueError(f"it holds no {CONTRACT_NAME}") from error


def _labels_of(contract: dict[str, Any]) -> labels.Labels:
    try:
        return labels.described(contract)
    except (KeyError, TypeError, UserError) as error:
        raise ValueError(f"its {CONTRACT_NAME} names no labels") from error


def _decision_of(contract: dict[str, Any]) -> decision.Decision:
    try:
        return decision.described(contract)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"its {CONTRACT_NAME} has no thresholds ({error})"
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
