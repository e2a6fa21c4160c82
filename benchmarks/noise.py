"""A train step on random numbers, to time it."""

from collections.abc import Callable

import tensorflow as tf

from segan_tf.config import Config
from segan_tf.training import train_step
from segan_tf.training.state import TrainState, build_train_state


def make_batch(
    config: Config, *, batch_size: int = 0
) -> tuple[tf.Tensor, tf.Tensor]:
    """Makes an image and a label map; every label is equally likely.

    Args:
      config: image size, number of labels and batch size.
      batch_size: instead of the config's.

    Returns:
      float32 [batch, size, size, 3] and float32 [batch, size, size, labels].
    """
    size = (batch_size or config.batch_size, *[config.image_size] * 2)
    image = tf.random.stateless_normal((*size, 3), (1, 2))
    count = config.num_labels
    numbers = tf.random.stateless_uniform(size, (3, 4), 0, count + 1, tf.int32)
    return image, tf.one_hot(numbers - 1, count)


def make_step(config: Config) -> Callable[[], object]:
    """Makes a function that makes one step and waits for its result."""
    return as_step(build_train_state(config, steps_per_epoch=100))


def as_step(state: TrainState) -> Callable[[], object]:
    """Makes such a function of models that exist."""
    batch = make_batch(state.config)
    step = tf.function(lambda: train_step.train_step(state, *batch))
    return lambda: tf.nest.map_structure(lambda t: t.numpy(), step())
