"""Runs exported TFLite models in LiteRT.

This file imports no TensorFlow, so that a model's time and memory can be
measured in a process without it.
"""

import json
import os
import zipfile
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from ai_edge_litert import interpreter as litert

from segan_tf import console, decision, labels, styles
from segan_tf.errors import UserError
from segan_tf.inference import signatures

# In the zip archive at the end of the file: its input, output and labels. The
# JSON file of the same name repeats it, with the model's hash.
CONTRACT_NAME = "contract.json"
# Its part that describes the second input, of models that take the style.
STYLE_INPUT = "style_input"

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
      styles: that it can draw in; none if it takes the image alone.
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
        inputs = self._run.get_input_details()
        _check_names("input", inputs, signatures.IMAGE, signatures.STYLE)
        self._input = inputs[signatures.IMAGE]
        _check_names(
            "output",
            self._run.get_output_details(),
            signatures.PROBABILITY_MAP,
        )
        self.contract = _read_contract(path)
        self.labels = _labels_of(self.contract)
        self.styles = styles.PLAIN
        if signatures.STYLE in inputs:
            count = inputs[signatures.STYLE]["shape"][-1]
            self.styles = _styles_of(self.contract, count)
        self.decision = _decision_of(self.contract)
        shape, dtype = self._input["shape"], self._input["dtype"]
        _, *self.size, _ = shape.tolist()
        try:
            # A damaged file may open, and fail when it runs.
            self.segment(np.zeros(shape, dtype))
        except (ValueError, RuntimeError) as error:
            raise ValueError(_first_line(error)) from error

    def segment(
        self, image: np.ndarray, style: Sequence[float] = ()
    ) -> np.ndarray:
        """Maps an image to its probability map.

        Args:
          image: float32 or uint8 [1, height, width, 3], RGB, 0..255.
          style: the weight of each of `styles`; their mean by default.

        Returns:
          float32 [1, height, width, labels] in [0, 1].
        """
        # Rounding what is whole takes as long as a third of an int8 model.
        if self._input["dtype"] == np.uint8 and image.dtype != np.uint8:
            image = np.clip(np.rint(image), 0, _LARGEST_PIXEL_VALUE)
        inputs = {signatures.IMAGE: image.astype(self._input["dtype"])}
        if self.styles.count:
            mixture = style or self.styles.mean
            inputs[signatures.STYLE] = np.array([mixture], np.float32)
        return self._run(**inputs)[signatures.PROBABILITY_MAP]


def _check_names(
    what: str, names: Iterable[str], name: str, optional: str = ""
) -> None:
    if name not in names or not {*names} <= {name, optional}:
        raise ValueError(f"its {what} is {', '.join(names)}, not {name}")


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


def _styles_of(contract: dict[str, Any], count: int) -> styles.Styles:
    try:
        described = contract[STYLE_INPUT]
        found = styles.Styles(
            tuple(map(str, described["styles"])),
            tuple(map(float, described["mean"])),
        )
        if not len(found.names) == len(found.mean) == count:
            raise ValueError(f"there are {count}")
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"its {CONTRACT_NAME} names no styles") from error
    return found


def _decision_of(contract: dict[str, Any]) -> decision.Decision:
    try:
        # Where the style is no input, it is part of the weights.
        taken = contract.get(STYLE_INPUT, {"default": [], "mean": []})
        is_mean = taken["default"] == taken["mean"]
        style = [] if is_mean else taken["default"]
        return decision.described({**contract, "style": style})
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"its {CONTRACT_NAME} has no thresholds ({error})"
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
