"""The train step of a batch that is computed in parts, to save memory."""

import dataclasses
from collections.abc import Callable, Sequence

import tensorflow as tf

from segan_tf.training import train_step
from segan_tf.training.state import TrainState
from segan_tf.training.train_step import Batch, Logs

# The logged values of a part, and a gradient for each trained variable.
_Found = tuple[Logs, list[tf.Tensor]]


def accumulated_step(state: TrainState, *batch: tf.Tensor) -> Logs:
    """Makes one critic step and one segmentor step on a batch in parts.

    The gradients of C are summed over the parts before C moves, and then those
    of S, so that both see the batch as in `train_step.train_step`; only batch
    statistics are of a part each, and their moving averages move with each.
    Since the features of one part alone are held at a time, S(x) is computed
    again for the second sum.

    Args:
      state: both models and their optimizers.
      *batch: image, true label map and, with styles, style, as for
        `train_step.train_step`; of a multiple of
        ``gradient_accumulation_steps`` images.

    Returns:
      As `train_step.train_step`.
    """
    parts = state.config.gradient_accumulation_steps
    label_subset = train_step.draw_labels(state)

    def of_critic(*part: tf.Tensor) -> _Found:
        seen = dataclasses.replace(Batch(*part), label_subset=label_subset)
        _, predicted = train_step.predict(state, seen)
        return train_step.critic_gradients(state, seen, predicted)

    def of_segmentor(*part: tf.Tensor) -> _Found:
        seen = dataclasses.replace(Batch(*part), label_subset=label_subset)
        forward = train_step.predict(state, seen)
        return train_step.segmentor_gradients(state, seen, *forward)

    logs: Logs = {}
    if state.critic_optimizer is not None:
        statistics = state.segmentor.non_trainable_variables
        before = [tf.identity(variable) for variable in statistics]
        logs, gradients = _sum(of_critic, batch, parts)
        train_step.apply_gradients(
            state.critic_optimizer, state.critic, gradients
        )
        # They move in the second sum, once for each part.
        for variable, value in zip(statistics, before, strict=True):
            variable.assign(value)
    more_logs, gradients = _sum(of_segmentor, batch, parts)
    train_step.apply_gradients(
        state.segmentor_optimizer, state.segmentor, gradients
    )
    return logs | more_logs


def _sum(
    compute: Callable[..., _Found], batch: Sequence[tf.Tensor], parts: int
) -> _Found:
    """Sums logged values and gradients over the parts, one after the other."""
    split = zip(*(tf.split(t, parts) for t in batch), strict=True)
    total = compute(*next(split))
    for part in split:
        # Otherwise TensorFlow would compute the parts at once.
        with tf.control_dependencies(tf.nest.flatten(total)):
            waiting = [tf.identity(tensor) for tensor in part]
        total = tf.nest.map_structure(tf.add, total, compute(*waiting))
    return total
