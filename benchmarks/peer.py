"""Compares images/s of the train step with the same one in PyTorch.

The processes take turns, so that other load on the machine affects all. Quote
the ratios. PyTorch is in an environment of its own:

    python -m venv TORCH && TORCH/bin/pip install torch numpy

Usage: python benchmarks/peer.py --torch=TORCH/bin/python [--rounds=7]
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

HERE = pathlib.Path(__file__).parent
FORMATS = ("contiguous_format", "channels_last")

FLAGS = flags.FLAGS
flags.DEFINE_string("torch", "", "Python that has PyTorch.")
flags.DEFINE_list("widths", ["16", "64"], "Widths to measure.")
flags.DEFINE_integer("batch_size", 30, "Images per step.", lower_bound=1)
flags.DEFINE_integer("rounds", 7, "Timed rounds of each.", lower_bound=3)
flags.DEFINE_integer("worker", 0, "Internal: the width to measure.")
flags.DEFINE_bool("xla", False, "Compile the step of TensorFlow with XLA.")


def make_step(config: Config) -> Callable[[], object]:
    """Makes a function of a train step on one batch that is in memory."""
    import noise
    import tensorflow as tf

    from segan_tf.training import distributed_step
    from segan_tf.training.state import build_train_state

    batch = noise.make_batch(config)
    state = build_train_state(config, steps_per_epoch=100)
    step = distributed_step.make_distributed_step(
        state, tf.distribute.get_strategy()
    )
    return lambda: step(*batch)["segmentor_loss"].numpy()


def measure(width: str) -> None:
    """Prints images/s of both, and their ratios."""
    commands = {
        "TensorFlow": [
            sys.executable,
            __file__,
            f"--worker={width}",
            f"--batch_size={FLAGS.batch_size}",
            f"--xla={FLAGS.xla}",
        ]
    }
    for memory_format in FORMATS:
        commands[f"PyTorch, {memory_format}"] = [
            FLAGS.torch,
            str(HERE / "torch_step.py"),
            width,
            str(FLAGS.batch_size),
            memory_format,
        ]
    medians = turns.take(commands, f"width {width}", rounds=FLAGS.rounds)
    ours = medians.pop("TensorFlow")
    for name, median in medians.items():
        ratio = ours / median
        print(f"width {width}: TensorFlow / {name}: {ratio:.2f}", flush=True)


def main(argv: list[str]) -> None:
    """Measures every width, or is the process that makes the steps of one."""
    del argv
    if FLAGS.worker:
        config = Config(
            width=FLAGS.worker,
            batch_size=FLAGS.batch_size,
            dice_weight=1.0,
            xla=FLAGS.xla,
        )
        turns.serve(make_step(config), FLAGS.batch_size)
        return
    from segan_tf import environment

    print(environment.describe(sys.argv)["hardware"])
    for width in FLAGS.widths:
        measure(width)


if __name__ == "__main__":
    flags.mark_flag_as_required("torch")
    app.run(main)
