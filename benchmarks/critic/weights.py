"""Measures how strongly each critic pulls S, next to cross-entropy and Dice.

A step of training changes S by the gradient of the other terms plus that of C's
weighted distance. This prints, after some steps of the game, the length of the
second over that of the first, both with respect to S's weights. `arms` has
weights that bring it to about 1.

Usage: python benchmarks/critic/weights.py OUT, after study.py made OUT/data.
"""

import os
import pathlib
import sys
from collections.abc import Iterator

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import arms
import numpy as np
import tensorflow as tf
from one_run import make_config
from plan import Run

from segan_tf import console
from segan_tf.config import Config
from segan_tf.datasets import loading
from segan_tf.input import cached_dataset, pipeline
from segan_tf.training import train_step
from segan_tf.training.state import TrainState, build_train_state

FAMILIES = ("isic_100", "isic_1500_segan")
STEPS, MEASURED = 100, 10


def make_batches(config: Config) -> Iterator[tuple[tf.Tensor, ...]]:
    """Makes the batches of a run."""
    found = loading.load_splits(config, progress=console.no_bar).train
    dataset = cached_dataset.open_split(config, found, progress=console.no_bar)
    return iter(
        pipeline.make_training_dataset(
            dataset,
            batch_size=config.batch_size,
            image_size=config.image_size,
            first_step=0,
            last_step=STEPS + MEASURED,
            seed=0,
        )
    )


def ratio(state: TrainState, *batch: tf.Tensor) -> tf.Tensor:
    """Computes the length of C's gradient over that of the other terms'."""
    seen = train_step.Batch(*batch)
    lengths = []
    of_critic = {"dice_weight": 0.0, "cross_entropy_weight": 0.0}
    for changes in (of_critic, {"l1_weight": 0.0}):
        tape, predicted = train_step.predict(state, seen)
        changed = state.config.replace(**changes)
        of_terms = TrainState(
            changed, state.segmentor, state.segmentor_optimizer, state.critic
        )
        _, gradient = train_step.segmentor_gradient(of_terms, seen, predicted)
        gradients = tape.gradient(
            predicted,
            state.segmentor.trainable_variables,
            output_gradients=gradient,
        )
        lengths.append(tf.linalg.global_norm(gradients))
    return lengths[0] / lengths[1]


def measure(family: str, arm: str, out: pathlib.Path) -> list[float]:
    """Plays some steps, and then computes the ratio at some more."""
    run = Run(family, arm, "screening", 0)
    config = make_config(run, epochs=10, out=out)
    state = build_train_state(config, steps_per_epoch=STEPS)
    step = tf.function(lambda *batch: train_step.train_step(state, *batch))
    compute_ratio = tf.function(lambda *batch: ratio(state, *batch))
    found = []
    for index, batch in enumerate(make_batches(config)):
        if index >= STEPS:
            found.append(float(compute_ratio(*batch)))
        step(*batch)
    return found


def main(argv: list[str]) -> None:
    """Measures every critic with both segmentors."""
    arms.register()
    for family in FAMILIES:
        for arm, row in arms.ARMS.items():
            if "dice_weight" in row.settings and "critic_form" in row.settings:
                found = measure(family, arm, pathlib.Path(argv[1]))
                print(
                    f"{family:16s} {arm:10s} median {np.median(found):.3f}, "
                    f"{min(found):.3f} to {max(found):.3f}",
                    flush=True,
                )


if __name__ == "__main__":
    main(sys.argv)
