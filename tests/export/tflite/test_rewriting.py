"""Tests of computing a segmentor by other operators."""

import keras
import numpy as np
import pytest
import small_models
import variants

from export.tflite import rewriting
from segan_tf.imaging import preprocessing
from segan_tf.models import layers, segmentors

SIZE = 32
EDGE = 2  # rows and columns in which the last layer's edge is seen


def randomize(model, seed=3):
    """Gives a model weights of which none is 0 or 1."""
    rng = np.random.default_rng(seed)
    model.set_weights(
        [
            rng.uniform(0.5, 1.5, weights.shape)  # batch norm and offsets
            if weights.ndim == 1
            else rng.normal(0, 0.3, weights.shape) / weights.shape[0]
            for weights in model.get_weights()
        ]
    )
    return model


def draw(shape, seed=0):
    """Draws normal numbers, float32."""
    return np.random.default_rng(seed).normal(0, 1, shape).astype(np.float32)


def largest(first, second):
    """Returns the largest absolute difference."""
    return np.abs(np.asarray(first) - np.asarray(second)).max()


def test_normalization_is_that_of_the_pipeline():
    (image,) = small_models.draw_images((SIZE, SIZE))
    given = rewriting.normalize(np.float32(image[None]))
    assert largest(given, preprocessing.normalize(image[None])) < 1e-6


@pytest.mark.parametrize(
    ("num_labels", "multiclass"), [(1, True), (3, True), (3, False)]
)
@pytest.mark.parametrize("name", variants.of_segmentors(segmentors.SEGMENTORS))
def test_probabilities_are_those_of_the_segmentor(name, num_labels, multiclass):
    segmentor = randomize(
        segmentors.SEGMENTORS[name].build(
            image_size=SIZE,
            width=8,
            num_labels=num_labels,
            multiclass=multiclass,
        )
    )
    image = draw((1, SIZE, SIZE, 3))

    given = rewriting.run(segmentor, image).numpy()

    expected = segmentor(image, training=False).numpy()
    inner = np.s_[:, EDGE:-EDGE, EDGE:-EDGE]
    assert largest(given[inner], expected[inner]) < 2e-6
    assert np.ptp(expected[inner]) > 0.1  # there was something to differ in
    assert largest(given, expected) < 0.2


def test_concatenation_is_convolved_in_parts_and_not_computed(monkeypatch):
    segmentor = small_models.build_segmentor(num_labels=2)
    image = draw((1, SIZE, SIZE, 3))
    expected = segmentor(image, training=False).numpy()

    def concatenate(*_):
        raise AssertionError("a concatenation was computed")

    monkeypatch.setattr(rewriting.tf, "concat", concatenate)
    monkeypatch.setattr(keras.layers.Concatenate, "call", concatenate)

    assert largest(rewriting.run(segmentor, image), expected) < 1e-6


def test_last_layer_by_hand():
    # A kernel whose middle is 1 leaves the resize alone: of 0 and 4 in a row,
    # 0, 0.75 * 0 + 0.25 * 4, 0.25 * 0 + 0.75 * 4 and 4; at the edge the
    # convolution takes 0 for the pixel beyond, so the 4 becomes 3.
    image = keras.Input((2, 2, 1))
    layer = layers.ResizeConv(1)
    model = keras.Model(image, layer(image))
    kernel = np.zeros((3, 3, 1, 1), np.float32)
    kernel[1, 1] = 1
    layer.set_weights([kernel, np.float32([10])])
    row = np.float32([0, 4])

    given = rewriting.run(model, np.stack([row, row])[None, ..., None])

    expected = np.array([0, 1, 3, 3])
    # Rows outside of the image are 0, too.
    weights = np.array([0.75, 1, 1, 0.75])
    np.testing.assert_allclose(
        given.numpy()[0, ..., 0], 10 + np.outer(weights, expected)
    )


def build_layer_called_twice():
    """Builds a model that shares a layer."""
    image = keras.Input((4, 4, 3))
    shared = keras.layers.Conv2D(3, 1)
    return keras.Model(image, shared(shared(image)))


def build_model_in_a_model():
    """Builds a model that calls another."""
    image = keras.Input((4, 4, 3))
    inner = keras.Input((4, 4, 3))
    convolved = keras.layers.Conv2D(2, 1)(inner)
    return keras.Model(image, keras.Model(inner, convolved)(image))


@pytest.mark.parametrize(
    "build", [build_layer_called_twice, build_model_in_a_model]
)
def test_model_that_cannot_be_taken_apart_is_called(build):
    model = randomize(build())
    image = draw((1, 4, 4, 3))
    assert largest(rewriting.run(model, image), model(image)) == 0


def test_model_of_two_inputs():
    first, second = keras.Input((4, 4, 2)), keras.Input((4, 4, 3))
    joined = keras.layers.Concatenate()([first, second])
    convolved = keras.layers.Conv2D(2, 3, padding="same")(joined)
    model = randomize(keras.Model([first, second], convolved))
    inputs = [draw((1, 4, 4, 2)), draw((1, 4, 4, 3), seed=1)]

    assert largest(rewriting.run(model, inputs), model(inputs)) < 1e-6
