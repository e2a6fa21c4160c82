"""Scores of an artifact, and how far it is from Keras, over all images."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from segan_tf.metrics import per_image

from .differences import Differences

PERCENTILE = 99.9  # of the differences that are judged


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


def largest(numbers: Sequence[float] | np.ndarray) -> float:
    """Returns the maximum, NaN if one is NaN."""
    # NumPy's maximum keeps NaN, which Python's can lose.
    return float(np.max(numbers))


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
