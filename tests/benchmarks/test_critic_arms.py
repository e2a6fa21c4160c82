"""Tests of the critics that are compared with SegAN's."""

import arm_critics
import arms
import numpy as np
import pytest
import tensorflow as tf

from segan_tf import config
from segan_tf.models.critics import CRITICS
from segan_tf.training import train_step
from segan_tf.training.state import build_train_state

pytestmark = pytest.mark.any_edition

ARMS = [arms.with_critic("dice", critic) for critic in arms.ADDED_CRITICS]


@pytest.fixture(autouse=True)
def registered():
    """Adds the critics, for one test."""
    before = dict(CRITICS)
    arms.register()
    yield
    CRITICS.clear()
    CRITICS.update(before)


def one_view(*values):
    """Makes features [1, 1, 1, values, 1]."""
    return tf.reshape(tf.constant(values, tf.float32), (1, 1, 1, -1, 1))


def test_relative_distance_is_of_the_features_own_size():
    f = [one_view(0.5, 0.5), one_view(1.0, 3.0)]
    g = [one_view(1.0, 0.0), one_view(-1.0, 3.0)]
    distances = arm_critics.relative_distances(f, g)
    # Scale 0 is smoothed by one pixel.
    expected = [(0.5 + 0.5) / (2 * 0.5 + 1 + 1), (2 + 0) / (4 + 4)]
    np.testing.assert_allclose(distances[0, 0], expected, rtol=1e-5)


def test_relative_distance_of_an_absent_label_is_of_the_label_map_alone():
    f = [one_view(0.5, 0.5), one_view(1.0, 3.0)]
    g = [one_view(0.0, 0.0), one_view(0.0, 0.0)]
    distances = arm_critics.relative_distances(f, g)
    # Smoothed by both pixels, as the Dice loss.
    np.testing.assert_allclose(distances[0, 0], [1 / (1 + 2), 0], rtol=1e-5)


def test_feature_distance_of_twice_the_features_is_a_third():
    f = one_view(1.0, -2.0)
    distances = arm_critics.feature_distances([f], [2 * f])
    np.testing.assert_allclose(distances[0, 0], [3 / (3 + 6)], rtol=1e-5)


def test_spectral_norm_bounds_the_largest_singular_value():
    kernel = tf.random.stateless_normal((4, 4, 3, 8), (1, 2))
    bounded = tf.reshape(arm_critics.SpectralNorm()(kernel), (-1, 8))
    assert np.linalg.norm(bounded, 2) == pytest.approx(1, abs=0.05)
    small = kernel * 0.01
    np.testing.assert_array_equal(arm_critics.SpectralNorm()(small), small)
    bias = tf.constant([3.0])
    np.testing.assert_array_equal(arm_critics.SpectralNorm()(bias), bias)


def test_an_arm_has_the_settings_of_its_loss_and_its_critic():
    settings = arms.ARMS["ce_dice+relative"].settings
    run = config.Config(**settings)
    assert run.loss_weights == {
        "multi_scale_l1": 0.5,
        "dice_loss": 1,
        "cross_entropy": 1,
    }
    assert (run.critic, run.critic_clip) == ("relative", 0)
    alone = config.Config(**arms.ARMS["dice"].settings)
    assert alone.loss_weights == {
        "multi_scale_l1": 0,
        "dice_loss": 1,
        "cross_entropy": 0,
    }


def make_state(arm, **settings):
    return build_train_state(
        config.Config(
            **{
                "image_size": 32,
                "width": 4,
                "batch_size": 2,
                **arms.ARMS[arm].settings,
                **settings,
            }
        ),
        steps_per_epoch=10,
    )


@pytest.mark.parametrize("num_labels", [1, 2])
@pytest.mark.parametrize("arm", ARMS)
def test_every_critic_pulls_the_segmentor(arm, num_labels):
    state = make_state(arm, num_labels=num_labels)
    image = tf.random.stateless_normal((2, 32, 32, 3), (1, 2))
    true = tf.cast(image[..., :num_labels] > 1, tf.float32)
    batch = train_step.Batch(image, true)
    _, predicted = train_step.predict(state, batch)
    alone = state.config.replace(dice_weight=0)
    of_critic = type(state)(
        alone, state.segmentor, state.segmentor_optimizer, state.critic
    )
    _, gradient = train_step.segmentor_gradient(of_critic, batch, predicted)
    assert np.isfinite(gradient).all()
    assert np.abs(gradient).max() > 0
    logs = train_step.train_step(state, image, true)
    assert np.isfinite(logs["segmentor_loss"])


@pytest.mark.parametrize("arm", ARMS)
def test_a_step_moves_what_is_trained_of_a_critic(arm):
    state = make_state(arm)
    image = tf.random.stateless_normal((2, 32, 32, 3), (1, 2))
    true = tf.cast(image[..., :1] > 1, tf.float32)
    before = [np.array(weight) for weight in state.critic.weights]
    train_step.train_step(state, image, true)
    after = [np.array(weight) for weight in state.critic.weights]
    moved = [np.any(a != b) for a, b in zip(after, before, strict=True)]
    # Of the pyramid nothing moves, batch statistics included; of the projected
    # one the projection of each of the four levels.
    expected = {"pyramid": 0, "projected": 4}.get(arms.critic_of(arm))
    if expected is None:
        assert sum(moved) > len(moved) / 2
    else:
        assert sum(moved) == expected


def test_concat_critic_sees_the_image_outside_the_label():
    state = make_state("dice+concat")
    image = tf.random.stateless_normal((1, 32, 32, 3), (1, 2))
    empty = tf.zeros((1, 32, 32, 1))
    outputs = [
        CRITICS["concat"].compute_distances(
            state.critic, "shared", seen, [empty, tf.ones_like(empty)]
        )
        for seen in (image, 0 * image)
    ]
    assert np.abs(outputs[0] - outputs[1]).max() > 0
