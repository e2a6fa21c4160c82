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
from segan_tf.models import blocks

from ..serving import check, session
from . import parity_stats
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
      in_style: from the weight of each style to the artifact in it; None if it
        takes the image alone.
    """

    segment: Callable[[np.ndarray, np.ndarray], np.ndarray]
    own_size: bool
    in_style: "Callable[[tuple[float, ...]], OpenedArtifact] | None" = None


@dataclasses.dataclass(frozen=True)
class Reference:
    """What some artifacts should compute.

    Attributes:
      segmentor: of the image, or of [image, style].
      artifacts: by name.
      decision: the threshold of each label.
      style: the weight of each style, if the segmentor takes it.
    """

    segmentor: keras.Model
    artifacts: Mapping[str, OpenedArtifact]
    decision: Decision = DEFAULT
    style: tuple[float, ...] = ()


def compare(
    references: Sequence[Reference],
    dataset: ParityDataset,
    *,
    labels: labels_lib.Labels,
) -> tuple[list[tuple[dict[str, Any], dict[str, dict[str, Any]]]], int]:
    """Runs Keras and every artifact on every pair.

    Probabilities are compared as the artifact gives them, label maps at the
    images' own size.

    Args:
      references: what is compared; all of one image size.
      dataset: holds the pairs.
      labels: of the segmentors' channels.

    Returns:
      For each reference the summary of Keras and those of its artifacts by
      name; and the number of images.

    Raises:
      ParityError: shapes or dtypes differ.
    """
    comparisons = [_Comparison(reference, labels) for reference in references]
    count = 0
    for image, true in dataset.pairs:
        count += 1
        resized = resize(references[0].segmentor, image)
        for comparison in comparisons:
            comparison.add(image, resized, true)
    return [comparison.summaries() for comparison in comparisons], count


class _Comparison:
    """Compares artifacts with a reference, pair by pair."""

    def __init__(self, reference: Reference, labels: labels_lib.Labels) -> None:
        self._reference = reference
        self._labels = labels
        self._of_keras = parity_stats.ParityStats(labels.names)
        self._of_artifacts = {
            name: parity_stats.ParityStats(labels.names)
            for name in reference.artifacts
        }

    def add(
        self, image: np.ndarray, resized: np.ndarray, true: np.ndarray | None
    ) -> None:
        """Runs Keras and every artifact on an image and its resized copy."""
        used = self._reference
        small = segment(used.segmentor, resized, used.style)
        full = _resize_back(small, image)
        decided = self._decide(full)
        if true is not None:
            self._of_keras.add_scores(decided, true)
        for name, artifact in used.artifacts.items():
            given = artifact.segment(image, resized)
            expected = full if artifact.own_size else small
            far = differences(name, expected, given)
            if not artifact.own_size:
                given = _resize_back(given, image)
            label_map = self._decide(given)
            self._of_artifacts[name].add_parity(far, label_map, decided)
            if true is not None:
                self._of_artifacts[name].add_scores(label_map, true)

    def summaries(self) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
        """Returns the summary of Keras and those of the artifacts by name."""
        return self._of_keras.summary(), {
            name: stats.summary() for name, stats in self._of_artifacts.items()
        }

    def _decide(self, probability_map: np.ndarray) -> np.ndarray:
        decided = preprocessing.decide_label_map(
            probability_map[0],
            multiclass=self._labels.multiclass,
            thresholds=self._reference.decision.thresholds,
        )
        return decided.numpy().astype(np.uint8)


def compare_batches(
    segmentor: keras.Model,
    path: str,
    images: Sequence[np.ndarray],
    *,
    signature: str = signatures.PROBABILITIES,
) -> float:
    """Compares batches that a SavedModel segments with Keras.

    The images are batched by size; if all have one size, a corner of the
    first is added as a second size.

    Args:
      segmentor: whose weights the SavedModel should hold.
      path: the folder of the version.
      images: at least one, each uint8 [height, width, 3] RGB.
      signature: that takes decoded images.

    Returns:
      The largest absolute difference between two probabilities.

    Raises:
      ParityError: the shapes or dtypes differ.
      OpError: the model cannot run from its graph alone.
    """
    if not len(images):
        raise ValueError("at least one image is needed to compare")
    found = []
    with console.capture_output(), session.Session(path) as opened:
        for batch in _batches_of_two_sizes(images):
            answer = opened.run(signature, {signatures.IMAGES: batch})
            # Image by image, as training prepares them, and not with the
            # exported function: its mistakes would be in both.
            resized = np.concatenate(
                [resize(segmentor, image) for image in batch]
            )
            expected = preprocessing.resize_probability_map(
                segment(segmentor, resized), *batch.shape[1:3]
            ).numpy()
            given = answer[signatures.PROBABILITY_MAP]
            found.append(
                parity_stats.largest(differences(path, expected, given))
            )
    return parity_stats.largest(found)


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
    _, height, width, _ = segmentor.inputs[0].shape
    with tf.device("CPU"):
        return preprocessing.resize_image(image, height, width).numpy()[None]


def segment(
    segmentor: keras.Model, images: np.ndarray, style: tuple[float, ...] = ()
) -> np.ndarray:
    """Runs Keras on the CPU, in full precision, in a style if it takes one."""
    with tf.device("CPU"):
        inputs = blocks.with_style(
            preprocessing.normalize(images),
            tf.constant([style] * len(images), tf.float32) if style else None,
        )
        return segmentor(inputs, training=False).numpy()


def differences(
    name: str, expected: np.ndarray, given: np.ndarray
) -> np.ndarray:
    """Returns the absolute differences of two probability maps.

    Raises:
      ParityError: their shapes or dtypes differ.
    """
    if (given.shape, given.dtype) != (expected.shape, expected.dtype):
        raise ParityError(
            f"{name}: gives {given.dtype} {given.shape} where Keras gives"
            f" {expected.dtype} {expected.shape}"
        )
    return np.abs(given - expected)


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
