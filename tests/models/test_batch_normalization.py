import keras
import numpy as np
import pytest
import tensorflow as tf

from segan_tf.models import layers

SETTINGS = {"momentum": 0.9, "epsilon": 1e-3}


def make(cls, **settings):
    """Builds a layer for four channels, with weights that are not trivial."""
    layer = cls(**SETTINGS, **settings)
    layer.build((None, None, None, 4))
    values = [[1.0, 2.0, 0.5, -1.0], [0.1, 0.2, 0.3, 0.4], [0.5] * 4, [2.0] * 4]
    layer.set_weights([np.array(value, np.float32) for value in values])
    return layer


def train(layer, images):
    with tf.GradientTape() as tape:
        tape.watch(images)
        outputs = layer(images, training=True)
        loss = tf.reduce_sum(tf.cast(outputs, tf.float32) ** 3)
    sources = [images, *layer.trainable_variables]
    return [outputs, *tape.gradient(loss, sources), *layer.get_weights()]


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_training_is_that_of_keras(dtype):
    images = 3 + 2 * tf.random.stateless_normal((3, 5, 6, 4), (1, 2))
    own, plain = (
        make(cls, dtype=dtype)
        for cls in (layers.BatchNormalization, keras.layers.BatchNormalization)
    )
    tolerance = 1e-4 if dtype == "float32" else 2e-2
    for one, other in zip(
        train(own, images), train(plain, images), strict=True
    ):
        one, other = (np.array(tf.cast(x, tf.float32)) for x in (one, other))
        np.testing.assert_allclose(
            one, other, rtol=tolerance, atol=tolerance * np.abs(other).max()
        )
    # 0.9 of before and 0.1 of the batch's, which is about 3 and 4.
    np.testing.assert_allclose(own.moving_mean, [0.9 * 0.5 + 0.3] * 4, atol=0.1)
    np.testing.assert_allclose(own.moving_variance, [1.8 + 0.4] * 4, atol=0.15)


def operations(layer, *, training):
    @tf.function
    def call(images):
        return layer(images, training=training)

    graph = call.get_concrete_function(tf.zeros((2, 4, 4, 4))).graph
    return {operation.type for operation in graph.get_operations()}


def test_training_is_one_operation():
    own = make(layers.BatchNormalization)
    assert "FusedBatchNormV3" in operations(own, training=True)


def test_frozen_layer_and_inference_use_the_moving_statistics():
    images = tf.random.stateless_normal((3, 5, 6, 4), (1, 2))
    plain = make(keras.layers.BatchNormalization)(images, training=False)
    own = make(layers.BatchNormalization)
    np.testing.assert_allclose(own(images, training=False), plain, atol=1e-5)
    own.trainable = False
    np.testing.assert_allclose(own(images, training=True), plain, atol=1e-5)
