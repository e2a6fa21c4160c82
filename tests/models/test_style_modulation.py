"""Tests of segmentors that draw in the style they are told."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import variants

from segan_tf.models import layers, weights
from segan_tf.models.segmentors import SEGMENTORS

SMALL = {"image_size": 32, "width": 2}


def build(name, num_styles=0, **settings):
    keras.utils.set_random_seed(0)
    return SEGMENTORS[name].build(
        num_styles=num_styles, **{**SMALL, **settings}
    )


def draw_image(count=2):
    return tf.random.stateless_normal((count, 32, 32, 3), (1, 2))


def randomize_styles(model):
    """Gives every modulation weights other than 0."""
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, layers.StyleModulation):
            layer.set_weights(
                [rng.normal(0, 0.3, w.shape) for w in layer.get_weights()]
            )


def test_modulation_by_hand():
    layer = layers.StyleModulation()
    x = np.float32([[[[1, 10]]], [[[2, 20]]]])
    style = np.float32([[1, 0], [0.5, 0.5]])
    layer.build([x.shape, style.shape])
    layer.set_weights(
        [np.float32([[1, 2], [3, 4]]), np.float32([[5, 6], [7, 8]])]
    )
    # x (1 + s A) + s B, with s A = (1, 2) and then (2, 3).
    expected = [[[[1 * 2 + 5, 10 * 3 + 6]]], [[[2 * 3 + 6, 20 * 4 + 7]]]]
    np.testing.assert_allclose(layer([x, style]), expected)


@pytest.mark.parametrize("name", variants.of_segmentors(SEGMENTORS))
def test_new_segmentor_with_styles_is_the_plain_one(name):
    plain, styled = build(name), build(name, num_styles=3)
    image = draw_image()
    style = tf.constant([[1, 0, 0], [0.2, 0.3, 0.5]], tf.float32)
    np.testing.assert_array_equal(
        styled([image, style], training=False), plain(image, training=False)
    )


@pytest.mark.parametrize("name", variants.of_segmentors(SEGMENTORS))
def test_segmentor_without_styles_has_one_input_and_no_modulation(name):
    plain = build(name)
    assert len(plain.inputs) == 1
    assert not any(isinstance(x, layers.StyleModulation) for x in plain.layers)


@pytest.mark.parametrize("labels", [1, 3])
@pytest.mark.parametrize("name", variants.of_segmentors(SEGMENTORS))
def test_fixed_style_gives_the_maps_of_the_told_one(name, labels):
    plain, styled = (
        build(name, num_styles, num_labels=labels) for num_styles in (0, 2)
    )
    randomize_styles(styled)
    for layer in styled.layers:  # statistics and offsets that are not 0 or 1
        if isinstance(layer, keras.layers.BatchNormalization):
            shape = layer.gamma.shape
            layer.set_weights(
                list(np.random.default_rng(1).uniform(0.5, 1.5, (4, *shape)))
            )
    image, mixture = draw_image(), (0.25, 0.75)
    told = styled([image, tf.constant([mixture] * 2)], training=False)

    weights.fix_style(styled, plain, mixture)

    np.testing.assert_allclose(plain(image, training=False), told, atol=1e-5)
    other = styled([image, tf.constant([(1.0, 0.0)] * 2)], training=False)
    assert np.abs(other - told).max() > 1e-3


def test_weights_are_copied_by_layer():
    plain, styled = build("segan"), build("segan", num_styles=2)
    randomize_styles(styled)
    for weight in plain.weights:
        weight.assign(tf.ones_like(weight))
    before = {
        name: weight.numpy()
        for name, weight in weights.named_weights(styled).items()
    }
    weights.copy_weights(plain, styled)
    for name, weight in weights.named_weights(styled).items():
        expected = before[name] if "_style/" in name else 1
        np.testing.assert_array_equal(weight, expected)


def test_segmentor_with_styles_can_be_saved(tmp_path):
    styled = build("segan", num_styles=2)
    randomize_styles(styled)
    styled.save(tmp_path / "styled.keras")
    loaded = keras.models.load_model(tmp_path / "styled.keras")
    inputs = [draw_image(), tf.constant([[0.0, 1.0]] * 2)]
    np.testing.assert_array_equal(
        loaded(inputs, training=False), styled(inputs, training=False)
    )
