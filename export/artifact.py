"""The table of export targets: how each is written, opened and judged.

A new target is a row of ARTIFACTS. A new TFLite quantization is a row of
`segan_tf.quantizations`, and is here by itself.
"""

import collections
import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any

import keras
import numpy as np

from segan_tf import decision as decision_lib
from segan_tf import labels as labels_lib
from segan_tf.inference import signatures, tflite_model
from segan_tf.quantizations import QUANTIZATIONS

from .parity import comparison
from .serving import saved_model, session
from .tflite import convert, operators, runner


@dataclasses.dataclass(frozen=True)
class TrainedModel:
    """What is exported.

    Attributes:
      segmentor: float32 [batch, size, size, 3], normalized -> float32 [batch,
        size, size, labels] in [0, 1].
      version: the step that the weights are from.
      labels: of the segmentor's channels.
      calibration_images: see convert.export_tflite.
      decision: the threshold of each label.
    """

    segmentor: keras.Model
    version: int
    labels: labels_lib.Labels
    calibration_images: Sequence[np.ndarray] = ()
    decision: decision_lib.Decision = decision_lib.DEFAULT


@dataclasses.dataclass(frozen=True)
class Tolerance:
    """How far an artifact may differ from Keras.

    Attributes:
      difference: largest absolute difference allowed in a probability. None
        for coarser models, whose label maps are judged instead.
      dice_loss: how much lower than Keras' their mean Dice may be.
      disagreement: how far below 1 their mean Dice may be with the label maps
        of Keras, where the true ones are unknown.
    """

    difference: float | None = None
    dice_loss: float = 0.005
    # Higher: every pixel that flips counts, also where Keras was wrong. An
    # int8 model that lost 0.001 of Dice was 0.007 off.
    disagreement: float = 0.02

    def judge(
        self, row: Mapping[str, Any], keras_dice: float | None
    ) -> tuple[str, float, float]:
        """Chooses by what an artifact is judged.

        Args:
          row: its summary, see comparison.ParityStats.
          keras_dice: the mean Dice of Keras; None where it is unknown.

        Returns:
          The name of the measure, its value and its limit.
        """
        if self.difference is not None:
            difference = row["largest_difference"]
            return "largest_difference", difference, self.difference
        if keras_dice is not None:
            return "dice_loss", keras_dice - row["dice"], self.dice_loss
        return "disagreement", 1 - row["dice_to_keras"], self.disagreement


def _check_nothing(model: TrainedModel, export_dir: str) -> None:
    pass


def _compare_nothing(
    model: TrainedModel, path: str, images: Sequence[np.ndarray]
) -> list[float]:
    return []


def _describe_nothing(path: str) -> dict[str, Any]:
    return {}


@dataclasses.dataclass(frozen=True)
class Artifact:
    """An export target.

    Attributes:
      name: in parity.json.
      tolerance: how far it may differ from Keras.
      write: (model, folder) -> path of the file or folder that it wrote. A
        file may have others of the same stem with it.
      open: path -> context in which it segments, on the CPU.
      runner: the module whose `open_runner(path, num_threads=)` opens it to be
        timed, in a process that imports nothing else.
      check: (model, export_dir), raises UserError before any work if it
        cannot be written.
      compare: (model, path, images) -> more differences from Keras, of what
        `open` does not run.
      describe: path -> what it is made of, for parity.json.
    """

    name: str
    tolerance: Tolerance
    write: Callable[[TrainedModel, str], str]
    open: Callable[
        [str], contextlib.AbstractContextManager[comparison.OpenedArtifact]
    ]
    runner: ModuleType
    check: Callable[[TrainedModel, str], None] = _check_nothing
    compare: Callable[
        [TrainedModel, str, Sequence[np.ndarray]], list[float]
    ] = _compare_nothing
    describe: Callable[[str], dict[str, Any]] = _describe_nothing


def choose(quantizations: Sequence[str]) -> list[Artifact]:
    """Lists what is exported: what is no quantization, and the chosen ones."""
    always = [name for name in ARTIFACTS if name not in QUANTIZATIONS]
    return [ARTIFACTS[name] for name in (*always, *quantizations)]


def _write_saved_model(model: TrainedModel, folder: str) -> str:
    return saved_model.export_saved_model(
        model.segmentor,
        folder,
        version=model.version,
        labels=model.labels,
        decision=model.decision,
    )


@contextlib.contextmanager
def _open_saved_model(path: str) -> Iterator[comparison.OpenedArtifact]:
    with session.Session(path) as opened:
        yield comparison.OpenedArtifact(
            lambda image, _: opened.run(
                signatures.PROBABILITIES, {signatures.IMAGES: image[None]}
            )[signatures.PROBABILITY_MAP],
            own_size=True,
        )


def _compare_served(
    model: TrainedModel, path: str, images: Sequence[np.ndarray]
) -> list[float]:
    return [
        comparison.compare_batches(model.segmentor, path, images),
        comparison.compare_label_maps(
            model.segmentor,
            path,
            images,
            labels=model.labels,
            decision=model.decision,
        ),
    ]


def _make_tflite(quantization: str) -> Artifact:
    def write(model: TrainedModel, folder: str) -> str:
        return convert.export_tflite(
            model.segmentor,
            os.path.join(folder, f"segan_{quantization}.tflite"),
            quantization=quantization,
            labels=model.labels,
            version=model.version,
            decision=model.decision,
            calibration_images=model.calibration_images,
        )

    def check(model: TrainedModel, export_dir: str) -> None:
        convert.check_calibration_images(quantization, model.calibration_images)

    limit = QUANTIZATIONS[quantization].difference_limit
    return Artifact(
        quantization,
        tolerance=Tolerance(limit),
        write=write,
        open=_open_tflite,
        runner=runner,
        check=check,
        describe=_describe_tflite,
    )


@contextlib.contextmanager
def _open_tflite(path: str) -> Iterator[comparison.OpenedArtifact]:
    model = tflite_model.TFLiteModel(path)
    yield comparison.OpenedArtifact(
        lambda _, resized: model.segment(resized), own_size=False
    )


def _describe_tflite(path: str) -> dict[str, Any]:
    with open(path, "rb") as file:
        names = operators.list_operators(file.read())
    model = tflite_model.TFLiteModel(path)
    return {
        "operators": dict(collections.Counter(names)),
        "delegated_share": operators.delegated_share(model.interpreter),
    }


ARTIFACTS = {
    artifact.name: artifact
    for artifact in (
        Artifact(
            "saved_model",
            # A server runs Keras' kernels, but folds and fuses.
            tolerance=Tolerance(1e-5),
            write=_write_saved_model,
            open=_open_saved_model,
            runner=session,
            check=lambda model, export_dir: saved_model.check_existing_version(
                export_dir, model.version
            ),
            compare=_compare_served,
        ),
        *map(_make_tflite, QUANTIZATIONS),
    )
}
