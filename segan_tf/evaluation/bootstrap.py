"""Means over images with bootstrap intervals, and paired comparisons."""

import math
import numbers
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

# Efron and Tibshirani (1993) ask for 1,000 resamples and more for intervals;
# with 10,000 the ends for 500 images' Dice move by under 0.0005 between seeds.
RESAMPLES = 10_000

# The interval that papers in this field report.
LEVEL = 0.95

# 8 MB of indices, whatever the number of images.
DRAWS_AT_ONCE = 1_000_000


def bootstrap_interval(
    values: Sequence[float] | np.ndarray,
    *,
    seed: int,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
) -> tuple[float, float]:
    """Estimates a percentile bootstrap interval of the mean.

    Draws as many values as there are, with replacement, `resamples` times;
    the interval is bounded by the (1 - level) / 2 and (1 + level) / 2
    quantiles of the means. Undefined values (NaN) are left out first.

    Args:
      values: one number per image.
      seed: the same seed gives the same interval.
      resamples: how many times to draw.
      level: the share of means inside, in (0, 1).

    Returns:
      The low and the high end; both NaN when no value is defined.
    """
    defined = _defined(values)
    if not defined.size:
        return math.nan, math.nan
    if defined.size == 1:  # which SciPy does not resample
        return float(defined[0]), float(defined[0])
    low, high = stats.bootstrap(
        [defined],
        np.mean,
        n_resamples=resamples,
        batch=max(1, DRAWS_AT_ONCE // defined.size),
        vectorized=True,
        confidence_level=level,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(low), float(high)


def paired_bootstrap(
    a: Sequence[float] | np.ndarray,
    b: Sequence[float] | np.ndarray,
    *,
    seed: int,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
) -> tuple[float, float, float]:
    """Compares two models on the same images by a paired bootstrap.

    Draws images, not values, so that what makes an image hard for both models
    cancels out. If the interval excludes 0, the models differ at this level.
    Images where either value is undefined (NaN) are left out.

    Args:
      a: one number per image, of the first model.
      b: one number per image, of the second, in the same order.
      seed: the same seed gives the same interval.
      resamples: how many times to draw.
      level: the share of mean differences inside, in (0, 1).

    Returns:
      The mean of a - b, and the low and the high end of its interval.

    Raises:
      ValueError: the numbers of values differ.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if a.shape != b.shape:
        raise ValueError(
            f"a paired comparison needs the same images twice, not "
            f"{a.size} and {b.size} values"
        )
    differences = _defined(a - b)
    if not differences.size:
        return math.nan, math.nan, math.nan
    low, high = bootstrap_interval(
        differences, seed=seed, resamples=resamples, level=level
    )
    return float(differences.mean()), low, high


def summarize(
    rows: Sequence[Mapping[str, Any]],
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
) -> dict[str, dict[str, float]]:
    """Summarizes every column of numbers over the images.

    Args:
      rows: one mapping per image from a metric's name to its value; what
        is not a number in the first row, such as an id, is ignored.
      seed: of the bootstrap.
      resamples: of the bootstrap.
      level: of the interval.

    Returns:
      By metric: mean, median, low and high (the ends of the interval),
      count (the images it is defined for) and undefined (the others, left
      out of the other numbers). Without any defined value all but the
      counts are NaN.
    """
    names = [
        name
        for name, value in (rows[0].items() if rows else ())
        if isinstance(value, numbers.Real)
    ]
    return {
        name: summarize_values(
            np.array([row[name] for row in rows], np.float64),
            seed=seed,
            resamples=resamples,
            level=level,
        )
        for name in names
    }


def summarize_values(
    values: Sequence[float] | np.ndarray,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
) -> dict[str, float]:
    """Summarizes one number per image; see `summarize`."""
    values = np.asarray(values, np.float64)
    defined = _defined(values)
    low, high = bootstrap_interval(
        defined, seed=seed, resamples=resamples, level=level
    )
    # NumPy warns on the mean of nothing.
    mean = float(defined.mean()) if defined.size else math.nan
    median = float(np.median(defined)) if defined.size else math.nan
    return {
        "mean": mean,
        "median": median,
        "low": low,
        "high": high,
        "count": int(defined.size),
        "undefined": int(values.size - defined.size),
    }


def summarize_labels(
    values: np.ndarray,
    has_label: np.ndarray,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
) -> list[dict[str, float]]:
    """Summarizes metrics of several labels over the images that have them.

    The mean is over the images that have a label, then over the labels; so is
    the median. Labels without any defined value are left out. The bootstrap
    draws images.

    Args:
      values: float64 [metrics, images, labels], NaN where undefined.
      has_label: bool [images, labels], the label is in the true label map.
      seed: of the bootstrap.
      resamples: of the bootstrap.
      level: of the interval.

    Returns:
      For each metric what `summarize` returns, where count and undefined are
      of images and labels together.
    """
    used = has_label & ~np.isnan(values)
    draws = _draw_means(values, used, seed=seed, resamples=resamples)
    return [
        {
            "mean": _mean([np.mean(column) for column in columns]),
            "median": _mean([np.median(column) for column in columns]),
            "low": _quantile(drawn, (1 - level) / 2),
            "high": _quantile(drawn, (1 + level) / 2),
            "count": int(of_metric.sum()),
            "undefined": int((has_label & ~of_metric).sum()),
        }
        for columns, drawn, of_metric in zip(
            map(_used_columns, values, used), draws, used, strict=True
        )
    ]


def _used_columns(values: np.ndarray, used: np.ndarray) -> list[np.ndarray]:
    """Returns the used values of each label that has any."""
    columns = [
        column[chosen] for column, chosen in zip(values.T, used.T, strict=True)
    ]
    return [column for column in columns if column.size]


def _draw_means(
    values: np.ndarray, used: np.ndarray, *, seed: int, resamples: int
) -> np.ndarray:
    """Draws images, and averages over them and then over the labels.

    Args:
      values: float64 [metrics, images, labels].
      used: bool, the same shape.
      seed: of the drawing.
      resamples: how many times to draw.

    Returns:
      float64 [metrics, resamples]; NaN where no drawn image has a used value.
    """
    rng = np.random.default_rng(seed)
    count = used.shape[1]
    filled = np.where(used, values, 0)
    at_once = max(1, DRAWS_AT_ONCE // count)
    means = []
    for start in range(0, resamples, at_once):
        # How often each image is drawn.
        times = rng.multinomial(
            count,
            np.full(count, 1 / count),
            size=min(at_once, resamples - start),
        )
        weights = times @ used.astype(np.float64)
        of_labels = (times @ filled) / np.where(weights, weights, 1)
        labels = np.count_nonzero(weights, axis=-1)
        total = of_labels.sum(axis=-1)
        means.append(
            np.where(labels, total / np.where(labels, labels, 1), np.nan)
        )
    return np.concatenate(means, axis=1)


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else math.nan


def _quantile(values: np.ndarray, share: float) -> float:
    defined = _defined(values)
    return float(np.quantile(defined, share)) if defined.size else math.nan


def _defined(values: Sequence[float] | np.ndarray) -> np.ndarray:
    values = np.asarray(values, np.float64)
    return values[~np.isnan(values)]
