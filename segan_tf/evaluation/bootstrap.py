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
        name: _summary(
            np.array([row[name] for row in rows], np.float64),
            seed=seed,
            resamples=resamples,
            level=level,
        )
        for name in names
    }


def _summary(
    values: np.ndarray, *, seed: int, resamples: int, level: float
) -> dict[str, float]:
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


def _defined(values: Sequence[float] | np.ndarray) -> np.ndarray:
    values = np.asarray(values, np.float64)
    return values[~np.isnan(values)]
