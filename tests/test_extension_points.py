"""Tests that an extension touches no more files than CONTRIBUTING.md says."""

import dataclasses
import sys
import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from segan_tf import config, losses
from segan_tf.models import blocks, layers, restore
from segan_tf.models.critics import CRITICS, Critic
from segan_tf.models.segmentors import SEGMENTORS, Segmentor
from segan_tf.training import checkpoints, train_step
from segan_tf.training.state import build_train_state

SMALL = {"image_size": 16, "width": 2, "batch_size": 2}


def make_batch():
    image = tf.random.stateless_normal((2, 16, 16, 3), (1, 2))
    return image, tf.cast(image[..., :1] > 0, tf.float32)


def build_tiny(
    *,
    image_size=128,
    width=64,
    num_labels=1,
    multiclass=True,
    synchronized=False,
    dtype="float32",
):
    """Builds a segmentor of one level, as in CONTRIBUTING.md."""
    image = keras.Input((image_size, image_size, 3), name="image")
    x = blocks.down(
        image, width, name="down1", synchronized=synchronized, dtype=dtype
    )
    x = layers.ResizeConv(num_labels, name="logits", dtype=dtype)(x)
    label_map = blocks.label_map(x, multiclass=multiclass, name="label_map")
    return keras.Model(image, label_map, name="segmentor")


@pytest.fixture
def tiny(monkeypatch):
    """Adds a segmentor: a file in segan_tf/models and a row of the table."""
    module = types.ModuleType("segan_tf.models.tiny")
    module.build_tiny = build_tiny
    monkeypatch.setitem(sys.modules, module.__name__, module)
    row = Segmentor("tiny", "build_tiny", size_multiple=2)
    monkeypatch.setitem(SEGMENTORS, "tiny", row)


def test_new_segmentor_trains(tiny):
    state = build_train_state(
        config.Config(segmentor="tiny", **SMALL), steps_per_epoch=10
    )
    before = state.segmentor.get_layer("down1_conv").get_weights()[0]
    logs = train_step.train_step(state, *make_batch())
    assert np.isfinite(logs["segmentor_loss"])
    after = state.segmentor.get_layer("down1_conv").get_weights()[0]
    assert np.abs(after - before).max() > 0


def test_new_segmentor_restores_its_checkpoint(tiny, tmp_path):
    run = config.Config(segmentor="tiny", model_dir=str(tmp_path), **SMALL)
    segmentor = restore.build_segmentor(run)
    step = tf.Variable(7, dtype=tf.int64)
    tf.train.CheckpointManager(
        tf.train.Checkpoint(segmentor=segmentor, step=step),
        str(tmp_path / restore.FOLDER / restore.LAST),
        max_to_keep=1,
    ).save()
    restored, restored_step = restore.load_segmentor(run)
    assert restored_step == 7
    image, _ = make_batch()
    np.testing.assert_array_equal(restored(image), segmentor(image))


def test_new_segmentor_is_checked(tiny):
    with pytest.raises(config.UserError, match="of 2 for --segmentor=tiny"):
        config.Config(segmentor="tiny", image_size=17)


def test_error_for_an_unknown_segmentor_lists_the_table(tiny):
    with pytest.raises(config.UserError, match="efficientnet_lite2, tiny"):
        config.Config(segmentor="small")


def build_shallow(*, image_size, width, num_labels, **unused):
    """Builds a critic of one level, as in CONTRIBUTING.md."""
    masked = keras.Input((image_size, image_size, 3 * num_labels))
    features = [blocks.down(masked, width, name="scale1", normalized=False)]
    return keras.Model(masked, features, name="critic")


def shallow_features(critic, form, image, label_map, *, style=None):
    """Computes the features of the label map's one masked image."""
    return [critic(image * label_map, training=True)[:, None]]


def squared_distances(features, true_features):
    """Computes the mean squared difference of every scale."""
    pairs = zip(features, true_features, strict=True)
    squares = [tf.reduce_mean((f - g) ** 2, axis=(2, 3, 4)) for f, g in pairs]
    return tf.stack(squares, axis=2)


@pytest.fixture(params=[True, False], ids=["trained", "fixed"])
def shallow(request, monkeypatch):
    """Adds a critic: a file in segan_tf/models and a row of the table."""

    def build(**settings):
        model = build_shallow(**settings)
        model.trainable = request.param
        return model

    module = types.ModuleType(f"segan_tf.models.shallow_{request.param}")
    module.build, module.shallow_features = build, shallow_features
    module.squared_distances = squared_distances
    monkeypatch.setitem(sys.modules, module.__name__, module)
    names = ("build", "shallow_features", "squared_distances")
    row = Critic(*(f"{module.__name__}:{name}" for name in names))
    monkeypatch.setitem(CRITICS, "shallow", row)
    return request.param


def test_new_critic_plays_with_its_own_distances(shallow, tmp_path):
    run = config.Config(
        critic="shallow", critic_clip=0, model_dir=str(tmp_path), **SMALL
    )
    state = build_train_state(run, steps_per_epoch=10)
    image, label_map = make_batch()
    before = state.critic.get_weights()[0]
    features = [
        state.critic(image * m)
        for m in (state.segmentor(image, training=True), label_map)
    ]
    logs = train_step.train_step(state, image, label_map)
    moved = np.abs(state.critic.get_weights()[0] - before).max() > 0
    assert moved == shallow
    if shallow:
        expected = -np.mean((features[0] - features[1]) ** 2)
        np.testing.assert_allclose(logs["critic_loss"], expected, rtol=1e-4)
    # A critic without trained weights has no optimizer to save either.
    assert logs["multi_scale_l1"] > 0
    saved = checkpoints.Checkpoints(str(tmp_path), state)
    saved.save_last(1)
    assert checkpoints.Checkpoints(str(tmp_path), state).restore() == 1


def brightness(
    true_label_map, predicted_label_map, *, multiclass=True, weights=()
):
    """Computes the mean probability of each image."""
    return tf.reduce_mean(predicted_label_map, axis=(1, 2, 3))


@dataclasses.dataclass(frozen=True, kw_only=True)
class ConfigWithBrightness(config.Config):
    """The settings and one for the weight of the new term."""

    brightness_weight: float = config.setting(
        0.0,
        "Weight of the mean probability in the segmentor's loss.",
        minimum=0,
        fixes="weights",
        loss_term="brightness",
    )


@pytest.fixture
def new_term(monkeypatch):
    """Adds a loss term: a function and a row of the table."""
    monkeypatch.setitem(losses.LABEL_MAP_TERMS, "brightness", brightness)


@pytest.mark.parametrize("adversarial", [True, False])
def test_new_loss_term_is_added_to_the_loss_and_logged(new_term, adversarial):
    run = ConfigWithBrightness(
        adversarial=adversarial, brightness_weight=3.0, **SMALL
    )
    state = build_train_state(run, steps_per_epoch=10)
    image, true_label_map = make_batch()
    expected = tf.reduce_mean(state.segmentor(image, training=True))
    logs = train_step.train_step(state, image, true_label_map)
    np.testing.assert_allclose(logs["brightness"], expected, 1e-5)
    others = (
        logs["multi_scale_l1"]
        if adversarial
        else logs["dice_loss"] + logs["cross_entropy"]
    )
    np.testing.assert_allclose(
        logs["segmentor_loss"], others + 3 * logs["brightness"], 1e-5
    )


def test_new_loss_term_is_left_out_by_default(new_term):
    state = build_train_state(ConfigWithBrightness(**SMALL), steps_per_epoch=10)
    assert "brightness" not in train_step.train_step(state, *make_batch())


def test_new_loss_term_alone_is_a_loss(new_term):
    ConfigWithBrightness(l1_weight=0, brightness_weight=1.0)
    with pytest.raises(
        config.UserError, match=r"--brightness_weight \(0.0\) leave .* no loss"
    ):
        ConfigWithBrightness(l1_weight=0)


def test_every_loss_term_has_a_setting_for_its_weight():
    weights = config.Config().loss_weights
    assert set(losses.LABEL_MAP_TERMS) | {"multi_scale_l1"} == set(weights)
