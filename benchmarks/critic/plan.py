"""Which runs the study makes, by the rule in docs/research/critic.md.

Each stage follows from the records of those before, so that a study that was
stopped continues, and one that is repeated asks for the same runs.
"""

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from arms import (
    ADDED_CRITICS,
    DEFAULT,
    PIXEL_LOSSES,
    SEGAN_ALONE,
    critic_of,
    loss_of,
    with_critic,
)
from regimes import REGIMES, SCREENED, SCREENING, STEPS

SEEDS = (0, 1, 2)
CONFIRMING_SEEDS = (3, 4, 5)
_KEPT = 2  # critics that a screening leaves
_CLEARLY = 0.01  # Dice by which another loss of pixels must be better
_SCREENING_SHARE = 0.5  # of the steps
_FREE = 1.05  # cost below which equal steps are equal time
_ROUNDED_UP = 0.25  # of an epoch of equal time

Records = Mapping[str, Mapping[str, Any]]


@dataclasses.dataclass(frozen=True)
class Run:
    """A run of the study.

    Attributes:
      regime: of `regimes.REGIMES`.
      arm: of `arms.ARMS`.
      kind: "screening", "steps" (as many as the baseline) or "time" (as long
        as the baseline).
      seed: of the run.
      share: of the baseline's steps.
    """

    regime: str
    arm: str
    kind: str
    seed: int
    share: float = 1.0

    @property
    def name(self) -> str:
        """Of its record."""
        return f"{self.regime}-{self.arm}-{self.kind}-seed{self.seed}"

    @property
    def folder(self) -> str:
        """Of its pairs."""
        ending = SCREENING if self.kind == "screening" else ""
        return REGIMES[self.regime].folder + ending

    def epochs(self, steps_per_epoch: int) -> int:
        """Returns the epochs to train, those of the baseline times `share`."""
        steps = STEPS[REGIMES[self.regime].network["segmentor"]]
        if self.kind == "screening":
            return max(1, round(steps * self.share / steps_per_epoch))
        full = max(1, round(steps / steps_per_epoch))
        # Down, unless that would leave out nearly a whole epoch.
        return max(1, math.floor(full * self.share + _ROUNDED_UP))


# quality.py asks them how right their label maps are.
QUALITY_RUNS = tuple(
    Run("isic_1500", arm, "steps", 0)
    for arm in (
        DEFAULT,
        with_critic(DEFAULT, "segan"),
        with_critic(DEFAULT, "relative"),
    )
)


def screening(records: Records) -> Iterator[Run]:
    """Tries the losses without an added critic, with half of the steps."""
    del records
    for regime in SCREENED:
        for arm in (*PIXEL_LOSSES, SEGAN_ALONE):
            yield _screened(regime, arm)


def _screened(regime: str, arm: str) -> Run:
    return Run(regime, arm, "screening", 0, _SCREENING_SHARE)


def baseline(records: Records, regime: str) -> str:
    """Returns the loss of pixels that critics are added to in a regime.

    It is the product's, unless the other is clearly better in the screening.

    Raises:
      KeyError: the screening is not finished.
    """
    family = REGIMES[regime].family
    dice = {
        arm: mean_dice(records[_screened(family, arm).name])
        for arm in PIXEL_LOSSES
    }
    best = max(dice, key=lambda arm: dice[arm])
    return best if dice[best] > dice[DEFAULT] + _CLEARLY else DEFAULT


def critic_screening(records: Records) -> Iterator[Run]:
    """Tries every critic, added to the baseline, with half of the steps."""
    for regime in SCREENED:
        for critic in ADDED_CRITICS:
            arm = with_critic(baseline(records, regime), critic)
            yield _screened(regime, arm)


def chosen(records: Records, regime: str) -> list[str]:
    """Lists the losses that a regime's screening leaves, the best first.

    Raises:
      KeyError: the screening is not finished.
    """
    family = REGIMES[regime].family
    dice = {
        run.arm: mean_dice(records[run.name])
        for run in critic_screening(records)
        if run.regime == family
    }
    return sorted(dice, key=lambda arm: -dice[arm])[:_KEPT]


def equal_steps(records: Records) -> Iterator[Run]:
    """Compares what the screenings leave at equal steps, seed by seed."""
    for seed in SEEDS:
        for name in REGIMES:
            arms = (baseline(records, name), DEFAULT, *chosen(records, name))
            for arm in dict.fromkeys(arms):
                yield Run(name, arm, "steps", seed)


def losses(records: Records, regime: str) -> list[str]:
    """Lists the losses of pixels that critics are added to in a regime.

    The product's is a second one where the baseline, chosen with half of the
    steps and one seed, is clearly worse over the seeds.

    Raises:
      KeyError: a run without a critic is missing.
    """
    base = baseline(records, regime)
    is_worse = _difference(records, regime, DEFAULT, base) > _CLEARLY
    return [base, DEFAULT] if is_worse else [base]


def second_loss(records: Records) -> Iterator[Run]:
    """Adds the critics to the second loss of pixels, where there is one."""
    for seed in SEEDS:
        for name in REGIMES:
            for loss in losses(records, name)[1:]:
                for arm in chosen(records, name):
                    one = with_critic(loss, critic_of(arm))
                    yield Run(name, one, "steps", seed)


def quality(records: Records) -> Iterable[Run]:
    """Makes the runs of quality.py."""
    del records
    return QUALITY_RUNS


def make_equal_time(
    costs: Mapping[str, Mapping[str, float]],
) -> Callable[[Records], Iterator[Run]]:
    """Makes the stage of equal time.

    Args:
      costs: by screening, the time of a step with each critic in that of one
        without.
    """

    def equal_time(records: Records) -> Iterator[Run]:
        """Shortens the critics that are a gain at equal steps."""
        for run in (*equal_steps(records), *second_loss(records)):
            if not critic_of(run.arm):
                continue
            cost = costs[REGIMES[run.regime].family][critic_of(run.arm)]
            is_better = gain(records, run.regime, run.arm) > 0
            if cost > _FREE and is_better:
                yield dataclasses.replace(run, kind="time", share=1 / cost)

    return equal_time


def gain(records: Records, regime: str, arm: str) -> float:
    """Computes the mean Dice over the seeds less that without the critic."""
    return _difference(records, regime, arm, loss_of(arm))


def _difference(records: Records, regime: str, arm: str, other: str) -> float:
    means = [
        np.mean(
            [
                mean_dice(records[Run(regime, one, "steps", seed).name])
                for seed in SEEDS
            ]
        )
        for one in (arm, other)
    ]
    return float(means[0] - means[1])


def mean_dice(record: Mapping[str, Any]) -> float:
    """Computes the mean Dice over the test images of a record.

    It is 0 for a run that diverged.
    """
    if "failed" in record:
        return 0.0
    dice = np.array(record["images"]["dice"], np.float64)
    return float(np.nanmean(dice))


def make_confirmation(
    winners: Callable[[Records], Sequence[tuple[str, str]]],
) -> Callable[[Records], Iterator[Run]]:
    """Makes the stage that repeats what won with seeds that chose nothing.

    Args:
      winners: lists the regimes and losses whose interval is above 0.
    """

    def confirmation(records: Records) -> Iterator[Run]:
        for regime, arm in winners(records):
            for seed in CONFIRMING_SEEDS:
                for one in (loss_of(arm), arm):
                    yield Run(regime, one, "steps", seed)

    return confirmation
