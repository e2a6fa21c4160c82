"""Tests of percentiles of differences."""

import numpy as np
import pytest

from export.parity import differences

ROUNDING = 1 / 128


def found(rows, share=99.9):
    """Returns the percentile after adding float32 arrays."""
    counted = differences.Differences(rows[0].shape[-1])
    for row in rows:
        counted.add(row.astype(np.float32))
    return counted.percentile(share)


def test_percentile_of_each_label():
    # 1000 pixels: one differs by 0.5, the others by 0.25.
    first = np.full(1000, 0.25)
    first[7] = 0.5
    second = np.linspace(0, 1, 1000)
    values = found([np.stack([first, second], axis=-1)])
    assert values == pytest.approx([0.25, 0.998], rel=ROUNDING)
    assert all(np.array(values) >= [0.25, 0.998])


def test_percentile_does_not_grow_with_the_number_of_images():
    rng = np.random.default_rng(0)
    images = [np.abs(rng.normal(0, 0.01, (32, 32, 1))) for _ in range(200)]
    (few,), (many,) = found(images[:8]), found(images)
    assert many == pytest.approx(few, rel=0.1)
    assert max(map(np.max, images)) > 1.2 * max(map(np.max, images[:8]))


def test_no_difference_is_below_every_limit():
    assert found([np.zeros((4, 4, 1))])[0] < 1e-30


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_difference_that_is_no_number_is_not_within_a_limit(value):
    (above,) = found([np.full((4, 4, 1), value)])
    assert not above <= 1
