"""Tests that every model keeps Keras' contract: save, load, clone, config."""

import functools
import subprocess
import sys

import keras
import numpy as np
import pytest
import running
import tensorflow as tf

import segan_tf
from segan_tf.config import CRITIC_FORMS
from segan_tf.models import layers

SIZE = 32
MODELS = {
    f"{builder} {num_labels} {'multiclass' if multiclass else 'multilabel'}": (
        builder,
        {"width": 2, "num_labels": num_labels, "multiclass": multiclass},
    )
    for builder in ("build_segan", "build_efficientnet_lite0")
    for num_labels, multiclass in ((1, True), (3, True), (3, False))
}
MODELS |= {
    f"critic {form} {num_labels} clip {clip}": (
        "build_critic",
        {"width": 2, "num_labels": num_labels, "form": form, "clip": clip},
    )
    for form in CRITIC_FORMS
    for num_labels in (1, 3)
    for clip in (0.0, 0.01)
}
OTHER_SETTINGS = {"bfloat16": {"dtype": "mixed_bfloat16"}}
if hasattr(keras, "ops"):  # Keras 2.15 leaves it out of its layer's config
    OTHER_SETTINGS["synchronized"] = {"synchronized": True}
MODELS |= {
    f"{builder} {name}": (builder, {"width": 2, "num_labels": 2, **settings})
    for builder in ("build_segan", "build_critic")
    for name, settings in OTHER_SETTINGS.items()
}


@functools.cache  # no test changes a model
def build(name):
    """Builds a model with random weights and batch statistics."""
    builder, settings = MODELS[name]
    model = getattr(segan_tf, builder)(image_size=SIZE, **settings)
    rng = np.random.default_rng(0)
    model.set_weights(
        [
            rng.uniform(0.5, 1.5, weights.shape)  # batch norm and offsets
            if weights.ndim == 1
            else rng.normal(0, 0.2, weights.shape)
            for weights in model.get_weights()
        ]
    )
    return model


def save_and_load(model, folder):
    path = folder / "model.keras"
    model.save(path)
    return keras.models.load_model(path)


def clone(model):
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    return copy


def rebuild_from_config(model):
    copy = type(model).from_config(model.get_config())
    copy.set_weights(model.get_weights())
    return copy


def check_same(model, copy):
    """Checks that names, settings, weights and outputs are equal."""
    assert copy.name == model.name
    assert [layer.name for layer in copy.layers] == [
        layer.name for layer in model.layers
    ]
    for ours, theirs in zip(model.layers, copy.layers, strict=True):
        assert type(ours) is type(theirs)
        assert ours.get_config() == theirs.get_config()
    for ours, theirs in zip(model.weights, copy.weights, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
    image = tf.random.stateless_normal((2, *model.input_shape[1:]), (1, 2))
    outputs = [tf.nest.flatten(m(image, training=False)) for m in (model, copy)]
    for ours, theirs in zip(*outputs, strict=True):
        assert np.ptp(np.float32(ours)) > 0
        np.testing.assert_array_equal(np.float32(ours), np.float32(theirs))


@pytest.mark.parametrize("name", MODELS)
def test_model_is_the_same_after_save_and_load(name, tmp_path):
    model = build(name)
    check_same(model, save_and_load(model, tmp_path))


@pytest.mark.parametrize("name", MODELS)
def test_model_is_the_same_after_clone(name):
    model = build(name)
    check_same(model, clone(model))


@pytest.mark.parametrize("name", MODELS)
def test_model_is_the_same_after_a_round_trip_through_its_config(name):
    model = build(name)
    check_same(model, rebuild_from_config(model))


def test_released_model_keeps_the_contract(tmp_path):
    model = segan_tf.load_pretrained()
    check_same(model, save_and_load(model, tmp_path))
    check_same(model, clone(model))
    check_same(model, rebuild_from_config(model))


@pytest.mark.parametrize(
    "layer",
    [
        layers.MulticlassSoftmax(name="label_map"),
        layers.MaskedImageOfLabel(2, name="label3_masked_image"),
        layers.ResizeConv(3, name="logits", bias_initializer="ones"),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_layer_is_the_same_after_a_round_trip_through_its_config(layer):
    copy = type(layer).from_config(layer.get_config())
    assert copy.get_config() == layer.get_config()
    x = tf.random.stateless_normal((1, 4, 4, 9), (1, 2))
    expected = layer(x)
    copy(x)
    copy.set_weights(layer.get_weights())
    np.testing.assert_array_equal(copy(x), expected)
    assert tuple(expected.shape) == tuple(layer.compute_output_shape(x.shape))


def test_clip_is_the_same_after_a_round_trip_through_its_config():
    copy = layers.Clip.from_config(layers.Clip(0.05).get_config())
    assert copy.limit == 0.05


def test_clip_of_a_loaded_critic_still_clips(tmp_path):
    critic = segan_tf.build_critic(image_size=SIZE, width=2, clip=0.01)
    loaded = save_and_load(critic, tmp_path)
    for variable in loaded.trainable_variables:
        assert variable.constraint.limit == 0.01


@pytest.mark.parametrize("name", sorted(layers.ResizeConv.FIXED))
def test_resize_conv_rejects_settings_that_it_does_not_compute(name):
    with pytest.raises(TypeError, match=name):
        layers.ResizeConv(1, **{name: 1})


def test_importing_the_layers_is_enough_to_load_a_model(tmp_path):
    model = build("build_segan 3 multiclass")
    model.save(tmp_path / "model.keras")
    code = (
        "import sys, keras, segan_tf.models.layers; "
        "print(keras.models.load_model(sys.argv[1]).name)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "model.keras"],
        cwd=running.ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["segmentor"]
