"""Measures how strongly each critic pulls S, next to the loss of pixels.

A step of training changes S by the gradient of the other terms plus that of C's
weighted distance. This writes, after some steps of the game, the median length
of the second over that of the first, both with respect to S's weights, to
OUT/pulls.json. The weights in `arms` were chosen to bring it to about 1.

Usage: python benchmarks/critic/pulls.py DATA OUT, after study.py.
"""

import json
import os
import pathlib
import sys
from collections.abc import Iterator

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import arms
import numpy as np
import outcomes
import plan
import regimes
import tensorflow as tf
from one_run import make_config
from plan import Run

from segan_tf import console, environment, files
from segan_tf.config import Config
from segan_tf.datasets import loading
from segan_tf.input import cached_dataset, pipeline
from segan_tf.training import train_step
from segan_tf.training.state import TrainState, build_train_state

STEPS, MEASURED = 100, 10


def make_batches(config: Config) -> Iterator[tuple[tf.Tensor, ...]]:
    """Makes the batches of a run."""
    labels = loading.load_labels(config)
    found = loading.load_splits(config, labels, progress=console.no_bar).train
    dataset = cached_dataset.open_split(
        config, found, labels, progress=console.no_bar
    )
    return iter(
        pipeline.make_training_dataset(
            dataset,
            batch_size=config.batch_size,
            image_size=config.image_size,
            first_step=0,
            last_step=STEPS + MEASURED,
            seed=0,
            flip=config.resolved_flip,
        )
    )


def ratio(state: TrainState, *batch: tf.Tensor) -> tf.Tensor:
    """Computes the length of C's gradient over that of the other terms'."""
    seen = train_step.Batch(*batch)
    lengths = []
    of_critic = {"dice_weight": 0.0, "cross_entropy_weight": 0.0}
    for changes in (of_critic, {"l1_weight": 0.0}):
        tape, predicted = train_step.predict(state, seen)
        of_terms = TrainState(
            state.config.replace(**changes),
            state.segmentor,
            state.segmentor_optimizer,
            state.critic,
        )
        _, gradient = train_step.segmentor_gradient(of_terms, seen, predicted)
        gradients = tape.gradient(
            predicted,
            state.segmentor.trainable_variables,
            output_gradients=gradient,
        )
        lengths.append(tf.linalg.global_norm(gradients))
    return lengths[0] / lengths[1]


def measure(regime: str, arm: str, out: pathlib.Path) -> float:
    """Plays some steps; returns the median ratio in some more."""
    config = make_config(Run(regime, arm, "screening", 0), epochs=10, out=out)
    state = build_train_state(config, steps_per_epoch=STEPS)
    step = tf.function(lambda *batch: train_step.train_step(state, *batch))
    compute_ratio = tf.function(lambda *batch: ratio(state, *batch))
    found = []
    for index, batch in enumerate(make_batches(config)):
        if index >= STEPS:
            found.append(float(compute_ratio(*batch)))
        step(*batch)
    print(regime, arm, np.round(sorted(found), 3), flush=True)
    return round(float(np.median(found)), 3)


def main(argv: list[str]) -> None:
    """Measures every critic in every screening."""
    arms.register()
    data, out = map(pathlib.Path, argv[1:])
    regimes.prepare(data, out / "data")
    records = outcomes.read_records(out / "records")
    found = {
        **environment.describe(["benchmarks/critic/pulls.py", "DATA", argv[2]]),
        "pulls": {
            regime: {
                critic: measure(
                    regime,
                    arms.with_critic(plan.baseline(records, regime), critic),
                    out,
                )
                for critic in arms.ADDED_CRITICS
            }
            for regime in regimes.SCREENED
        },
    }
    files.write_text(str(out / "pulls.json"), json.dumps(found, indent=1))


if __name__ == "__main__":
    main(sys.argv)
