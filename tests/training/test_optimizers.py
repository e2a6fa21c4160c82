"""Tests of the optimizers' steps against numbers worked out in NumPy.

Both editions run them, so both are held to the same numbers.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf

from segan_tf.config import Config
from segan_tf.models import critic
from segan_tf.training import optimizers

RATE, BETA_1, BETA_2, EPSILON = 0.1, 0.5, 0.999, 1e-6
OPTIMIZERS = pytest.mark.parametrize("name", ["adam", "lamb"])


def numpy_steps(weight, gradients, *, layerwise):
    """Moves a tensor by Adam's steps, or by LAMB's."""
    first = second = 0.0
    for count, gradient in enumerate(gradients, start=1):
        first = BETA_1 * first + (1 - BETA_1) * gradient
        second = BETA_2 * second + (1 - BETA_2) * gradient**2
        unbiased = first / (1 - BETA_1**count)
        update = unbiased / (np.sqrt(second / (1 - BETA_2**count)) + EPSILON)
        ratio = 1.0
        if layerwise and np.linalg.norm(weight) * np.linalg.norm(update):
            ratio = np.linalg.norm(weight) / np.linalg.norm(update)
        weight = weight - RATE * ratio * update
    return weight


def dense_model():
    image = keras.Input((3,))
    return keras.Model(image, keras.layers.Dense(2)(image))


def build(name, model, **options):
    config = Config(optimizer=name, learning_rate=RATE, **options)
    return optimizers.build_optimizer(config, model, steps_per_epoch=1000)


@OPTIMIZERS
def test_steps_match_the_formula(name):
    model, rng = dense_model(), np.random.default_rng(0)
    kernel = rng.normal(size=(3, 2)).astype(np.float32)
    bias = np.zeros(2, np.float32)
    model.set_weights([kernel, bias])
    gradients = [
        [rng.normal(size=(3, 2)), rng.normal(size=2)] for _ in range(3)
    ]
    optimizer = build(name, model)

    for pair in gradients:
        pair = [tf.constant(g, tf.float32) for g in pair]
        optimizer.apply_gradients(
            zip(pair, model.trainable_variables, strict=True)
        )

    for weight, start, place in zip(
        model.get_weights(), (kernel, bias), (0, 1), strict=True
    ):
        expected = numpy_steps(
            np.float64(start),
            [pair[place] for pair in gradients],
            layerwise=name == "lamb",
        )
        np.testing.assert_allclose(weight, expected, rtol=2e-4, atol=1e-5)
    assert int(optimizer.iterations.numpy()) == 3


def test_lamb_step_is_the_rate_times_the_length_of_the_tensor():
    # By hand: in the first step every element of u is the gradient's sign, so
    # |u| = sqrt 2 and |w| = 4. A tensor of length 0 keeps Adam's step.
    model = dense_model()
    model.set_weights([np.zeros((3, 2), "f"), np.array([0, 4], "f")])
    gradients = [tf.zeros((3, 2)), tf.constant([-5.0, 5.0])]
    build("lamb", model).apply_gradients(
        zip(gradients, model.trainable_variables, strict=True)
    )
    kernel, bias = model.get_weights()
    np.testing.assert_array_equal(kernel, 0)
    step = RATE * 4 / np.sqrt(2)
    np.testing.assert_allclose(bias, [step, 4 - step], rtol=1e-4)


@OPTIMIZERS
def test_weights_stay_within_a_bound_after_a_step(name):
    model = critic.build_critic(image_size=16, width=2, clip=0.01)
    variables = model.trainable_variables
    gradients = [tf.ones_like(v) for v in variables]
    build(name, model).apply_gradients(zip(gradients, variables, strict=True))
    for variable in variables:
        assert np.abs(variable.numpy()).max() <= 0.01


@OPTIMIZERS
@pytest.mark.parametrize("schedule", ["staircase", "cosine"])
def test_learning_rate_decays_with_either_optimizer(name, schedule):
    model = dense_model()
    config = Config(
        optimizer=name,
        schedule=schedule,
        learning_rate=RATE,
        epochs=2,
        decay_epochs=1,
    )
    optimizer = optimizers.build_optimizer(config, model, steps_per_epoch=1)
    moved = []
    for _ in range(2):
        model.set_weights([np.ones((3, 2), "f"), np.ones(2, "f")])
        gradients = [tf.ones((3, 2)), tf.ones(2)]
        optimizer.apply_gradients(
            zip(gradients, model.trainable_variables, strict=True)
        )
        moved.append(float(1 - model.get_weights()[1][0]))
    # The first step of a cosine is the warm-up from 0.
    expected = {"staircase": [RATE, RATE / 2], "cosine": [0, RATE]}
    np.testing.assert_allclose(moved, expected[schedule], atol=1e-4)


def rate_at(step, **changes):
    """Returns the learning rate of a step, 10 steps making an epoch."""
    config = Config(learning_rate=RATE, **changes)
    return float(optimizers.build_schedule(config, 10)(step))


def test_staircase_decays_every_decay_epochs():
    falls = {"decay_epochs": 2, "decay_rate": 0.5}
    assert rate_at(19, **falls) == pytest.approx(0.1)
    assert rate_at(20, **falls) == pytest.approx(0.05)


def test_cosine_warms_up_for_an_epoch_and_decays_to_0():
    cosine = {"schedule": "cosine", "epochs": 5}
    assert rate_at(0, **cosine) == 0
    assert rate_at(5, **cosine) == pytest.approx(0.05)
    assert rate_at(10, **cosine) == pytest.approx(0.1)
    # Half-way through the other four epochs: cos(pi / 2) = 0.
    assert rate_at(30, **cosine) == pytest.approx(0.1 * (1 + 0) / 2)
    assert rate_at(50, **cosine) == pytest.approx(0, abs=1e-9)


def test_cosine_of_one_epoch_has_no_warm_up():
    assert rate_at(0, schedule="cosine", epochs=1) == pytest.approx(0.1)
    assert rate_at(10, schedule="cosine", epochs=1) == pytest.approx(0)
