"""The train step on all replicas, and the average of the weights after it."""

from collections.abc import Callable

import tensorflow as tf

from segan_tf.training import accumulation, train_step
from segan_tf.training.state import TrainState

# From image, true label map and, with styles, style to the logged values.
Step = Callable[..., dict[str, tf.Tensor]]


def make_distributed_step(
    state: TrainState, strategy: tf.distribute.Strategy
) -> Step:
    """Makes the graph of one step on all replicas.

    Args:
      state: built in the strategy's scope.
      strategy: from `distribution.create_strategy`.

    Returns:
      A function of a global batch, see `train_step.train_step`. It returns the
      logged values of that batch.
    """
    in_parts = state.config.gradient_accumulation_steps > 1
    step = accumulation.accumulated_step if in_parts else train_step.train_step

    def replica_step(*batch: tf.Tensor) -> dict[str, tf.Tensor]:
        return step(state, *batch)

    if state.config.xla:
        replica_step = tf.function(replica_step, jit_compile=True)

    @tf.function
    def distributed_step(*batch: tf.Tensor) -> dict[str, tf.Tensor]:
        logs = strategy.run(replica_step, args=batch)
        update_ema(state)
        return {
            name: strategy.reduce("SUM", value, axis=None)
            for name, value in logs.items()
        }

    return distributed_step


def update_ema(state: TrainState) -> None:
    """Moves the exponential moving average of S's weights after a step.

        mean <- d mean + (1 - d) weight,   d = min(ema, (1 + t) / (10 + t))

    with t the steps made: in the first ones the mean follows more closely,
    since it still holds the initial weights. Batch statistics are averaged
    too, so that they belong to the averaged weights. Call it outside the
    replicas. Does nothing if the run keeps no average.
    """
    if state.ema_model is None:
        return
    made = tf.cast(state.segmentor_optimizer.iterations, tf.float32)
    decay = tf.minimum(state.config.ema, (1 + made) / (10 + made))
    for mean, weight in zip(
        state.ema_model.weights, state.segmentor.weights, strict=True
    ):
        mean.assign(mean + (1 - decay) * (weight - mean))
