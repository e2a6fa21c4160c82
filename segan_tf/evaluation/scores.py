"""The metrics of one image, with one label or several."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from segan_tf import labels as labels_lib
from segan_tf.metrics import per_image

Row = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Score:
    """The metrics of one image.

    Attributes:
      row: its id and the metrics of `per_image.NAMES`. With several labels
        these are means over the labels that the image has (NaN if it has none),
        isic_<metric> are means over all labels by the ISIC rule, by which a
        label that is absent and not predicted counts as 1, and
        <metric>_<label> are the metrics of each label by that rule. Then
        <label>_fraction_true and <label>_fraction_predicted.
      confusions: one for each label.
      confusion_matrix: of multiclass labels, see `per_image.confusion_matrix`;
        else None.
      metrics: the numbers in `row` that compare both label maps.
      style: that the true label map was drawn in; "" if it is not known.
      told: the score of the label map that is predicted in this style, equal
        if it is not known; None if no style was told.
    """

    row: Row
    confusions: tuple[per_image.Confusion, ...]
    confusion_matrix: np.ndarray | None
    metrics: Mapping[str, float]
    style: str = ""
    told: "Score | None" = None

    def with_expected_dice(self, expected: float) -> "Score":
        """Returns the score with a cell of the expected Dice."""
        return dataclasses.replace(
            self, row={**self.row, "expected_dice": expected}
        )

    def with_told(self, told: "Score", style: str) -> "Score":
        """Returns the score with that of the label map in a style.

        Args:
          told: of the same image.
          style: that was told; "" if it is not known.
        """
        cells = {
            "style": style,
            **{f"told_{name}": value for name, value in told.metrics.items()},
        }
        return dataclasses.replace(
            self, row={**self.row, **cells}, style=style, told=told
        )


def score_image(
    name: str,
    predicted: np.ndarray,
    true: np.ndarray,
    *,
    labels: labels_lib.Labels,
) -> Score:
    """Computes every metric of one image.

    Args:
      name: the image's id.
      predicted: uint8 [h, w, labels], 0 or 1.
      true: uint8 [h, w, labels], 0 or 1, of the same size.
      labels: of the channels.

    Raises:
      ValueError: the sizes differ, or a value is neither 0 nor 1.
    """
    of_labels = per_image.label_metrics(predicted, true)
    has = [
        values
        for label, values in enumerate(of_labels)
        if labels.count == 1 or true[..., label].any()
    ]
    metrics = per_image.mean_over_labels(has)
    if labels.count > 1:
        over_all = per_image.mean_over_labels(of_labels)
        metrics |= {
            f"isic_{metric}": over_all[metric] for metric in per_image.OVERLAPS
        }
        for metric in per_image.NAMES:
            for slug, values in zip(labels.slugs, of_labels, strict=True):
                metrics[f"{metric}_{slug}"] = values[metric]
    row = {"id": name, **metrics}
    for label, slug in enumerate(labels.slugs):
        row[f"{slug}_fraction_true"] = float(true[..., label].mean())
        row[f"{slug}_fraction_predicted"] = float(predicted[..., label].mean())
    confusions = tuple(
        per_image.confusion(predicted[..., label], true[..., label])
        for label in range(labels.count)
    )
    matrix = None
    if labels.multiclass:
        matrix = per_image.confusion_matrix(predicted, true)
    return Score(row, confusions, matrix, metrics)
