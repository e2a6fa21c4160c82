"""Tests of turning the agreement of outlines into an expected Dice."""

import numpy as np
import pytest

from segan_tf import expected_dice
from segan_tf.expected_dice import Curve


def test_falling_neighbors_are_pooled_to_their_mean():
    curve = expected_dice.fit(
        np.array([0.4, 0.2, 0.3, 0.1]), np.array([0.9, 0.7, 0.6, 0.5])
    )
    np.testing.assert_allclose(curve.agreement, [0.1, 0.25, 0.4])
    np.testing.assert_allclose(curve.dice, [0.5, (0.7 + 0.6) / 2, 0.9])


def test_a_pool_takes_in_all_that_it_falls_below():
    curve = expected_dice.fit(
        np.array([0.1, 0.2, 0.3]), np.array([0.6, 0.9, 0.0])
    )
    np.testing.assert_allclose(curve.agreement, [0.2])
    np.testing.assert_allclose(curve.dice, [0.5])


def test_curve_is_linear_between_its_points_and_flat_outside():
    curve = Curve((0.2, 0.6), (0.5, 0.9))
    assert curve(0.3) == pytest.approx(0.5 + 0.4 / 4)
    assert (curve(0.0), curve(1.0)) == (0.5, 0.9)


def test_curves_are_read_as_they_were_written():
    curves = {"views": Curve((0.2, 0.6), (0.5, 0.9))}
    assert expected_dice.from_json(expected_dice.to_json(curves)) == curves


def test_warning_is_given_below_the_limit_or_where_nothing_was_found():
    assert expected_dice.warning(0.699, is_empty=False).startswith(
        "the outline is doubtful, or this is no image like "
    )
    assert expected_dice.warning(0.9, is_empty=True) == "nothing was found"
    assert expected_dice.warning(0.7, is_empty=False) == ""


@pytest.mark.parametrize(
    "curve",
    [
        {"agreement": [0.1, 0.2], "dice": [0.5]},
        {"agreement": [0.2, 0.1], "dice": [0.5, 0.6]},
        {"agreement": [0.1, 0.2], "dice": [0.6, 0.5]},
        {"agreement": [], "dice": []},
    ],
)
def test_curve_that_does_not_rise_is_an_error(curve):
    with pytest.raises(ValueError, match="does not rise"):
        expected_dice.from_json({"thresholds": curve})


def test_measures_are_those_counted_by_hand():
    dice = np.linspace(0.1, 1.0, 10)
    # The first is expected to be the second, and the other way round.
    expected = dice[[1, 0, *range(2, 10)]]
    found = expected_dice.measure(expected, dice)
    assert found["mean_absolute_error"] == pytest.approx(2 * 0.1 / 10)
    assert found["baseline_error"] == pytest.approx(0.25)  # from 0.55
    # Spearman: 1 - 6 * (1 + 1) / (10 * 99).
    assert found["rank_correlation"] == pytest.approx(1 - 12 / 990)
    assert found["found_of_worst"] == 0
    assert expected_dice.measure(dice, dice)["found_of_worst"] == 1


def test_equal_values_share_their_rank():
    # Ranks 1.5, 1.5, 3 against 1, 2, 3: correlation 1.5 / (1.5 * 2) ** 0.5.
    found = expected_dice.measure(
        np.array([0.5, 0.5, 0.9]), np.array([0.1, 0.2, 0.3])
    )
    assert found["rank_correlation"] == pytest.approx(1.5 / 3**0.5)


def test_one_number_for_all_has_no_rank_correlation():
    found = expected_dice.measure(np.full(5, 0.8), np.linspace(0, 1, 5))
    assert found["rank_correlation"] == 0
