import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from segan_tf.config import Config
from segan_tf.training import accumulation, distributed_step
from segan_tf.training.state import build_train_state

RUN = Config(
    image_size=32,
    width=2,
    batch_size=4,
    learning_rate=0.01,
    dice_weight=1.0,
    ema=0.9,
)
PARTS = dataclasses.replace(RUN, gradient_accumulation_steps=2)


def make_batch(count):
    image = tf.random.stateless_normal((count, 32, 32, 3), (1, 2))
    return image, tf.cast(image[..., :1] > 0, tf.float32)


def trained(state):
    models = filter(None, (state.segmentor, state.critic, state.ema_model))
    return [
        variable.numpy()
        for model in models
        for variable in model.trainable_variables
    ]


def train(config, batch, steps=3):
    state = build_train_state(config, steps_per_epoch=10)
    strategy = tf.distribute.get_strategy()
    step = distributed_step.make_distributed_step(state, strategy)
    for _ in range(steps):
        logs = step(*batch)
    return state, logs


@pytest.mark.parametrize("adversarial", [True, False])
def test_parts_that_are_alike_train_the_weights_of_the_whole(adversarial):
    # Whose batch statistics are those of each half.
    batch = [tf.concat([half, half], axis=0) for half in make_batch(2)]
    whole, parts = (
        train(dataclasses.replace(config, adversarial=adversarial), batch)
        for config in (RUN, PARTS)
    )
    assert whole[1].keys() == parts[1].keys()
    for name, value in whole[1].items():
        np.testing.assert_allclose(parts[1][name], value, rtol=1e-4, atol=1e-6)
    for one, other in zip(trained(whole[0]), trained(parts[0]), strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-4, atol=1e-5)


def test_every_part_counts():
    batch = make_batch(4)
    _, logs = train(PARTS, batch, steps=1)
    halves = [[t[:2] for t in batch], [t[2:] for t in batch]]
    of_halves = [train(RUN, half, steps=1)[1] for half in halves]
    # Of a whole batch each: the critic's step comes first, and was another.
    for name in ("dice_loss", "critic_loss", "label_images"):
        np.testing.assert_allclose(
            logs[name], sum(found[name] for found in of_halves), rtol=1e-5
        )


def test_statistics_of_the_segmentor_move_once_with_each_part():
    state = build_train_state(PARTS, steps_per_epoch=10)
    before = [w.numpy() for w in state.segmentor.non_trainable_variables]
    batch = make_batch(4)
    accumulation.accumulated_step(state, *batch)
    other = build_train_state(RUN, steps_per_epoch=10)
    for half in (slice(0, 2), slice(2, 4)):
        other.segmentor(batch[0][half], training=True)
    moved = state.segmentor.non_trainable_variables
    for first, one, two in zip(
        before, moved, other.segmentor.non_trainable_variables, strict=True
    ):
        np.testing.assert_allclose(one.numpy(), two.numpy(), rtol=1e-5)
        assert np.abs(one.numpy() - first).max() > 0


def test_parts_are_computed_one_after_the_other():
    state = build_train_state(PARTS, steps_per_epoch=10)

    @tf.function
    def step(*batch):
        return accumulation.accumulated_step(state, *batch)

    graph = step.get_concrete_function(*make_batch(4)).graph
    parts = [op for op in graph.get_operations() if op.type == "Identity"]
    waiting = [op for op in parts if len(op.control_inputs) > 10]
    # The image and the label map of the second part, of either sum.
    assert len(waiting) == 2 * 2
