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
from .parity.tolerance import Tolerance
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

    @property
    def styles(self) -> styles_lib.Styles:
        """The styles that it can draw in."""
        return self.styled.styles if self.styled else styles_lib.PLAIN

    @property
    def default_mixture(self) -> tuple[float, ...]:
        """The weights of the style that `segmentor` draws in."""
        return self.decision.style or self.styles.mean

    @property
    def mixtures(self) -> dict[str, tuple[float, ...]]:
        """The weights of each style, of their mean and of the default."""
        names = (*self.styles.names, styles_lib.MEAN)
        default = decision_lib.name_mixture(self.default_mixture, self.styles)
        return {
            **{name: self.styles.mixture(name) for name in names},
            default: self.default_mixture,
        }

    def decision_in(self, mixture: tuple[float, ...]) -> decision_lib.Decision:
        """Returns the decision in a style: its thresholds are for its own."""
        is_own = mixture == self.default_mixture
        return self.decision if is_own else decision_lib.DEFAULT


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


def choose(
    quantizations: Sequence[str], *, style_input: bool = False
) -> list[Artifact]:
    """Lists what is exported: what is no quantization, and the chosen ones.

    Args:
      quantizations: of the TFLite models.
      style_input: whether there is also one of each that takes the style.
    """
    of_tflite = {*QUANTIZATIONS, *map(_with_styles, QUANTIZATIONS)}
    names = [name for name in ARTIFACTS if name not in of_tflite]
    names += quantizations
    if style_input:
        names += map(_with_styles, quantizations)
    return [ARTIFACTS[name] for name in names]


def _with_styles(quantization: str) -> str:
    return f"{quantization}_styles"


def _write_saved_model(model: TrainedModel, folder: str) -> str:
    return saved_model.export_saved_model(
        model.styled.segmentor if model.styled else model.segmentor,
        folder,
        version=model.version,
        labels=model.labels,
        decision=model.decision,
        styles=model.styles,
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
        return _export_tflite(
            model, model.segmentor, path=path, quantization=quantization
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


def _export_tflite(
    model: TrainedModel,
    segmentor: keras.Model,
    *,
    path: str,
    quantization: str,
) -> str:
    """Writes a segmentor of the model, with or without a style input."""
    return convert.export_tflite(
        segmentor,
        path,
        quantization=quantization,
        labels=model.labels,
        version=model.version,
        decision=model.decision,
        styles=model.styles,
        calibration_images=model.calibration_images,
    )


def _make_tflite_with_styles(quantization: str) -> Artifact:
    """Makes the target that takes the style as a second input."""
    name = _with_styles(quantization)
    plain = _make_tflite(quantization)

    def write(model: TrainedModel, folder: str) -> str:
        if model.styled is None:
            raise ValueError(f"{name} needs a segmentor with styles")
        path = os.path.join(folder, f"segan_{name}.tflite")
        return _export_tflite(
            model, model.styled.segmentor, path=path, quantization=quantization
        )

    return dataclasses.replace(
        plain, name=name, write=write, open=_open_tflite_with_styles
    )


@contextlib.contextmanager
def _open_tflite_with_styles(
    path: str,
) -> Iterator[comparison.OpenedArtifact]:
    model = tflite_model.TFLiteModel(path)

    def in_style(mixture: tuple[float, ...]) -> comparison.OpenedArtifact:
        return comparison.OpenedArtifact(
            lambda _, resized: model.segment(resized, mixture), own_size=False
        )

    yield dataclasses.replace(in_style(model.styles.mean), in_style=in_style)


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
        *map(_make_tflite_with_styles, QUANTIZATIONS),
    )
}
