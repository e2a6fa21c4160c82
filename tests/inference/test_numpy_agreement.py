"""Tests that NumPy measures agreement as agreement.py does."""

import numpy as np
import pytest

from segan_tf.inference import agreement, numpy_agreement


@pytest.mark.parametrize("labels", [1, 3])
@pytest.mark.parametrize("size", [(20, 31), (700, 900)])
@pytest.mark.parametrize("multiclass", [True, False])
def test_agreement_is_the_same(labels, size, multiclass):
    rng = np.random.default_rng(0)
    maps = rng.random((*size, labels), np.float32) / labels
    maps[..., labels // 2] = 0
    given = {"multiclass": multiclass, "thresholds": [0.3] * labels}
    found = numpy_agreement.outlines(maps, **given)
    expected = agreement.outlines(maps, **given)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, np.asarray(other))
    assert numpy_agreement.mean_pairwise_dice(found) == pytest.approx(
        float(agreement.mean_pairwise_dice(expected)), abs=1e-6
    )


def test_mean_pairwise_dice_is_that_counted_by_hand():
    maps = [(np.arange(8) < count)[:, None, None] for count in (1, 2, 4)]
    found = numpy_agreement.mean_pairwise_dice(maps)
    assert found == pytest.approx((2 / 3 + 2 / 5 + 4 / 6) / 3)
    assert numpy_agreement.mean_pairwise_dice([maps[0] & False] * 2) == 0.0
