"""Fits thresholds to pairs, and tells whether the pairs prove a gain."""

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence

import numpy as np

from segan_tf.decision import THRESHOLD
from segan_tf.imaging import preprocessing
from segan_tf.metrics import batch

# Dice is flat around its best threshold: on ISIC 2017 neighbors differ by 0.001
# (docs/results.md).
OPTIONS = tuple(n / 20 for n in range(1, 20))

_SWEEPS = 4  # over the labels; thresholds of multiclass ones depend on others


@dataclasses.dataclass(frozen=True)
class Sample:
    """The pixels of a pair that a decision is fitted to.

    Attributes:
      probability_map: float32 [height, width, labels] in [0, 1].
      label_map: the true one, uint8 [height, width, labels] in {0, 1}.
    """

    probability_map: np.ndarray
    label_map: np.ndarray


@dataclasses.dataclass(frozen=True)
class Fit:
    """The thresholds that suit pairs in one style.

    Attributes:
      thresholds: fitted to all pairs.
      dice: of every pair with these thresholds, float [pairs].
      dice_without: float [pairs, pairs]; row i has the Dice of every pair with
        the thresholds that are fitted to all pairs but i.
    """

    thresholds: tuple[float, ...]
    dice: np.ndarray
    dice_without: np.ndarray


class Scorer:
    """Computes the Dice of pairs with any thresholds, each once."""

    def __init__(self, samples: Sequence[Sample], *, multiclass: bool) -> None:
        self._samples = samples
        self._multiclass = multiclass
        self.num_pairs = len(samples)
        self.num_labels = samples[0].label_map.shape[-1]
        self.dice = functools.cache(self._dice)

    def _dice(self, thresholds: tuple[float, ...]) -> np.ndarray:
        """Returns the Dice of every pair, float [pairs].

        Of several labels it is the mean, where a label that is absent and not
        predicted counts as 1: each threshold pays for what it adds.
        """
        return np.array([self._dice_of(s, thresholds) for s in self._samples])

    def _dice_of(self, sample: Sample, thresholds: tuple[float, ...]) -> float:
        decided = preprocessing.decide_label_map(
            sample.probability_map,
            multiclass=self._multiclass,
            thresholds=thresholds,
        )
        true = sample.label_map.astype(np.float32)
        return float(np.mean(batch.hard_dice(decided[None], true[None])))

    def fit_to(
        self, chosen: np.ndarray, present: tuple[float, ...]
    ) -> tuple[float, ...]:
        """Fits a threshold for each label.

        Args:
          chosen: indices of the pairs to fit to.
          present: is left only for what is better by more than chance, see
            `first_as_good`.
        """
        best = self._find_best(chosen)
        fitted = best
        for label, own in enumerate(present):
            options = [
                replaced(fitted, label, option)
                for option in sorted({*OPTIONS, own}, key=_distance_to(own))
            ]
            dice = [self.dice(option)[chosen] for option in [*options, best]]
            fitted = [*options, best][first_as_good(dice)]
        return fitted

    def _find_best(self, chosen: np.ndarray) -> tuple[float, ...]:
        """Finds the thresholds of the highest mean Dice, label by label."""
        best = (THRESHOLD,) * self.num_labels
        for _ in range(_SWEEPS):
            before = best
            for label in range(self.num_labels):
                options = [best, *(replaced(best, label, o) for o in OPTIONS)]
                best = self._highest(options, chosen)
            # Of multiclass labels it may take all to move together.
            best = self._highest([best, *_shifted(best)], chosen)
            if best == before:
                break
        return best

    def _highest(
        self, options: Sequence[tuple[float, ...]], chosen: np.ndarray
    ) -> tuple[float, ...]:
        return max(options, key=lambda o: self.dice(o)[chosen].mean())


def first_as_good(dice: Sequence[np.ndarray]) -> int:
    """Returns the first option that the pairs cannot tell from the best.

    That is one whose mean Dice is less than one standard error of the
    difference below the best (the one-standard-error rule of Breiman et al.,
    Classification and Regression Trees, 1984). Without it, the few pairs of
    the largest differences decide.

    Args:
      dice: of the same pairs with each option, float [pairs] each.
    """
    best = max(dice, key=np.mean)
    for index, one in enumerate(dice):
        gap = best - one
        error = gap.std(ddof=1) / math.sqrt(gap.size)
        if gap.mean() <= error:
            return index
    raise ValueError("a Dice is not a number")


def replaced(
    thresholds: tuple[float, ...], label: int, threshold: float
) -> tuple[float, ...]:
    """Returns the thresholds with another one for a label."""
    return (*thresholds[:label], threshold, *thresholds[label + 1 :])


def _distance_to(present: float) -> Callable[[float], float]:
    return lambda threshold: abs(threshold - present)


def _shifted(thresholds: tuple[float, ...]) -> list[tuple[float, ...]]:
    """Moves all thresholds by the same number of steps, within OPTIONS."""
    if len(thresholds) == 1:
        return []
    places = [OPTIONS.index(threshold) for threshold in thresholds]
    return [
        tuple(OPTIONS[place + by] for place in places)
        for by in range(-min(places), len(OPTIONS) - max(places))
    ]


def fit(scorer: Scorer, present: tuple[float, ...]) -> Fit:
    """Fits thresholds to all pairs, and once without each of them.

    Args:
      scorer: of at least 3 pairs, in one style.
      present: the thresholds to start from, see `Scorer.fit_to`.
    """
    every = np.arange(scorer.num_pairs)
    thresholds = scorer.fit_to(every, present)
    without = [scorer.fit_to(every[every != i], present) for i in every]
    return Fit(
        thresholds,
        scorer.dice(thresholds),
        np.stack([scorer.dice(fitted) for fitted in without]),
    )


def choose(fits: Sequence[Fit]) -> tuple[int, np.ndarray]:
    """Chooses a style: the first that is as good as the best.

    Args:
      fits: one for each style, the present one first, to the same pairs.

    Returns:
      The index of the style, and the Dice of every pair, float [pairs], with
      the style and thresholds that are chosen without it.
    """
    every = np.arange(len(fits[0].dice))
    after = np.empty(len(every))
    for i in every:
        others = every != i
        rows = [one.dice_without[i] for one in fits]
        chosen = first_as_good([row[others] for row in rows])
        after[i] = rows[chosen][i]
    return first_as_good([one.dice for one in fits]), after
