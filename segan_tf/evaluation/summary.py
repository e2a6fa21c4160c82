"""Summarizes the scores of all images: means, intervals, pooled metrics."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from segan_tf import labels as labels_lib
from segan_tf.evaluation import bootstrap, scores
from segan_tf.metrics import per_image

Summary = dict[str, float]  # see `bootstrap.summarize`


def summarize_scores(
    scored: Sequence[scores.Score], *, labels: labels_lib.Labels, seed: int
) -> dict[str, Any]:
    """Summarizes the scores of one label or several.

    Args:
      scored: one score per image.
      labels: of the model.
      seed: of the bootstrap.

    Returns:
      metrics and pooled; with several labels also isic_metrics and labels, see
      `results.build_results`.
    """
    rows = [score.row for score in scored]
    pooled = [_pooled(scored, label) for label in range(labels.count)]
    metrics = summarize_rows(rows, labels=labels, seed=seed)
    if labels.count == 1:
        return {"metrics": metrics, "pooled": pooled[0]}
    values, has_label = _values_of_labels(rows, labels)
    known = [
        of_label
        for label, of_label in enumerate(pooled)
        if has_label[:, label].any()
    ]
    isic = [
        {name: row[f"isic_{name}"] for name in per_image.OVERLAPS}
        for row in rows
    ]
    return {
        "metrics": metrics,
        "pooled": {
            name: _mean([of_label[name] for of_label in known])
            for name in ("dice", "iou")
        },
        "isic_metrics": bootstrap.summarize(isic, seed=seed),
        "labels": {
            name: {
                **_label_results(
                    values[..., label], has_label[:, label], seed=seed
                ),
                "pooled": pooled[label],
            }
            for label, name in enumerate(labels.names)
        },
    }


def summarize_rows(
    rows: Sequence[scores.Row], *, labels: labels_lib.Labels, seed: int
) -> dict[str, Summary]:
    """Summarizes the metrics of `per_image.NAMES`.

    Args:
      rows: one per image, see `scores.Score`.
      labels: of the model. Of several, only those that an image has count.
      seed: of the bootstrap.
    """
    if labels.count == 1:
        return bootstrap.summarize(
            [{name: row[name] for name in per_image.NAMES} for row in rows],
            seed=seed,
        )
    values, has_label = _values_of_labels(rows, labels)
    summaries = bootstrap.summarize_labels(values, has_label, seed=seed)
    return dict(zip(per_image.NAMES, summaries, strict=True))


def _values_of_labels(
    rows: Sequence[scores.Row], labels: labels_lib.Labels
) -> tuple[np.ndarray, np.ndarray]:
    """Reads the metrics of several labels.

    Returns:
      float64 [metrics, images, labels], of `per_image.NAMES`; and bool [images,
      labels], whether the image has the label.
    """
    values = np.array(
        [
            [[row[f"{name}_{slug}"] for slug in labels.slugs] for row in rows]
            for name in per_image.NAMES
        ],
        np.float64,
    )
    has_label = np.array(
        [
            [row[f"{slug}_fraction_true"] > 0 for slug in labels.slugs]
            for row in rows
        ]
    )
    return values, has_label


def _label_results(
    values: np.ndarray, has_label: np.ndarray, *, seed: int
) -> dict[str, Any]:
    """Summarizes one of several labels.

    Args:
      values: float64 [metrics, images], of `per_image.NAMES`.
      has_label: bool [images].
      seed: of the bootstrap.
    """
    by_name = dict(zip(per_image.NAMES, values, strict=True))

    def means(chosen: np.ndarray) -> dict[str, Any]:
        return {
            "image_count": int(chosen.sum()),
            "dice": _mean(by_name["dice"][chosen]),
            "iou": _mean(by_name["iou"][chosen]),
        }

    return {
        "metrics": {
            name: bootstrap.summarize_values(of_metric[has_label], seed=seed)
            for name, of_metric in by_name.items()
        },
        "present": means(has_label),
        "isic": means(np.ones_like(has_label)),
    }


def _pooled(scored: Sequence[scores.Score], label: int) -> dict[str, float]:
    return per_image.pooled(score.confusions[label] for score in scored)


def _mean(values: Sequence[float] | np.ndarray) -> float:
    return float(np.mean(values)) if len(values) else math.nan
