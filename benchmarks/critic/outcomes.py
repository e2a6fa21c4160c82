"""What the records say: differences between losses, by regime."""

import json
import pathlib
import warnings
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import plan
from arms import ARMS, PIXEL_LOSSES, critic_of, loss_of, with_critic
from comparison import Estimate, estimate, pooled, seed_variance, summed
from plan import SEEDS, Records, Run
from regimes import REGIMES


def read_records(folder: pathlib.Path) -> dict[str, Any]:
    """Reads all records, by their runs' names."""
    return {
        path.stem: json.loads(path.read_text())
        for path in sorted(folder.glob("*.json"))
    }


def values(
    records: Records,
    regime: str,
    arm: str,
    *,
    kind: str = "steps",
    seeds: Sequence[int] = SEEDS,
    metric: str = "dice",
) -> np.ndarray | None:
    """Collects a metric of a loss.

    Returns:
      float [seeds, images], or patients where several images are of one; None
      if a record is missing, or a run diverged.
    """
    runs = [Run(regime, arm, kind, seed).name for seed in seeds]
    if any("images" not in records.get(name, {}) for name in runs):
        return None
    found = np.array([records[name]["images"][metric] for name in runs])
    found = found.astype(np.float64)
    if not REGIMES[regime].is_grouped:
        return found
    ids = records[runs[0]]["images"]["ids"]
    patients = np.array([name.split("_")[0] for name in ids])
    with warnings.catch_warnings():
        # Of a patient no slice may have the metric.
        warnings.filterwarnings("ignore", "Mean of empty slice")
        means = [
            np.nanmean(found[:, patients == patient], axis=1)
            for patient in np.unique(patients)
        ]
    return np.stack(means, axis=1)


def compared_with(records: Records, regime: str, arm: str) -> str:
    """Names what a loss is compared with.

    It is the same without the critic or, of one that has none, the baseline.
    """
    return loss_of(arm) if critic_of(arm) else plan.baseline(records, regime)


def differences(
    records: Records,
    regime: str,
    arm: str,
    *,
    kind: str = "steps",
    seeds: Sequence[int] = SEEDS,
    metric: str = "dice",
) -> np.ndarray | None:
    """Computes a metric less that of `compared_with`, with the same seeds.

    Returns:
      As `values`.

    Raises:
      ValueError: the two were not tested on the same images.
    """
    where: dict[str, Any] = {"seeds": seeds, "metric": metric}
    other = compared_with(records, regime, arm)
    ours = values(records, regime, arm, kind=kind, **where)
    theirs = values(records, regime, other, **where)
    if ours is None or theirs is None:
        return None
    ids = {
        tuple(records[Run(regime, one, of, seeds[0]).name]["images"]["ids"])
        for one, of in ((arm, kind), (other, "steps"))
    }
    if len(ids) > 1:
        raise ValueError(f"{regime} was tested on different images")
    return ours - theirs


def estimates(
    records: Records, regime: str, **where: Any
) -> dict[str, Estimate]:
    """Compares the Dice of the losses of a regime.

    Args:
      records: of all runs.
      regime: of `regimes.REGIMES`.
      **where: kind and seeds, of `differences`.

    Returns:
      By the losses that have all records.
    """
    found: dict[str, Estimate] = {}
    for is_added in (False, True):
        complete = _complete(records, regime, is_added, **where)
        if complete:
            between = seed_variance(complete.values())
            found |= {arm: estimate(d, between) for arm, d in complete.items()}
    return found


def _complete(
    records: Records, regime: str, is_added: bool, **where: Any
) -> dict[str, np.ndarray]:
    """Computes the differences of the losses with a critic or without."""
    found = {
        arm: differences(records, regime, arm, **where)
        for arm in ARMS
        if arm != compared_with(records, regime, arm)
        and bool(critic_of(arm)) == is_added
    }
    return {
        arm: d
        for arm, d in found.items()
        if d is not None and not np.isnan(d).all()
    }


def by_loss(
    records: Records, regime: str, found: Collection[str]
) -> dict[str, list[str]]:
    """Groups compared losses by their loss of pixels, the baseline first.

    Args:
      records: of all runs.
      regime: of `regimes.REGIMES`.
      found: the losses, with a critic or without.

    Returns:
      Those with a critic, none perhaps, by the loss that it is added to.
    """
    if not found:
        return {}
    base = plan.baseline(records, regime)
    compared = {loss_of(arm) for arm in found} - {base}
    ordered = [base, *(loss for loss in PIXEL_LOSSES if loss in compared)]
    return {
        loss: [arm for arm in found if critic_of(arm) and loss_of(arm) == loss]
        for loss in ordered
    }


def between_seeds(records: Records, regime: str) -> float:
    """Computes the standard deviation of a critic's gain between seeds."""
    complete = _complete(records, regime, True)
    return seed_variance(complete.values())[0] ** 0.5


def diverged(
    records: Records,
    regime: str,
    *,
    kind: str = "steps",
    seeds: Sequence[int] = SEEDS,
) -> dict[str, int]:
    """Counts the seeds with which a loss diverged."""
    counts = {}
    for arm in ARMS:
        runs = [Run(regime, arm, kind, seed).name for seed in seeds]
        failed = ["failed" in records.get(name, {}) for name in runs]
        if any(failed):
            counts[arm] = sum(failed)
    return counts


def overall(
    records: Records, critic: str, metric: str = "dice"
) -> tuple[Estimate, int] | None:
    """Averages a critic over its comparisons at equal steps.

    Those that test the same images are averaged image by image first, since
    what makes these images easy for a critic is in all of them. Seeds are taken
    as independent between comparisons.

    Returns:
      The difference, and the number of comparisons; None if there is none.
    """
    groups: dict[int, list[tuple[np.ndarray, tuple[float, float]]]] = {}
    for regime in REGIMES:
        complete = _complete(records, regime, True, metric=metric)
        for loss in PIXEL_LOSSES:
            arm = with_critic(loss, critic)
            if arm in complete:
                between = seed_variance(complete.values())
                images = complete[arm].shape[1]
                groups.setdefault(images, []).append((complete[arm], between))
    if not groups:
        return None
    of_groups, weights = [], []
    for group in groups.values():
        mean = np.mean([found for found, _ in group], axis=0)
        between = summed(
            [(v / len(group) ** 2, freedom) for _, (v, freedom) in group]
        )
        of_groups.append(estimate(mean, between))
        weights.append(len(group))
    return pooled(of_groups, weights), sum(weights)


def winners(records: Records) -> list[tuple[str, str]]:
    """Lists regimes and critics with an interval above 0 at equal steps."""
    return [
        (regime, arm)
        for regime in REGIMES
        for arm, found in estimates(records, regime).items()
        if found.interval[0] > 0 and critic_of(arm)
    ]
