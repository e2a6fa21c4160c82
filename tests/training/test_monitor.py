import re

import keras
import numpy as np
import pytest

from segan_tf.config import Config
from segan_tf.training import monitor

CLIP = 0.05
CONFIG = Config(critic_clip=CLIP)
GOOD = {"predicted_share": 0.2, "multi_scale_l1": 0.1, "clipped_share": 0.3}


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_non_finite_loss_is_named_with_its_step(bad):
    logs = {
        "critic_loss": np.array([-1.0, -2.0, -3.0]),
        "segmentor_loss": np.array([1.0, bad, bad]),
    }
    # The second of three steps that began with step 100.
    with pytest.raises(
        monitor.Diverged,
        match=rf"^step 101: segmentor_loss is {bad}; the last good checkpoint "
        "is kept. .*lower --learning_rate or --critic_clip",
    ):
        monitor.check_not_finite(100, logs)


def test_one_non_finite_scale_is_an_error():
    logs = {"scale_distances": np.array([[1.0, 2.0], [3.0, np.inf]])}
    with pytest.raises(
        monitor.Diverged, match="step 8: scale_distances is inf;"
    ):
        monitor.check_not_finite(7, logs)


def test_finite_losses_are_accepted():
    monitor.check_not_finite(0, {"segmentor_loss": np.array([1e30, -1e30])})


def build_dense(kernel):
    """Builds a model of one kernel."""
    kernel = np.array(kernel, np.float32)
    model = keras.Sequential(
        [
            keras.Input((len(kernel),)),
            keras.layers.Dense(kernel.shape[1], use_bias=False, name="only"),
        ],
        name="segmentor",
    )
    model.set_weights([kernel])
    return model


def test_non_finite_weights_are_named_with_their_step():
    monitor.check_not_finite_weights(4, build_dense([[1.0, 2.0]]))
    with pytest.raises(
        monitor.Diverged,
        match="^step 4: .*only/kernel of the segmentor is not finite; "
        "the last good checkpoint is kept",
    ):
        monitor.check_not_finite_weights(4, build_dense([[1.0, np.nan]]))


def test_critic_without_trained_weights_has_no_clipped_ones():
    critic = build_dense([[0.0, 1.0]])
    critic.trainable = False
    assert monitor.clipped_share(critic, CLIP) == 0


def test_clipped_share_of_known_weights():
    critic = build_dense([[CLIP, -CLIP, 0.04], [-0.01, CLIP, 0.0]])
    assert monitor.clipped_share(critic, CLIP) == 3 / 6


def test_nothing_is_clipped_without_a_bound():
    assert monitor.clipped_share(build_dense([[0.0, 1.0]]), 0.0) == 0.0


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ({"predicted_share": 0.5e-4}, r"empty label maps \(share 0.00005\)"),
        ({"predicted_share": 1 - 0.5e-4}, r"full label maps \(share 0.99995\)"),
        (
            {"multi_scale_l1": 0.9e-5},
            r"sees no difference \(multi-scale L1 9.0e-06\).*--critic_clip",
        ),
        (
            {"clipped_share": 0.81},
            r"saturates: 81% of its weights are at the bound 0.05\..*"
            "Raise --critic_clip",
        ),
    ],
)
def test_warning_repeats_only_after_it_no_longer_applied(bad, words):
    state = monitor.TrainingMonitor(CONFIG)
    assert state.observe(GOOD) == []
    (warning,) = state.observe(GOOD | bad)
    assert re.search(words, warning)
    assert state.observe(GOOD | bad) == []
    assert state.observe(GOOD) == []
    assert state.observe(GOOD | bad) == [warning]


@pytest.mark.parametrize(
    "good",
    [
        {"predicted_share": monitor.EMPTY_SHARE},
        {"predicted_share": 1 - monitor.EMPTY_SHARE},
        {"multi_scale_l1": monitor.BLIND_DISTANCE},
        {"clipped_share": monitor.SATURATED_SHARE},
    ],
)
def test_values_at_the_bounds_give_no_warning(good):
    assert monitor.TrainingMonitor(CONFIG).observe(GOOD | good) == []


def test_two_problems_give_two_warnings():
    bad = {"predicted_share": 0.0, "multi_scale_l1": 0.0}
    assert len(monitor.TrainingMonitor(CONFIG).observe(GOOD | bad)) == 2


def test_without_a_critic_only_label_maps_are_checked():
    state = monitor.TrainingMonitor(CONFIG)
    assert state.observe({"predicted_share": 0.2}) == []
    assert len(state.observe({"predicted_share": 0.0})) == 1


def test_label_is_warned_of_after_three_epochs_and_after_it_recovered():
    state = monitor.TrainingMonitor(CONFIG)
    good, bad = {"a": 0.5, "b": 0.3}, {"a": 0.5, "b": 0.0049}
    found = [
        state.observe_epoch(dices)
        for dices in (bad, bad, good, bad, bad, bad, bad, good, bad, bad, bad)
    ]
    (warning,) = found[5]
    assert warning.startswith("label b is not found")
    assert [len(warnings) for warnings in found] == [0] * 5 + [1] + [0] * 4 + [
        1
    ]


def test_every_label_is_watched_by_itself():
    state = monitor.TrainingMonitor(CONFIG)
    for _ in range(2):
        state.observe_epoch({"a": 0.0, "b": 0.0, "c": np.nan})
    first, second = state.observe_epoch({"a": 0.0, "b": 0.0, "c": np.nan})
    assert ("label a " in first, "label b " in second) == (True, True)


@pytest.mark.parametrize(
    ("changes", "remedy"),
    [
        ({}, "lower --learning_rate or set --dice_weight=1"),
        (
            {"dice_weight": 1.0},
            "lower --learning_rate or set --cross_entropy_weight=1",
        ),
        ({"adversarial": False}, "lower --learning_rate"),
    ],
)
def test_remedy_of_a_collapse_is_not_what_is_set_already(changes, remedy):
    for share in (0.0, 1.0):
        state = monitor.TrainingMonitor(Config(**changes))
        (warning,) = state.observe({"predicted_share": share})
        assert warning.endswith(f"If it persists, {remedy}.")


def test_only_label_has_another_remedy():
    state = monitor.TrainingMonitor(CONFIG)
    for _ in range(2):
        assert state.observe_epoch({"lesion": 0.0}) == []
    (warning,) = state.observe_epoch({"lesion": 0.0})
    assert "--label_weights" not in warning
    assert "lower --learning_rate" in warning
