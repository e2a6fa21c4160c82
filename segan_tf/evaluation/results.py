"""The results of an evaluation: means, intervals and pooled metrics."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from segan_tf import labels as labels_lib
from segan_tf.evaluation import bootstrap, scores
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
      and iou over all pixels together, not comparable with the means). With
      several labels these are of the means over the labels, and labels holds
      the same of each label, with dice and iou over the images that have it
      (present); confusion_matrix counts the pixels of multiclass labels, rows
      true, columns predicted, background first.

    Raises:
      ValueError: there is no image.
    """
    if not scored:
        raise ValueError("no images to report")
    rows = [score.row for score in scored]
    columns = [{name: row[name] for name in per_image.NAMES} for row in rows]
    pooled = [
        per_image.pooled(score.confusions[label] for score in scored)
        for label in range(labels.count)
    ]
    results = {
        "run": dict(metadata),
        "image_count": len(rows),
        "interval": {
            "method": "percentile bootstrap of the mean over images",
            "level": bootstrap.LEVEL,
            "resamples": bootstrap.RESAMPLES,
            "seed": seed,
        },
        "metrics": bootstrap.summarize(columns, seed=seed),
        "pooled": {
            name: float(np.mean([of_label[name] for of_label in pooled]))
            for name in pooled[0]
        },
    }
    if labels.count > 1:
        results["labels"] = {
            name: {**_label_results(rows, slug, seed=seed), "pooled": of_label}
            for name, slug, of_label in zip(
                labels.names, labels.slugs, pooled, strict=True
            )
        }
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


def _label_results(
    rows: Sequence[scores.Row], slug: str, *, seed: int
) -> dict[str, Any]:
    """Summarizes one of several labels."""
    present = [row for row in rows if row[f"{slug}_fraction_true"] > 0]
    return {
        "metrics": bootstrap.summarize(
            [
                {name: row[f"{name}_{slug}"] for name in per_image.NAMES}
                for row in rows
            ],
            seed=seed,
        ),
        "present": {
            "image_count": len(present),
            **{
                name: float(np.mean([row[f"{name}_{slug}"] for row in present]))
                if present
                else math.nan
                for name in ("dice", "iou")
            },
        },
    }


def _summed_confusion(scored: Sequence[scores.Score]) -> list[list[int]]:
    matrices = [score.confusion_matrix for score in scored]
    return np.sum([m for m in matrices if m is not None], axis=0).tolist()
