"""Tests of the predictors of a label map's Dice."""

import numpy as np
import pytest
import quality

from segan_tf import config
from segan_tf.training.state import build_train_state

pytestmark = pytest.mark.any_edition


def test_fitted_score_is_from_other_images():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(200, 3))
    dice = 0.8 + features @ [0.1, -0.05, 0.0]
    np.testing.assert_allclose(quality.fitted(features, dice), dice, atol=5e-3)
    # As many numbers as images would fit their own Dice exactly.
    noise = rng.normal(size=(200, 150))
    score = quality.fitted(noise, dice)
    assert abs(np.corrcoef(score, dice)[0, 1]) < 0.3


def test_features_are_fitted_to_what_agreement_leaves():
    rng = np.random.default_rng(0)
    agreement, features = rng.uniform(size=200), rng.normal(size=(200, 2))
    dice = agreement**3 + features @ [0.02, 0.0]
    both = quality.fitted(features, dice, agreement)
    alone = quality.fitted(0 * features, dice, agreement)
    errors = [np.abs(score - dice).mean() for score in (both, alone)]
    assert errors[0] < errors[1] / 2
    few = quality.fitted(features, dice, agreement, few=True)
    assert errors[0] < np.abs(few - dice).mean() < errors[1]


def test_scores_fit_what_has_several_numbers_with_and_without_agreement():
    rng = np.random.default_rng(0)
    dice = rng.uniform(size=50)
    found = {
        "agreement of views": dice[:, None] ** 2,
        "features": rng.normal(size=(50, 4)),
    }
    names = dict(quality.scores(dice, found))
    assert list(names) == [
        "agreement of views",
        "features, fitted",
        "features and agreement of views, fitted",
        "features and agreement of views, fitted to 10 images",
    ]
    np.testing.assert_array_equal(names["agreement of views"], dice**2)


@pytest.fixture(scope="module")
def state():
    return build_train_state(
        config.Config(
            segmentor="efficientnet_lite0",
            encoder_weights="none",
            image_size=32,
            width=8,
            critic_width=2,
        ),
        steps_per_epoch=1,
    )


def test_critic_finds_no_distance_between_equal_maps(state, monkeypatch):
    critics = quality.Critics(state)
    image = np.zeros((40, 50, 3), np.uint8)
    decided = np.zeros((32, 32, 1), np.float32)
    decided[:16] = 1

    def segment(view):
        return decided, np.zeros((1, 1, 5), np.float32)

    monkeypatch.setattr(critics, "_segment", segment)
    found = critics.ask(image)
    assert found["own distance"] == 0
    # A map that turns with the image has another half after turning back.
    assert found["views distance"] < 0
    # Mean and deviation of five channels.
    assert found["features of S"].shape == (10,)
    # Of four levels of 2, 4, 8 and 16 channels.
    assert found["features of C"].shape == (2 * (2 + 4 + 8 + 16),)


def test_without_a_critic_only_the_segmentor_is_asked(state):
    alone = build_train_state(
        state.config.replace(adversarial=False), steps_per_epoch=1
    )
    found = quality.Critics(alone).ask(np.zeros((32, 32, 3), np.uint8))
    assert list(found) == ["features of S"]
