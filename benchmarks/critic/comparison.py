"""Differences of two losses, with intervals over images and seeds together."""

import dataclasses
import math
from collections.abc import Collection, Sequence

import numpy as np
from scipy import stats

LEVEL = 0.95
POWER = 0.8


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A mean difference and how well it is known.

    Attributes:
      mean: over seeds and images.
      error: its standard error.
      freedom: degrees of freedom of the error.
    """

    mean: float
    error: float
    freedom: float

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of Student's t."""
        half = self.error * stats.t.ppf((1 + LEVEL) / 2, self.freedom)
        return self.mean - half, self.mean + half

    @property
    def smallest_seen(self) -> float:
        """The true difference that such a test finds in four of five cases."""
        t = stats.t(self.freedom)
        return self.error * (t.ppf((1 + LEVEL) / 2) + t.ppf(POWER))


def summed(parts: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Adds independent variances, by Satterthwaite's approximation.

    Args:
      parts: estimated variances and their degrees of freedom.

    Returns:
      The sum, and its degrees of freedom.
    """
    total = sum(variance for variance, _ in parts)
    scale = sum(variance**2 / freedom for variance, freedom in parts)
    return total, total**2 / scale if scale else math.inf


def seed_variance(
    differences: Collection[np.ndarray],
) -> tuple[float, float]:
    """Pools the variance between seeds of several losses of a regime.

    The differences of k losses from one baseline share its chance, so that
    their correlation is about a half, and the degrees of freedom of k variances
    are about those of k / (1 + (k - 1) / 4) independent ones.

    Args:
      differences: float [seeds, images] of each loss, at least two seeds.

    Returns:
      The variance of a seed's mean difference, and its degrees of freedom.
    """
    degrees = sum(len(of_loss) - 1 for of_loss in differences)
    squares = sum(
        float(np.var(np.nanmean(of_loss, axis=1))) * len(of_loss)
        for of_loss in differences
    )
    return squares / degrees, degrees / (1 + (len(differences) - 1) / 4)


def estimate(
    differences: np.ndarray, between_seeds: tuple[float, float]
) -> Estimate:
    """Estimates a mean difference for other seeds and other images.

        error^2 = v_seeds / seeds + v_images / images

    v_images is the variance over the images of the mean over the seeds. What is
    particular to a seed and an image is in both terms, so the error is rather
    too large. The degrees of freedom are Satterthwaite's.

    Args:
      differences: float [seeds, images]; images with NaN are left out.
      between_seeds: from `seed_variance`.
    """
    used = differences[:, ~np.isnan(differences).any(axis=0)]
    seeds, images = used.shape
    v_seeds, freedom = between_seeds
    of_seeds = v_seeds / seeds
    of_images = float(np.var(used.mean(axis=0), ddof=1)) / images
    error, freedom = summed([(of_seeds, freedom), (of_images, images - 1)])
    return Estimate(float(used.mean()), math.sqrt(error), freedom)


def pooled(estimates: Sequence[Estimate], weights: Sequence[float]) -> Estimate:
    """Averages independent estimates with these weights."""
    shares = np.array(weights) / sum(weights)
    error, freedom = summed(
        [
            (float(share * one.error) ** 2, one.freedom)
            for share, one in zip(shares, estimates, strict=True)
        ]
    )
    mean = float(np.dot(shares, [one.mean for one in estimates]))
    return Estimate(mean, math.sqrt(error), freedom)
