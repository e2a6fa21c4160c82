"""The results of an evaluation: means, intervals and pooled metrics."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from segan_tf import labels as labels_lib
from segan_tf.evaluation import bootstrap, scores, style_results
from segan_tf.metrics import per_image


def build_results(
    scored: Sequence[scores.Score],
    *,
    labels: labels_lib.Labels,
    metadata: Mapping[str, Any],
    seed: int = 0,
) -> dict[str, Any]:
    """Summarizes the scores of all images.

    Args:
      scored: one score per image.
      labels: of the model.
      metadata: what the results were produced with: command, versions,
        checkpoint, split, hardware, date.
      seed: of the bootstrap.

    Returns:
      run (the metadata), image_count, interval (how it was computed), metrics
      (by name: mean, median, low, high, count, undefined) and pooled (dice
      and iou over all pixels together, not comparable with the means).

      With several labels metrics are over the images that have a label, then
      over the labels, see `bootstrap.summarize_labels`; pooled is the mean over
      the labels that an image has. isic_metrics are over all images and labels
      by the ISIC rule: a label that is absent and not predicted counts as 1.
      labels holds for each label metrics over the images that have it, the
      means of dice and iou over these (present) and over all (isic), and
      pooled. styles holds what a model with styles gains when it is told the
      style, see `style_results.summarize`; everything else is untold.
      confusion_matrix counts the pixels of multiclass labels, rows
      true, columns predicted, background first.

    Raises:
      ValueError: there is no image.
    """
    if not scored:
        raise ValueError("no images to report")
    rows = [score.row for score in scored]
    results: dict[str, Any] = {
        "run": dict(metadata),
        "image_count": len(rows),
        "interval": {
            "method": "percentile bootstrap of the mean over images",
            "level": bootstrap.LEVEL,
            "resamples": bootstrap.RESAMPLES,
            "seed": seed,
        },
    }
    if scored[0].told:
        results["styles"] = style_results.summarize(scored, seed=seed)
    if labels.count == 1:
        results["metrics"] = bootstrap.summarize(
            [{name: row[name] for name in per_image.NAMES} for row in rows],
            seed=seed,
        )
        results["pooled"] = _pooled(scored, 0)
        return results
    results |= _results_of_several(scored, labels, seed=seed)
    if labels.multiclass:
        results["confusion_matrix"] = {
            "names": ["background", *labels.names],
            "pixels": _summed_confusion(scored),
        }
    return results


def describe_images(results: Mapping[str, Any]) -> str:
    """Names how many images of which split were scored, and what is amiss."""
    count = results["image_count"]
    split = results["run"].get("split")
    of_split = f" of the {split} split" if split else ""
    trained = ""
    if results["run"].get("may_include_trained_images"):
        trained = " (may include trained images)"
    return f"{count} image{'' if count == 1 else 's'}{of_split}{trained}"


def _results_of_several(
    scored: Sequence[scores.Score], labels: labels_lib.Labels, *, seed: int
) -> dict[str, Any]:
    """Summarizes several labels, together and each."""
    rows = [score.row for score in scored]
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
    pooled = [_pooled(scored, label) for label in range(labels.count)]
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
        "metrics": dict(
            zip(
                per_image.NAMES,
                bootstrap.summarize_labels(values, has_label, seed=seed),
                strict=True,
            )
        ),
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


def _summed_confusion(scored: Sequence[scores.Score]) -> list[list[int]]:
    matrices = [score.confusion_matrix for score in scored]
    return np.sum([m for m in matrices if m is not None], axis=0).tolist()
