"""The results of an evaluation: means, intervals and pooled metrics."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from segan_tf import labels as labels_lib
from segan_tf.evaluation import (
    bootstrap,
    reliability,
    scores,
    style_results,
    summary,
)


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
      expected_dice tells how well the model's own estimates fit, see
      `reliability.summarize`. confusion_matrix counts the pixels of multiclass
      labels, rows true, columns predicted, background first.

    Raises:
      ValueError: there is no image.
    """
    if not scored:
        raise ValueError("no images to report")
    results: dict[str, Any] = {
        "run": dict(metadata),
        "image_count": len(scored),
        "interval": {
            "method": "percentile bootstrap of the mean over images",
            "level": bootstrap.LEVEL,
            "resamples": bootstrap.RESAMPLES,
            "seed": seed,
        },
    }
    results |= summary.summarize_scores(scored, labels=labels, seed=seed)
    rows = [score.row for score in scored]
    if reliability.is_known(rows):
        results["expected_dice"] = reliability.summarize(rows)
    if scored[0].told:
        results["styles"] = style_results.summarize(
            scored, labels=labels, seed=seed
        )
    if labels.count > 1 and labels.multiclass:
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
    size = trained = ""
    if side := results["run"].get("scored_side"):
        size = f" (of shards, at {side}x{side} pixels)"
    if results["run"].get("may_include_trained_images"):
        trained = " (may include trained images)"
    return f"{count} image{'' if count == 1 else 's'}{of_split}{size}{trained}"


def _summed_confusion(scored: Sequence[scores.Score]) -> list[list[int]]:
    matrices = [score.confusion_matrix for score in scored]
    return np.sum([m for m in matrices if m is not None], axis=0).tolist()
