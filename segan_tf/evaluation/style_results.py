"""What a model with annotation styles gains when it is told the style.

Untold, it draws in its default style, as for users who do not know theirs;
told, in the style that each label map was drawn in, where that is known.
"""

from collections.abc import Sequence
from typing import Any

from segan_tf import labels as labels_lib
from segan_tf import styles
from segan_tf.evaluation import scores, summary


def summarize(
    scored: Sequence[scores.Score],
    *,
    labels: labels_lib.Labels,
    seed: int,
) -> dict[str, Any]:
    """Summarizes the told metrics of all images, and both by style.

    Args:
      scored: one score per image, each with its told score.
      labels: of the model.
      seed: of the bootstrap.

    Returns:
      told (as `summary.summarize_scores`, over all images), gain (the metrics
      of the differences, told minus untold, which the bootstrap draws as
      pairs) and by_style: for each style, several joined by "+", image_count
      and the metrics untold, told and their gain. Images of unknown style have
      the same score twice.
    """
    told = [score.told for score in scored if score.told]
    by_style: dict[str, list[scores.Score]] = {}
    for score in scored:
        by_style.setdefault(score.style or styles.UNKNOWN, []).append(score)
    return {
        "told": summary.summarize_scores(told, labels=labels, seed=seed),
        "gain": _summarize_gain(scored, labels=labels, seed=seed),
        "by_style": {
            style: {
                "image_count": len(of_style),
                "untold": summary.summarize_rows(
                    [score.row for score in of_style], labels=labels, seed=seed
                ),
                "told": summary.summarize_rows(
                    [score.told.row for score in of_style if score.told],
                    labels=labels,
                    seed=seed,
                ),
                "gain": _summarize_gain(of_style, labels=labels, seed=seed),
            }
            for style, of_style in sorted(by_style.items())
        },
    }


def _summarize_gain(
    scored: Sequence[scores.Score], *, labels: labels_lib.Labels, seed: int
) -> dict[str, summary.Summary]:
    """Summarizes how much better the told metrics of each image are."""
    gains = [
        {
            **score.row,
            **{
                name: value - score.metrics[name]
                for name, value in score.told.metrics.items()
            },
        }
        for score in scored
        if score.told
    ]
    return summary.summarize_rows(gains, labels=labels, seed=seed)
