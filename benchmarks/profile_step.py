"""Profiles the train step: which share of its time is which kind of operation.

One thread runs one operation at a time, so that the times add up. Other load
on the machine lengthens all kinds alike; quote the shares.

Usage: python benchmarks/profile_step.py [--width=64] [--batch_size=30]
"""

import collections
import glob
import os
import sys
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

import noise
import tensorflow as tf
from absl import app, flags
from tensorflow.tsl.profiler.protobuf import xplane_pb2

from segan_tf import environment
from segan_tf.config import Config
from segan_tf.models.segmentors import SEGMENTORS

FLAGS = flags.FLAGS
flags.DEFINE_enum("segmentor", "segan", SEGMENTORS, "The segmentor.")
flags.DEFINE_integer("width", 64, "Its width.", lower_bound=1)
flags.DEFINE_integer("batch_size", 30, "Images of the step.", lower_bound=1)
flags.DEFINE_integer("steps", 2, "Steps that are traced.", lower_bound=1)

# Parts of the names of operations, in the order in which they are looked for.
KINDS = {
    "convolution": ("Conv2D", "Conv2d", "Depthwise"),
    "batch normalization": ("FusedBatchNorm",),
    "resizing": ("Resize",),
    "optimizers": ("Apply", "Assign"),
    "calls of functions": ("PartitionedCall", "If", "While"),
    "reductions": ("Sum", "Mean", "L2Loss", "Max", "Min", "BiasAddGrad"),
}
OTHER = "pointwise and others"
_SHOWN = 12  # operations


def trace(folder: str) -> None:
    """Writes the trace of some steps to a folder."""
    config = Config(
        segmentor=FLAGS.segmentor,
        width=FLAGS.width,
        batch_size=FLAGS.batch_size,
        dice_weight=1.0,
        encoder_weights="none",
    )
    step = noise.make_step(config)
    step()  # traced and warm
    with tf.profiler.experimental.Profile(folder):
        for _ in range(FLAGS.steps):
            step()


def read_times(folder: str) -> dict[str, int]:
    """Returns the picoseconds of each kind of operation in a trace.

    The host's events of operations are called "name:Operation"; those of the
    executor, which contain them, "Class::Method".
    """
    (path,) = glob.glob(f"{folder}/**/*.xplane.pb", recursive=True)
    space = xplane_pb2.XSpace()
    with open(path, "rb") as file:
        space.ParseFromString(file.read())
    times: dict[str, int] = collections.Counter()
    for plane in space.planes:
        if not plane.name.startswith("/host:CPU"):
            continue
        names = {key: value.name for key, value in plane.event_metadata.items()}
        for line in plane.lines:
            for event in line.events:
                name, colon, operation = names[event.metadata_id].rpartition(
                    ":"
                )
                is_operation = colon and not name.endswith(":")
                if is_operation and operation.isidentifier():
                    times[operation] += event.duration_ps
    return times


def kind_of(operation: str) -> str:
    """Returns one of KINDS, or OTHER."""
    return next(
        (
            kind
            for kind, parts in KINDS.items()
            if any(part in operation for part in parts)
        ),
        OTHER,
    )


def main(argv: list[str]) -> None:
    """Prints the share of each kind and of the longest operations."""
    del argv
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        trace(folder)
        times = read_times(folder)
    times = {
        name: time
        for name, time in times.items()
        if kind_of(name) != "calls of functions"  # they contain the others
    }
    total = sum(times.values())
    facts = environment.describe(sys.argv)
    print(
        f"{facts['hardware']}; tensorflow {tf.__version__}; {FLAGS.segmentor}, "
        f"width {FLAGS.width}, batch size {FLAGS.batch_size}: "
        f"{total / FLAGS.steps / 1e12:.2f} s a step on one thread"
    )
    by_kind: dict[str, int] = collections.Counter()
    for name, time in times.items():
        by_kind[kind_of(name)] += time
    for title, counted in (("kinds", by_kind), ("operations", times)):
        print(f"\n{title}")
        longest = sorted(counted, key=counted.__getitem__, reverse=True)
        for name in longest[:_SHOWN]:
            print(f"{counted[name] / total:6.1%}  {name}")


if __name__ == "__main__":
    app.run(main)
