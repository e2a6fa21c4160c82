"""Differences of two losses, with intervals over images and seeds together."""

import dataclasses
import math
from collections.abc import Sequence

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


def seed_variance(differences: Sequence[np.ndarray]) -> tuple[float, float]:
    """Pools the variance between seeds of several losses of a regime.

    Args:
      differences: float [seeds, images] of each loss, at least two seeds.

    Returns:
      The variance of a seed's mean difference, and its degrees of freedom.
    """
    freedom = sum(len(of_loss) - 1 for of_loss in differences)
    squares = sum(
        float(np.var(np.nanmean(of_loss, axis=1))) * len(of_loss)
        for of_loss in differences
    )
    return squares / freedom, freedom


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
    error = of_seeds + of_images
    scale = of_seeds**2 / freedom + of_images**2 / (images - 1)
    return Estimate(
        mean=float(used.mean()),
        error=math.sqrt(error),
        freedom=error**2 / scale if scale else math.inf,
    )


def pooled(estimates: Sequence[Estimate]) -> Estimate:
    """Averages independent estimates, each with the same weight."""
    squares = [one.error**2 for one in estimates]
    total = sum(squares)
    scale = sum(
        square**2 / one.freedom
        for square, one in zip(squares, estimates, strict=True)
    )
    return Estimate(
        mean=float(np.mean([one.mean for one in estimates])),
        error=math.sqrt(total) / len(estimates),
        freedom=total**2 / scale if scale else math.inf,
    )
