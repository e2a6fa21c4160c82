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
      row: its id, the metrics of `per_image.NAMES` (means over the labels),
        with several labels also each metric of each as <metric>_<label>, and
        <label>_fraction_true and <label>_fraction_predicted.
      confusions: one for each label.
      confusion_matrix: of multiclass labels, see `per_image.confusion_matrix`;
        else None.
    """

    row: Row
    confusions: tuple[per_image.Confusion, ...]
    confusion_matrix: np.ndarray | None


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
    row = {"id": name, **per_image.mean_over_labels(of_labels)}
    if labels.count > 1:
        for metric in per_image.NAMES:
            for slug, values in zip(labels.slugs, of_labels, strict=True):
                row[f"{metric}_{slug}"] = values[metric]
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
    return Score(row, confusions, matrix)
