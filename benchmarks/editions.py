"""Compares images/s of the train step in both editions.

Each edition has its own process; they alternate in rounds of steps, so that
other load on the machine affects both. Quote the ratio. `strong` is the input
pipeline alone, with --augment=strong.

Usage: python benchmarks/editions.py [--rounds=7]; needs the environments that
scripts/test and scripts/test --addons make.
"""

import os
import pathlib
import sys
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

import turns
from absl import app, flags

from segan_tf.config import Config

ROOT = pathlib.Path(__file__).parent.parent
EDITIONS = {"newest": ".venv", "addons": ".venv-addons"}
SUBJECTS = {
    "segan, width 16": Config(width=16, dice_weight=1.0),
    "segan, width 64": Config(width=64, dice_weight=1.0),
    "segan, width 16, lamb": Config(
        width=16, dice_weight=1.0, optimizer="lamb"
    ),
    "efficientnet_lite0": Config(
        segmentor="efficientnet_lite0",
        encoder_weights="none",
        critic_width=16,
        dice_weight=1.0,
    ),
    "strong": Config(augment="strong"),
}

FLAGS = flags.FLAGS
flags.DEFINE_integer("rounds", 7, "Timed rounds of each.", lower_bound=3)
flags.DEFINE_string("worker", "", "Internal: the subject to measure.")


def work(subject: str) -> None:
    """Makes a round for every line of stdin and prints its images/s."""
    config = SUBJECTS[subject]
    step = (
        _pipeline(config) if config.augment == "strong" else _train_step(config)
    )
    turns.serve(step, config.batch_size)


def _train_step(config: Config) -> Callable[[], object]:
    import noise

    return noise.make_step(config)


def _pipeline(config: Config) -> Callable[[], object]:
    from segan_tf import console
    from segan_tf.datasets import loading
    from segan_tf.input import cached_dataset, pipeline

    pairs = loading.load_splits(config, progress=console.no_bar).train
    batches = iter(
        pipeline.make_training_dataset(
            cached_dataset.open_split(config, pairs, progress=console.no_bar),
            batch_size=config.batch_size,
            image_size=config.image_size,
            first_step=0,
            last_step=10**6,
            seed=0,
            strong=True,
        )
    )
    return lambda: next(batches)


def measure(subject: str) -> None:
    """Prints images/s of both editions, and their ratio."""
    commands = {
        name: [
            str(ROOT / venv / "bin" / "python"),
            __file__,
            f"--worker={subject}",
        ]
        for name, venv in EDITIONS.items()
    }
    medians = turns.take(commands, subject, rounds=FLAGS.rounds)
    ratio = medians["addons"] / medians["newest"]
    print(f"{subject:22s}  addons / newest: {ratio:.2f}", flush=True)


def main(argv: list[str]) -> None:
    """Measures every subject, or is one's worker."""
    del argv
    if FLAGS.worker:
        work(FLAGS.worker)
        return
    from segan_tf import environment

    print(environment.describe(sys.argv)["hardware"])
    for subject in SUBJECTS:
        measure(subject)


if __name__ == "__main__":
    app.run(main)
