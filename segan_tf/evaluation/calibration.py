"""Fits thresholds to pairs, and tells whether the pairs prove a gain."""

import dataclasses
import functools
import math
from collections.abc import Sequence

import numpy as np

from segan_tf.decision import THRESHOLD
from segan_tf.imaging import preprocessing
from segan_tf.metrics import batch

# Dice is flat around its best threshold: on ISIC 2017 neighbors differ by 0.001
# (docs/results.md). Ordered so that of equally good ones the middle is taken.
OPTIONS = tuple(
    sorted((n / 20 for n in range(1, 20)), key=lambda t: abs(t - THRESHOLD))
)
MAX_PIXELS = 1 << 16  # of an image that are looked at

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
    """The thresholds that suit a model best in one style.

    Attributes:
      thresholds: fitted to all pairs.
      dice: their mean over all pairs.
      others_dice: float [pairs]; for each pair the mean Dice, over all other
        pairs, of the thresholds that are fitted to those.
      held_out_dice: float [pairs]; the Dice of a pair with these thresholds,
        which were fitted without it.
    """

    thresholds: tuple[float, ...]
    dice: float
    others_dice: np.ndarray
    held_out_dice: np.ndarray


def take_sample(probability_map: np.ndarray, label_map: np.ndarray) -> Sample:
    """Takes every n-th row and column, so that MAX_PIXELS are left at most."""
    height, width, _ = label_map.shape
    step = math.ceil(math.sqrt(height * width / MAX_PIXELS))
    rows = slice(step // 2, None, step)
    return Sample(
        np.ascontiguousarray(probability_map[rows, rows]),
        np.ascontiguousarray(label_map[rows, rows]),
    )


class Scorer:
    """Computes the Dice of pairs with any thresholds, each once."""

    def __init__(self, samples: Sequence[Sample], *, multiclass: bool) -> None:
        self._samples = samples
        self._multiclass = multiclass
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

    def fit_to(self, chosen: np.ndarray) -> tuple[float, ...]:
        """Fits a threshold for each label to the pairs of these indices."""
        fitted = (THRESHOLD,) * self.num_labels
        for _ in range(_SWEEPS):
            before = fitted
            for label in range(self.num_labels):
                options = [
                    (*fitted[:label], option, *fitted[label + 1 :])
                    for option in OPTIONS
                ]
                fitted = self._best(options, chosen)
            # Of multiclass labels it may take all to move together.
            fitted = self._best([fitted, *_shifted(fitted)], chosen)
            if fitted == before:
                break
        return fitted

    def _best(
        self, options: Sequence[tuple[float, ...]], chosen: np.ndarray
    ) -> tuple[float, ...]:
        return max(options, key=lambda o: self.dice(o)[chosen].mean())


def _shifted(thresholds: tuple[float, ...]) -> list[tuple[float, ...]]:
    """Moves all thresholds by the same number of steps, within OPTIONS."""
    if len(thresholds) == 1:
        return []
    options = sorted(OPTIONS)
    places = [options.index(threshold) for threshold in thresholds]
    return [
        tuple(options[place + by] for place in places)
        for by in range(-min(places), len(options) - max(places))
    ]


def fit(scorer: Scorer, num_pairs: int) -> Fit:
    """Fits thresholds to all pairs, and once without each of them.

    Args:
      scorer: of the pairs, in one style.
      num_pairs: at least 2.
    """
    every = np.arange(num_pairs)
    others_dice, held_out_dice = np.empty((2, num_pairs))
    for pair in every:
        others = every[every != pair]
        dice = scorer.dice(scorer.fit_to(others))
        others_dice[pair], held_out_dice[pair] = dice[others].mean(), dice[pair]
    thresholds = scorer.fit_to(every)
    return Fit(
        thresholds, scorer.dice(thresholds).mean(), others_dice, held_out_dice
    )


def choose(fits: Sequence[Fit]) -> tuple[int, np.ndarray]:
    """Chooses the best of several styles; of equal ones the first.

    Args:
      fits: one for each style, to the same pairs.

    Returns:
      The index of the best, and the Dice of every pair, float [pairs], with
      the style and thresholds that are best for all others.
    """
    best = int(np.argmax([one.dice for one in fits]))
    chosen = np.argmax([one.others_dice for one in fits], axis=0)
    held_out = np.stack([one.held_out_dice for one in fits])
    return best, held_out[chosen, np.arange(len(chosen))]
