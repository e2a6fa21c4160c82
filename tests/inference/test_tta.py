"""Tests of the views that test-time augmentation averages over."""

import numpy as np
import pytest
import small_models

from segan_tf import config
from segan_tf import labels as labels_lib
from segan_tf.inference.predictor import Predictor, flipped_views


def test_horizontal_flips_are_averaged_over_two_views():
    image = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    seen = []

    def look(view):
        seen.append(view[0, 0].tolist())
        return view[..., :1].astype(np.float32)

    averaged = np.mean(flipped_views(look, image, "horizontal"), 0)
    assert seen == [image[0, 0].tolist(), image[0, 2].tolist()]
    np.testing.assert_array_equal(averaged, image[..., :1])


def test_averaging_is_an_error_for_a_model_that_was_trained_upright():
    model = small_models.build_segmentor(num_labels=2)
    labels = labels_lib.Labels(("heart", "lungs"))
    with pytest.raises(
        config.UserError, match=r"^--tta averages .+ has --flip=none; leave it"
    ):
        Predictor(model, labels=labels, tta=True)
