"""Compares images/s of the train step with those of a plain two-pass step.

The plain step computes S(x) once for the critic step and again for the
segmentor step. The two alternate in this process, so that other load on the
machine affects both; quote the ratio.

Usage: python benchmarks/train_step.py [--widths=16,64] [--rounds=7]
"""

import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

import keras
import noise
import tensorflow as tf
from absl import app, flags

from segan_tf import environment, losses
from segan_tf.config import PRECISIONS, Config
from segan_tf.models import critic as critic_lib
from segan_tf.training import train_step
from segan_tf.training.state import TrainState, build_train_state

FLAGS = flags.FLAGS
flags.DEFINE_list("widths", ["16", "64"], "Widths to measure.")
flags.DEFINE_integer("rounds", 7, "Timed steps of each kind.", lower_bound=3)
flags.DEFINE_integer("batch_size", 30, "Images per step.", lower_bound=1)
flags.DEFINE_bool("xla", False, "Compile both steps with XLA.")
flags.DEFINE_enum("precision", "float32", PRECISIONS, "Arithmetic.")


def two_pass_step(
    state: TrainState, image: tf.Tensor, true_label_map: tf.Tensor
) -> None:
    """Makes a train step with a forward pass of S for each model."""
    predicted = state.segmentor(image, training=True)
    _move(
        state.critic_optimizer,
        state.critic,
        lambda: -_distance(state, image, predicted, true_label_map),
    )
    _move(
        state.segmentor_optimizer,
        state.segmentor,
        lambda: _segmentor_loss(state, image, true_label_map),
    )


def _segmentor_loss(
    state: TrainState, image: tf.Tensor, true_label_map: tf.Tensor
) -> tf.Tensor:
    predicted = state.segmentor(image, training=True)
    dice = losses.soft_dice_loss(true_label_map, predicted)
    return _distance(
        state, image, predicted, true_label_map
    ) + state.config.loss_weights["dice_loss"] * tf.reduce_mean(dice)


def _distance(
    state: TrainState,
    image: tf.Tensor,
    predicted: tf.Tensor,
    true_label_map: tf.Tensor,
) -> tf.Tensor:
    features = [
        critic_lib.compute_features(
            state.critic, state.config.critic_form, image, label_map
        )
        for label_map in (predicted, true_label_map)
    ]
    distances = losses.scale_distances(*features)
    return tf.reduce_mean(losses.multi_scale_l1(distances))


def _move(
    optimizer: keras.optimizers.Optimizer,
    model: keras.Model,
    loss_function: Callable[[], tf.Tensor],
) -> None:
    with tf.GradientTape() as tape:
        loss = loss_function()
    variables = model.trainable_variables
    gradients = tape.gradient(loss, variables)
    optimizer.apply_gradients(zip(gradients, variables, strict=True))


def measure(width: int) -> None:
    """Prints min, median and max images/s of both steps, and their ratio."""
    config = Config(
        width=width,
        batch_size=FLAGS.batch_size,
        dice_weight=1.0,
        precision=FLAGS.precision,
    )
    batch = noise.make_batch(config)
    timed: dict[str, tuple[Any, list[float]]] = {}
    for name, step in (
        ("one pass", train_step.train_step),
        ("two passes", two_pass_step),
    ):
        state = build_train_state(config, steps_per_epoch=100)
        # Bound now: the loop's next state must not take this one's place.
        function = tf.function(
            lambda step=step, state=state: step(state, *batch),
            jit_compile=FLAGS.xla,
        )
        function()  # traced
        function()  # warm
        timed[name] = (function, [])
    for _ in range(FLAGS.rounds):
        for function, seconds in timed.values():
            began = time.perf_counter()
            tf.nest.map_structure(lambda t: t.numpy(), function() or ())
            seconds.append(time.perf_counter() - began)
    medians = {}
    for name, (_, seconds) in timed.items():
        rates = sorted(config.batch_size / s for s in seconds)
        medians[name] = statistics.median(rates)
        print(
            f"width {width:3d}  {name:10s}  images/s: "
            f"min {rates[0]:6.1f}  median {medians[name]:6.1f}  "
            f"max {rates[-1]:6.1f}"
        )
    ratio = medians["one pass"] / medians["two passes"]
    print(f"width {width:3d}  one pass / two passes: {ratio:.2f}", flush=True)


def main(argv: list[str]) -> None:
    """Measures every width."""
    del argv
    facts = environment.describe(sys.argv)
    print(f"{facts['hardware']}; tensorflow {tf.__version__}")
    for width in FLAGS.widths:
        measure(int(width))


if __name__ == "__main__":
    app.run(main)
