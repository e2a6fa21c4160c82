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
from segan_tf import styles as styles_lib
from segan_tf.inference import signatures, tflite_model
from segan_tf.quantizations import (
    FLOAT32_DIFFERENCE,
    FLOAT32_DISAGREEMENT,
    QUANTIZATIONS,
)

from . import versions
from .parity import comparison
from .serving import saved_model, session
from .tflite import convert, operators, runner


@dataclasses.dataclass(frozen=True)
class StyledSegmentor:
    """A segmentor that can draw in several annotation styles.

    Attributes:
      segmentor: of [image, style].
      styles: that it knows.
      in_style: from each name to a segmentor of the image alone that draws in
        it, to compare with.
    """

    segmentor: keras.Model
    styles: styles_lib.Styles
    in_style: Mapping[str, keras.Model]


@dataclasses.dataclass(frozen=True)
class TrainedModel:
    """What is exported.

    Attributes:
      segmentor: float32 [batch, size, size, 3], normalized -> float32 [batch,
        size, size, labels] in [0, 1].
      version: of the export.
      step: that the weights are from.
      labels: of the segmentor's channels.
      calibration_images: see convert.export_tflite.
      decision: the threshold of each label.
      styled: the segmentor that `segmentor` was made of, if it has styles.
      released: paths of TFLite models of these weights that were exported and
        verified before, by quantization; they are copied.
    """

    segmentor: keras.Model
    version: int
    step: int
    labels: labels_lib.Labels
    calibration_images: Sequence[np.ndarray] = ()
    decision: decision_lib.Decision = decision_lib.DEFAULT
    styled: StyledSegmentor | None = None
    released: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Check:
    """What an artifact is judged by.

    Attributes:
      measure: its name, a key of table.JUDGED.
      value: what was measured; NaN is beyond any limit.
      limit: the largest allowed value.
      label: what it is of; "" for all together.
    """

    measure: str
    value: float
    limit: float
    label: str = ""

    @property
    def within_limit(self) -> bool:
        """Whether the value is allowed."""
        return bool(self.value <= self.limit)

    @property
    def used(self) -> float:
        """The share of the limit that the value uses."""
        if np.isnan(self.value) or self.limit == 0:
            return 0 if self.within_limit else np.inf
        return self.value / self.limit


@dataclasses.dataclass(frozen=True)
class Tolerance:
    """How far an artifact may differ from Keras.

    Attributes:
      difference: see quantizations.Quantization.difference_limit.
      dice_loss: see dice_loss_limit there.
      disagreement: see disagreement_limit there.
      served_difference: the largest difference allowed on the few drawings of
        Artifact.compare.
    """

    difference: float | None = None
    dice_loss: float | None = 0.005
    disagreement: float = 0.02
    served_difference: float = 1e-3

    def judge(
        self, row: Mapping[str, Any], keras_row: Mapping[str, Any]
    ) -> list[Check]:
        """Lists what an artifact is judged by, for all labels and for each.

        Args:
          row: its summary, see comparison.ParityStats.
          keras_row: that of Keras.
        """
        checks = self._judge_part(row, keras_row, "")
        if len(row["labels"]) > 1:
            for label, part in row["labels"].items():
                keras_part = keras_row["labels"][label]
                checks += self._judge_part(part, keras_part, label)
        if row["served_difference"] is not None:
            checks.append(
                Check(
                    "served_difference",
                    row["served_difference"],
                    self.served_difference,
                )
            )
        return checks

    def _judge_part(
        self, part: Mapping[str, Any], keras_part: Mapping[str, Any], label: str
    ) -> list[Check]:
        checks = []
        if self.difference is not None:
            checks.append(
                Check("difference", part["difference"], self.difference, label)
            )
        if keras_part["dice"] is not None and self.dice_loss is not None:
            loss = keras_part["dice"] - part["dice"]
            checks.append(Check("dice_loss", loss, self.dice_loss, label))
        elif part["dice_to_keras"] is not None:
            apart = 1 - part["dice_to_keras"]
            checks.append(
                Check("disagreement", apart, self.disagreement, label)
            )
        return checks


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
    styled = model.styled
    return saved_model.export_saved_model(
        styled.segmentor if styled else model.segmentor,
        folder,
        version=model.version,
        labels=model.labels,
        decision=model.decision,
        styles=styled.styles if styled else styles_lib.PLAIN,
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
    in_style = model.styled.in_style if model.styled else {}
    return [
        comparison.compare_batches(model.segmentor, path, images),
        *(
            comparison.compare_batches(
                segmentor,
                path,
                images,
                signature=signatures.in_style(signatures.PROBABILITIES, name),
            )
            for name, segmentor in in_style.items()
        ),
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
        path = os.path.join(folder, f"segan_{quantization}.tflite")
        if quantization in model.released:
            return convert.copy_released(
                model.released[quantization],
                path,
                version=model.version,
                decision=model.decision,
            )
        return convert.export_tflite(
            model.segmentor,
            path,
            quantization=quantization,
            labels=model.labels,
            version=model.version,
            decision=model.decision,
            calibration_images=model.calibration_images,
        )

    def check(model: TrainedModel, export_dir: str) -> None:
        if quantization not in model.released:
            convert.check_calibration_images(
                quantization, model.calibration_images
            )

    limits = QUANTIZATIONS[quantization]
    return Artifact(
        quantization,
        tolerance=Tolerance(
            limits.difference_limit,
            limits.dice_loss_limit,
            limits.disagreement_limit,
        ),
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
            tolerance=Tolerance(
                FLOAT32_DIFFERENCE,
                dice_loss=None,
                disagreement=FLOAT32_DISAGREEMENT,
            ),
            write=_write_saved_model,
            open=_open_saved_model,
            runner=session,
            check=lambda model, export_dir: versions.check(
                export_dir, model.version
            ),
            compare=_compare_served,
        ),
        *map(_make_tflite, QUANTIZATIONS),
    )
}
