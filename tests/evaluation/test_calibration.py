"""Tests of fitting thresholds to pairs whose best ones are known."""

import numpy as np
import pytest

from segan_tf.evaluation import calibration
from segan_tf.imaging import preprocessing


def draw_maps(count, *, num_labels, seed=0):
    """Draws probability maps, float32 [40, 40, labels]; at most 1 in all."""
    rng = np.random.default_rng(seed)
    maps = rng.uniform(0, 1, (count, 40, 40, num_labels))
    return np.float32(maps / max(1, num_labels - 1))


def make_samples(thresholds, *, multiclass, count=12):
    """Makes pairs of which a decision with these thresholds has Dice 1."""
    samples = []
    for found in draw_maps(count, num_labels=len(thresholds)):
        true = preprocessing.decide_label_map(
            found, multiclass=multiclass, thresholds=thresholds
        )
        samples.append(calibration.Sample(found, np.uint8(true)))
    return samples


def fit(samples, *, multiclass=True, present=None):
    scorer = calibration.Scorer(samples, multiclass=multiclass)
    present = present or (0.5,) * scorer.num_labels
    return calibration.fit(scorer, present)


@pytest.mark.parametrize("threshold", [0.05, 0.3, 0.5, 0.75, 0.95])
def test_threshold_of_one_label_is_found(threshold):
    found = fit(make_samples((threshold,), multiclass=True))
    assert found.thresholds == (threshold,)
    np.testing.assert_array_equal(found.dice, np.ones(12))
    np.testing.assert_array_equal(found.dice_without, np.ones((12, 12)))


@pytest.mark.parametrize("multiclass", [True, False])
def test_threshold_of_each_label_is_found(multiclass):
    expected = (0.35, 0.6)
    found = fit(
        make_samples(expected, multiclass=multiclass), multiclass=multiclass
    )
    assert found.thresholds == expected
    assert found.dice.min() == 1.0


@pytest.mark.parametrize("present", [0.5, 0.35, 0.123])
def test_of_equally_good_thresholds_the_present_one_is_kept(present):
    found = np.zeros((8, 8, 1), np.float32)
    found[:4] = 0.9
    sample = calibration.Sample(found, np.uint8(found > 0))
    assert fit([sample] * 3, present=(present,)).thresholds == (present,)


def test_first_option_within_one_standard_error_of_the_best_is_taken():
    best = np.array([0.9, 0.8, 0.7])
    # Differences 0.3, 0, 0: mean 0.1, standard error 0.173 / 3 ** 0.5 = 0.1.
    close = best - [0.29, 0.0, 0.0]
    # Differences 0.1 each: no error.
    worse = best - 0.1
    assert calibration.first_as_good([worse, close, best]) == 1
    assert calibration.first_as_good([worse, best, close]) == 1
    assert calibration.first_as_good([best, close]) == 0


def test_dice_is_that_counted_by_hand():
    found = np.float32([0.9, 0.6, 0.4, 0.1]).reshape(1, 4, 1)
    true = np.uint8([1, 0, 1, 0]).reshape(1, 4, 1)
    scorer = calibration.Scorer(
        [calibration.Sample(found, true)], multiclass=True
    )
    assert scorer.dice((0.5,)) == pytest.approx(2 * 1 / (2 + 2))
    assert scorer.dice((0.3,)) == pytest.approx(2 * 2 / (3 + 2))


def test_pair_is_judged_by_thresholds_that_were_fitted_without_it():
    like_others = make_samples((0.3,), multiclass=True, count=6)
    (other,) = make_samples((0.8,), multiclass=True, count=1)
    found = fit([*like_others, other])
    scorer = calibration.Scorer([other], multiclass=True)
    without = found.dice_without[-1]
    np.testing.assert_array_equal(without[:-1], np.ones(6))
    assert without[-1] == scorer.dice((0.3,))[0] < 1


def test_style_is_chosen_by_the_pairs_that_are_not_judged():
    def make(dice, *without):
        return calibration.Fit((0.5,), np.array(dice), np.array(without))

    best, after = calibration.choose(
        [
            # Without the first pair this style is the better one.
            make([0.7, 0.7, 0.7], [0.1, 0.9, 0.9], [0.1, 0.2, 0.1], [0.1] * 3),
            make([0.9, 0.9, 0.9], [0.3, 0.8, 0.8], [0.9, 0.4, 0.9], [0.5] * 3),
        ]
    )
    assert best == 1
    assert after.tolist() == [0.1, 0.4, 0.5]


def test_of_equally_good_styles_the_first_is_chosen():
    same = calibration.Fit((0.5,), np.ones(3), np.ones((3, 3)))
    assert calibration.choose([same, same])[0] == 0
