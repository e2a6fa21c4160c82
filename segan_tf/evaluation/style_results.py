"""What a model with annotation styles gains when it is told the style.

Untold, it draws in the mean style, as for users who do not know theirs; told,
in the style that each label map was drawn in, or in the mean style where that
is not known.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from segan_tf.evaluation import bootstrap, scores

UNKNOWN = "unknown"
_OVERLAPS = ("dice", "iou")


def summarize(
    scored: Sequence[scores.Score], *, seed: int = 0
) -> dict[str, Any]:
    """Summarizes the told metrics of all images, and both by style.

    Args:
      scored: one score per image, each with its told row.
      seed: of the bootstrap.

    Returns:
      told (metrics like those of `results.build_results`, over all images),
      gain (told minus untold, paired over the images: mean, low, high of dice
      and iou) and by_style (for each style image_count, and the mean dice and
      iou untold and told).
    """
    untold = [score.row for score in scored]
    told = [score.told for score in scored if score.told]
    by_style: dict[str, list[int]] = {}
    for index, score in enumerate(scored):
        by_style.setdefault(score.style or UNKNOWN, []).append(index)
    return {
        "told": bootstrap.summarize(told, seed=seed),
        "gain": bootstrap.summarize(
            [
                {name: t[name] - u[name] for name in _OVERLAPS}
                for t, u in zip(told, untold, strict=True)
            ],
            seed=seed,
        ),
        "by_style": {
            style: {
                "image_count": len(indices),
                "untold": _means([untold[i] for i in indices]),
                "told": _means([told[i] for i in indices]),
            }
            for style, indices in sorted(by_style.items())
        },
    }


def _means(rows: Sequence[scores.Row]) -> dict[str, float]:
    return {
        name: float(np.nanmean([row[name] for row in rows]))
        for name in _OVERLAPS
    }


def format_lines(styles: Mapping[str, Any]) -> list[str]:
    """Formats what `summarize` returned for the terminal."""
    told, gain = styles["told"], styles["gain"]["dice"]
    interval = f"{gain['low']:+.4f} to {gain['high']:+.4f}"
    lines = [
        "above is untold, in the mean style; told the style of each label map: "
        f"dice {told['dice']['mean']:.4f}, iou {told['iou']['mean']:.4f} "
        f"(dice {gain['mean']:+.4f}, {interval})",
        f"{'style':<20} {'images':>6} {'dice':>9} {'told':>9} {'iou':>9} "
        f"{'told':>9}",
    ]
    for style, row in styles["by_style"].items():
        cells = [
            row[which][name]
            for name in _OVERLAPS
            for which in ("untold", "told")
        ]
        numbers = " ".join(f"{cell:>9.4f}" for cell in cells)
        lines.append(f"{style:<20} {row['image_count']:>6} {numbers}")
    return lines
