"""Turns the agreement of several outlines of an image into an expected Dice.

Where a model draws alike at any threshold and in any view, it is mostly right.
How right is read from a curve that rises with the agreement, fitted to images
whose true label maps are known and that the model was not trained on.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

# What is compared: the label maps at several thresholds, which costs nothing,
# or those of every view of test-time augmentation and every style, too.
THRESHOLDS, VIEWS = "thresholds", "views"
KINDS = (THRESHOLDS, VIEWS)
MIN_IMAGES = 30  # to fit a curve to
# Below it the label map is to be checked. Of the released model's 150 official
# validation images 12 are, of a mean Dice of 0.66; of 14 images that are no
# dermoscopy (noise, patterns, heart MRI, screenshots) all.
LOW = 0.7


@dataclasses.dataclass(frozen=True)
class Curve:
    """The expected Dice at some agreements, linear in between.

    Attributes:
      agreement: rising, in [0, 1].
      dice: of each, rising, in [0, 1].
    """

    agreement: tuple[float, ...]
    dice: tuple[float, ...]

    def __call__(self, agreement: float) -> float:
        """Returns the expected Dice."""
        return float(np.interp(agreement, self.agreement, self.dice))


def warning(expected: float, *, is_empty: bool) -> str:
    """Says why a label map is to be checked; "" for no reason.

    Args:
      expected: its expected Dice.
      is_empty: it has no label anywhere.
    """
    if is_empty:
        return "nothing was found"
    if expected < LOW:
        return (
            "the outline is doubtful, or this is no image like those that the "
            "model was trained on"
        )
    return ""


def fit(agreement: np.ndarray, dice: np.ndarray) -> Curve:
    """Fits a rising curve by isotonic regression.

    Neighbors whose Dice falls are pooled to their mean until none does (pool
    adjacent violators; Barlow et al., Statistical Inference under Order
    Restrictions, 1972). Example: Dice 0.5, 0.7, 0.6, 0.9 at rising agreement
    become 0.5, 0.65, 0.65, 0.9.

    Args:
      agreement: float [images].
      dice: float [images].
    """
    blocks: list[tuple[float, float, int]] = []  # mean agreement, Dice, images
    for index in np.argsort(agreement, kind="stable"):
        block = (float(agreement[index]), float(dice[index]), 1)
        while blocks and blocks[-1][1] >= block[1]:
            block = _pooled(blocks.pop(), block)
        blocks.append(block)
    return Curve(
        tuple(block[0] for block in blocks), tuple(block[1] for block in blocks)
    )


def _pooled(
    one: tuple[float, float, int], other: tuple[float, float, int]
) -> tuple[float, float, int]:
    count = one[2] + other[2]
    mean_agreement, mean_dice = (
        (one[i] * one[2] + other[i] * other[2]) / count for i in (0, 1)
    )
    return mean_agreement, mean_dice, count


def to_json(curves: Mapping[str, Curve]) -> dict[str, Any]:
    """Returns curves as lists of numbers, by kind."""
    return {
        kind: {"agreement": list(curve.agreement), "dice": list(curve.dice)}
        for kind, curve in curves.items()
    }


def from_json(content: Mapping[str, Any]) -> dict[str, Curve]:
    """Returns the curves of `to_json`.

    Raises:
      KeyError, TypeError, ValueError: they are something else.
    """
    curves = {}
    for kind in KINDS:
        if kind in content:
            agreement, dice = (
                tuple(map(float, content[kind][part]))
                for part in ("agreement", "dice")
            )
            rises = all(np.diff(agreement) >= 0) and all(np.diff(dice) >= 0)
            if not agreement or len(agreement) != len(dice) or not rises:
                raise ValueError("a curve of the expected Dice does not rise")
            curves[kind] = Curve(agreement, dice)
    return curves


def measure(expected: np.ndarray, dice: np.ndarray) -> dict[str, float]:
    """Tells how well the expected Dice of images fits the true one.

    Args:
      expected: float [images], from images that no curve was fitted to.
      dice: float [images].

    Returns:
      mean_absolute_error, and baseline_error, that of one number for all
      images, their median; rank_correlation (Spearman's); and found_of_worst,
      the share of the tenth of the images with the lowest Dice that is among
      the tenth with the lowest expected one.
    """
    count = max(1, round(len(dice) / 10))
    worst, suspected = (
        set(np.argsort(values, kind="stable")[:count].tolist())
        for values in (dice, expected)
    )
    return {
        "mean_absolute_error": float(np.mean(np.abs(expected - dice))),
        "baseline_error": float(np.mean(np.abs(np.median(dice) - dice))),
        "rank_correlation": _rank_correlation(expected, dice),
        "found_of_worst": len(worst & suspected) / count,
    }


def _rank_correlation(one: np.ndarray, other: np.ndarray) -> float:
    ranks = np.stack([_ranks(one), _ranks(other)])
    if np.any(np.ptp(ranks, axis=1) == 0):
        return 0.0
    return float(np.corrcoef(ranks)[0, 1])


def _ranks(values: np.ndarray) -> np.ndarray:
    """Returns the rank of each value; equal ones share their mean rank."""
    _, inverse, counts = np.unique(
        values, return_inverse=True, return_counts=True
    )
    return (np.cumsum(counts) - (counts - 1) / 2)[inverse]
