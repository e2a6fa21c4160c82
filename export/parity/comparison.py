"""Compares exported models with the Keras model on the same images."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from segan_tf import console
from segan_tf import labels as labels_lib
from segan_tf.decision import DEFAULT, Decision
from segan_tf.imaging import preprocessing
from segan_tf.inference import signatures

from ..serving import check, session
from .parity_dataset import ParityDataset


class ParityError(RuntimeError):
    """An artifact gives something of another shape or dtype than Keras."""


@dataclasses.dataclass(frozen=True)
class OpenedArtifact:
    """An artifact, opened.

    Attributes:
      segment: uint8 [h, w, 3] image and float32 [1, size, size, 3], the same
        resized -> float32 [1, h, w, labels] or [1, size, size, labels].
      own_size: it answers at the image's own size.
    """

    segment: Callable[[np.ndarray, np.ndarray], np.ndarray]
    own_size: bool


class ParityStats:
    """Collects the scores of one model, an artifact or Keras, by image."""

    def __init__(self) -> None:
        self._differences: list[float] = []
        self._agreements: list[float] = []
        self._dice: list[float] = []
        self._iou: list[float] = []

    def add_scores(self, scores: Mapping[str, float]) -> None:
        """Adds Dice and IoU with a true label map."""
        self._dice.append(scores["dice"])
        self._iou.append(scores["iou"])

    def add_parity(self, difference: float, agreement: float) -> None:
        """Adds a difference from Keras and the Dice with Keras' label map."""
        self._differences.append(difference)
        self._agreements.append(agreement)

    def summary(self) -> dict[str, float | None]:
        """Returns the largest difference and the means; None is unknown."""
        return {
            "largest_difference": (
                largest(self._differences) if self._differences else None
            ),
            "dice": _mean(self._dice),
            "iou": _mean(self._iou),
            "dice_to_keras": _mean(self._agreements),
        }


def compare(
    segmentor: keras.Model,
    artifacts: Mapping[str, OpenedArtifact],
    dataset: ParityDataset,
    *,
    multiclass: bool,
    decision: Decision = DEFAULT,
) -> tuple[dict[str, Any], dict[str, dict[str, Any]], int]:
    """Runs Keras and every artifact on every pair.

    Probabilities are compared as the artifact gives them, label maps at the
    images' own size.

    Args:
      segmentor: what the artifacts should compute.
      artifacts: the artifacts by name.
      dataset: holds the pairs.
      multiclass: at most one label holds at a pixel.
      decision: the threshold of each label.

    Returns:
      The summary of Keras, those of the artifacts by name, and the number of
      images.

    Raises:
      ParityError: shapes or dtypes differ.
    """
    keras_stats = ParityStats()
    stats = {name: ParityStats() for name in artifacts}
    count = 0
    for image, true in dataset.pairs:
        count += 1
        resized = resize(segmentor, image)
        small = segment(segmentor, resized)
        full = _resize_back(small, image)
        decided = _decide(full, multiclass, decision)
        if true is not None:
            keras_stats.add_scores(dataset.measure(decided, true))
        for name, artifact in artifacts.items():
            given = artifact.segment(image, resized)
            expected = full if artifact.own_size else small
            far = difference(name, expected, given)
            if not artifact.own_size:
                given = _resize_back(given, image)
            label_map = _decide(given, multiclass, decision)
            agreement = dataset.measure(label_map, decided)["dice"]
            stats[name].add_parity(far, agreement)
            if true is not None:
                stats[name].add_scores(dataset.measure(label_map, true))
    summaries = {name: stat.summary() for name, stat in stats.items()}
    return keras_stats.summary(), summaries, count


def compare_batches(
    segmentor: keras.Model, path: str, images: Sequence[np.ndarray]
) -> float:
    """Compares batches that a SavedModel segments with Keras.

    The images are batched by size; if all have one size, a corner of the
    first is added as a second size.

    Args:
      segmentor: whose weights the SavedModel should hold.
      path: the folder of the version.
      images: at least one, each uint8 [height, width, 3] RGB.

    Returns:
      The largest absolute difference between two probabilities.

    Raises:
      ParityError: the shapes or dtypes differ.
      OpError: the model cannot run from its graph alone.
    """
    if not len(images):
        raise ValueError("at least one image is needed to compare")
    differences = []
    with console.capture_output(), session.Session(path) as opened:
        for batch in _batches_of_two_sizes(images):
            answer = opened.run(
                signatures.PROBABILITIES, {signatures.IMAGES: batch}
            )
            # Image by image, as training prepares them, and not with the
            # exported function: its mistakes would be in both.
            resized = np.concatenate(
                [resize(segmentor, image) for image in batch]
            )
            expected = preprocessing.resize_probability_map(
                segment(segmentor, resized), *batch.shape[1:3]
            ).numpy()
            differences.append(
                difference(path, expected, answer[signatures.PROBABILITY_MAP])
            )
    return largest(differences)


def compare_label_maps(
    segmentor: keras.Model,
    path: str,
    images: Sequence[np.ndarray],
    *,
    labels: labels_lib.Labels,
    decision: Decision = DEFAULT,
) -> float:
    """Compares the label maps that a SavedModel serves with Keras.

    Args:
      segmentor: whose weights the SavedModel should hold.
      path: the folder of the version.
      images: at least one, each uint8 [height, width, 3] RGB.
      labels: of the segmentor's channels.
      decision: the threshold of each.

    Returns:
      See `check.check_label_maps`.

    Raises:
      OpError: the model cannot run from its graph alone.
    """
    probability_maps = [
        _resize_back(segment(segmentor, resize(segmentor, image)), image)[0]
        for image in images
    ]
    return check.check_label_maps(
        path, images, probability_maps, labels=labels, decision=decision
    )


def resize(segmentor: keras.Model, image: np.ndarray) -> np.ndarray:
    """Resizes an image as training does, to float32 [1, size, size, 3]."""
    _, height, width, _ = segmentor.input_shape
    with tf.device("CPU"):
        return preprocessing.resize_image(image, height, width).numpy()[None]


def segment(segmentor: keras.Model, images: np.ndarray) -> np.ndarray:
    """Runs Keras on the CPU, in full precision."""
    with tf.device("CPU"):
        normalized = preprocessing.normalize(images)
        return segmentor(normalized, training=False).numpy()


def difference(name: str, expected: np.ndarray, given: np.ndarray) -> float:
    """Returns the largest absolute difference of two probability maps.

    Raises:
      ParityError: their shapes or dtypes differ.
    """
    if (given.shape, given.dtype) != (expected.shape, expected.dtype):
        raise ParityError(
            f"{name}: gives {given.dtype} {given.shape} where Keras gives"
            f" {expected.dtype} {expected.shape}"
        )
    return largest(np.abs(given - expected))


def largest(differences: Sequence[float] | np.ndarray) -> float:
    """Returns the maximum, NaN if one is NaN."""
    # NumPy's maximum keeps NaN, which Python's can lose.
    return float(np.max(differences))


def _batches_of_two_sizes(images: Sequence[np.ndarray]) -> list[np.ndarray]:
    by_shape: dict[tuple[int, ...], list[np.ndarray]] = {}
    for image in images:
        by_shape.setdefault(image.shape, []).append(image)
    batches = [np.stack(group) for group in by_shape.values()]
    if len(batches) == 1:
        height, width, _ = images[0].shape
        corner = images[0][: (height + 1) // 2, : (width + 1) // 2]
        batches.append(corner[None])
    return batches


def _resize_back(probability_map: np.ndarray, image: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    return preprocessing.resize_probability_map(
        probability_map, height, width
    ).numpy()


def _decide(
    probability_map: np.ndarray, multiclass: bool, decision: Decision
) -> np.ndarray:
    decided = preprocessing.decide_label_map(
        probability_map[0],
        multiclass=multiclass,
        thresholds=decision.thresholds,
    )
    return decided.numpy().astype(np.uint8)


def _mean(numbers: list[float]) -> float | None:
    return float(np.mean(numbers)) if numbers else None
