"""Tests of bootstrap intervals, paired comparisons and summaries."""

import math
import tracemalloc

import numpy as np
import pytest

from segan_tf.evaluation import bootstrap


def test_interval_of_two_values_matches_the_worked_example():
    # Two draws from {0, 1}: mean 0, 0.5 and 1 with chances 1/4, 1/2, 1/4.
    # At level 0.4 both ends, the 0.3 and 0.7 quantiles, are 0.5; at 0.9 the
    # 0.05 and 0.95 quantiles are 0 and 1.
    assert bootstrap.bootstrap_interval([0, 1], seed=0, level=0.4) == (
        0.5,
        0.5,
    )
    assert bootstrap.bootstrap_interval([0, 1], seed=0, level=0.9) == (0, 1)


def test_interval_of_many_values_is_close_to_the_normal_one():
    values = np.random.default_rng(1).normal(0.9, 0.1, 400)
    low, high = bootstrap.bootstrap_interval(values, seed=2)
    half = 1.96 * values.std() / math.sqrt(400)
    assert low == pytest.approx(values.mean() - half, abs=0.05 * half)
    assert high == pytest.approx(values.mean() + half, abs=0.05 * half)


def test_the_same_seed_gives_the_same_interval_and_another_does_not():
    values = np.random.default_rng(1).random(50)

    def interval(seed):
        return bootstrap.bootstrap_interval(values, seed=seed)

    assert interval(3) == interval(3)
    assert interval(3) != interval(4)


def test_undefined_values_change_no_interval():
    values = [0.2, 0.9, 0.4, 0.7]
    assert bootstrap.bootstrap_interval(
        [math.nan, *values, math.nan], seed=0
    ) == bootstrap.bootstrap_interval(values, seed=0)


def test_one_value_is_its_own_interval_and_no_value_has_none():
    assert bootstrap.bootstrap_interval([0.5], seed=0) == (0.5, 0.5)
    for values in ([], [math.nan]):
        ends = bootstrap.bootstrap_interval(values, seed=0)
        assert all(math.isnan(end) for end in ends)


def test_resamples_larger_than_a_batch_are_all_drawn(monkeypatch):
    # 3 draws at once for 10 values are less than one resample.
    values = np.arange(10.0)
    monkeypatch.setattr(bootstrap, "DRAWS_AT_ONCE", 3)
    low, high = bootstrap.bootstrap_interval(
        values, seed=0, resamples=501, level=0.999999
    )
    assert 0 <= low < 4.5 - 1 < 4.5 + 1 < high <= 9


def test_many_images_need_little_memory():
    values = np.random.default_rng(0).random(20_000)
    tracemalloc.start()
    bootstrap.bootstrap_interval(values, seed=0, resamples=200)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # All draws at once would be 200 * 20,000 indices of 8 bytes.
    assert peak < 200 * 20_000 * 8


def test_paired_comparison_detects_a_difference_below_the_spread():
    generator = np.random.default_rng(0)
    hardness = generator.normal(0.8, 0.2, 200)
    a = hardness + 0.02 + generator.normal(0, 0.005, 200)
    mean, low, high = bootstrap.paired_bootstrap(a, hardness, seed=0)
    assert mean == pytest.approx(np.mean(a) - np.mean(hardness))
    assert 0 < low < mean < high
    # 0.005 / sqrt(200) = 0.00035: the pairing removes the spread of 0.2.
    assert high - low == pytest.approx(2 * 1.96 * 0.00035, rel=0.2)


def test_paired_comparison_leaves_out_images_undefined_for_either():
    a, b = [0.9, math.nan, 0.5, 0.7], [0.8, 0.1, math.nan, 0.4]
    mean, low, high = bootstrap.paired_bootstrap(a, b, seed=0)
    assert mean == pytest.approx(((0.9 - 0.8) + (0.7 - 0.4)) / 2)
    assert (low, high) == pytest.approx((0.9 - 0.8, 0.7 - 0.4))


def test_paired_comparison_without_a_common_image_is_undefined():
    values = bootstrap.paired_bootstrap([math.nan], [1.0], seed=0)
    assert len(values) == 3
    assert all(math.isnan(value) for value in values)


def test_paired_comparison_of_different_images_is_an_error():
    with pytest.raises(ValueError, match="same images twice, not 2 and 1"):
        bootstrap.paired_bootstrap([1, 2], [1], seed=0)


def test_summary_counts_what_is_undefined_and_leaves_it_out():
    rows = [
        {"id": "a", "dice": 0.5, "assd_px": 2.0},
        {"id": "b", "dice": 1.0, "assd_px": math.nan},
        {"id": "c", "dice": 0.9, "assd_px": 4.0},
    ]
    summary = bootstrap.summarize(rows, seed=1)
    low, high = bootstrap.bootstrap_interval([0.5, 1.0, 0.9], seed=1)
    assert summary["dice"] == {
        "mean": pytest.approx((0.5 + 1.0 + 0.9) / 3),
        "median": 0.9,
        "low": low,
        "high": high,
        "count": 3,
        "undefined": 0,
    }
    assert summary["assd_px"]["mean"] == (2 + 4) / 2
    assert summary["assd_px"]["median"] == (2 + 4) / 2
    assert summary["assd_px"]["count"] == 2
    assert summary["assd_px"]["undefined"] == 1
    assert "id" not in summary


def test_summary_of_a_metric_without_values_is_nan():
    summary = bootstrap.summarize([{"assd_px": math.nan}] * 2)["assd_px"]
    assert (summary["count"], summary["undefined"]) == (0, 2)
    for name in ("mean", "median", "low", "high"):
        assert math.isnan(summary[name])


def test_summary_of_no_rows_is_empty():
    assert bootstrap.summarize([]) == {}


def test_interval_of_one_label_is_that_of_its_images():
    values = np.random.default_rng(0).uniform(size=40)
    (several,) = bootstrap.summarize_labels(
        values[None, :, None], np.ones((40, 1), bool), seed=1
    )
    one = bootstrap.summarize_values(values, seed=1)
    assert several["mean"] == pytest.approx(values.mean())
    assert several["median"] == pytest.approx(np.median(values))
    for end in ("low", "high"):
        assert several[end] == pytest.approx(one[end], abs=0.005)


def test_labels_weigh_equally_however_rare():
    values = np.array([[[1.0, 0.0]] + [[1.0, 1.0]] * 9])
    has_label = np.array([[True, True]] + [[True, False]] * 9)
    (summary,) = bootstrap.summarize_labels(values, has_label)
    assert summary["mean"] == (1 + 0) / 2
    assert (summary["count"], summary["undefined"]) == (10 + 1, 0)
    # Where the only image with the second label is not drawn, the mean is that
    # of the first.
    assert (summary["low"], summary["high"]) == (0.5, 1)


def test_labels_without_any_value_are_undefined():
    values = np.full((1, 3, 2), np.nan)
    (summary,) = bootstrap.summarize_labels(values, np.ones((3, 2), bool))
    assert math.isnan(summary["mean"])
    assert math.isnan(summary["low"])
    assert (summary["count"], summary["undefined"]) == (0, 3 * 2)
