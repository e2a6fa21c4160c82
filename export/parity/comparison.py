"""Compares exported models with the Keras model on the same images."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from segan_tf import console
from segan_tf import labels as labels_lib
from segan_tf.decision import DEFAULT, Decision
from segan_tf.imaging import preprocessing
from segan_tf.inference import signatures
from segan_tf.metrics import per_image
from segan_tf.models import blocks

from ..serving import check, session
from .differences import Differences
from .parity_dataset import ParityDataset

PERCENTILE = 99.9  # of the differences that are judged


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


class ParityStats:
    """Collects the scores of one model, an artifact or Keras, by image.

    Means of all labels count an absent label that is not predicted as 1, as
    ISIC does, so that a label in the wrong images is seen. Those of one label
    of several are over the images that have it, as in results.json.

    Args:
      names: of the labels.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._differences = Differences(len(names))
        self._largest: list[float] = []
        self._agreements: list[np.ndarray] = []
        self._dice: list[np.ndarray] = []
        self._iou: list[np.ndarray] = []

    def add_scores(self, predicted: np.ndarray, true: np.ndarray) -> None:
        """Adds Dice and IoU of uint8 [height, width, labels] in {0, 1}."""
        counts = _confusions(predicted, true)
        has = np.any(true, axis=(0, 1))
        for scores, score in (
            (self._dice, per_image.dice),
            (self._iou, per_image.iou),
        ):
            scores.append(_with_presence(list(map(score, counts)), has))

    def add_parity(
        self, differences: np.ndarray, predicted: np.ndarray, keras: np.ndarray
    ) -> None:
        """Adds what differs from Keras.

        Args:
          differences: float32 [1, height, width, labels], absolute.
          predicted: uint8 [height, width, labels] in {0, 1}.
          keras: the same of Keras.
        """
        self._differences.add(differences)
        self._largest.append(largest(differences))
        counts = _confusions(predicted, keras)
        has = np.any(predicted | keras, axis=(0, 1))
        self._agreements.append(
            _with_presence(list(map(per_image.dice, counts)), has)
        )

    def summary(self) -> dict[str, Any]:
        """Returns differences and means, of all labels and of each.

        Returns:
          dice, iou, dice_to_keras: means; None is unknown.
          difference: what PERCENTILE of the differences are at most, in the
            label where that is largest.
          largest_difference: of all.
          labels: all but the last for each label, by its name.
        """
        means = {
            "dice": self._dice,
            "iou": self._iou,
            "dice_to_keras": self._agreements,
        }
        labels = {
            name: {key: _label_mean(rows, i) for key, rows in means.items()}
            for i, name in enumerate(self._names)
        }
        difference = None
        if self._largest:
            by_label = self._differences.percentile(PERCENTILE)
            difference = largest(by_label)
            for row, value in zip(labels.values(), by_label, strict=True):
                row["difference"] = value
        return {
            "difference": difference,
            "largest_difference": (
                largest(self._largest) if self._largest else None
            ),
            **{key: _mean(rows) for key, rows in means.items()},
            "labels": labels,
        }


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
    stats = [
        (
            ParityStats(labels.names),
            {name: ParityStats(labels.names) for name in reference.artifacts},
        )
        for reference in references
    ]
    count = 0
    for image, true in dataset.pairs:
        count += 1
        resized = resize(references[0].segmentor, image)
        for reference, (of_keras, of_artifacts) in zip(
            references, stats, strict=True
        ):
            small = segment(reference.segmentor, resized, reference.style)
            full = _resize_back(small, image)
            decided = _decide(full, labels.multiclass, reference.decision)
            if true is not None:
                of_keras.add_scores(decided, true)
            for name, artifact in reference.artifacts.items():
                given = artifact.segment(image, resized)
                expected = full if artifact.own_size else small
                far = differences(name, expected, given)
                if not artifact.own_size:
                    given = _resize_back(given, image)
                label_map = _decide(
                    given, labels.multiclass, reference.decision
                )
                of_artifacts[name].add_parity(far, label_map, decided)
                if true is not None:
                    of_artifacts[name].add_scores(label_map, true)
    summaries = [
        (
            of_keras.summary(),
            {name: stat.summary() for name, stat in of_artifacts.items()},
        )
        for of_keras, of_artifacts in stats
    ]
    return summaries, count


def join_styles(summaries: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """Joins the summaries of an artifact, or of Keras, in each style.

    Returns:
      Like ParityStats.summary: the largest differences, and means of the
      scores; and `styles`, the summaries by style.
    """
    return {**_join(list(summaries.values())), "styles": dict(summaries)}


def _join(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    joined: dict[str, Any] = {}
    for key in parts[0]:
        values = [part[key] for part in parts]
        if isinstance(values[0], dict):
            joined[key] = _join(values)
        elif None in values:
            joined[key] = None
        elif "difference" in key:
            joined[key] = largest(values)
        else:
            joined[key] = float(np.mean(values))
    return joined


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
            found.append(largest(differences(path, expected, given)))
    return largest(found)


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


def largest(numbers: Sequence[float] | np.ndarray) -> float:
    """Returns the maximum, NaN if one is NaN."""
    # NumPy's maximum keeps NaN, which Python's can lose.
    return float(np.max(numbers))


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


def _confusions(
    predicted: np.ndarray, true: np.ndarray
) -> list[per_image.Confusion]:
    return [
        per_image.confusion(predicted[..., i], true[..., i])
        for i in range(true.shape[-1])
    ]


def _with_presence(scores: list[float], has: npt.ArrayLike) -> np.ndarray:
    """Stacks each label's score with whether the image counts for it."""
    return np.stack([scores, np.asarray(has) | (len(scores) == 1)])


def _mean(rows: list[np.ndarray]) -> float | None:
    return float(np.mean([scores for scores, _ in rows])) if rows else None


def _label_mean(rows: list[np.ndarray], label: int) -> float | None:
    counted = [scores[label] for scores, has in rows if has[label]]
    return float(np.mean(counted)) if counted else None
