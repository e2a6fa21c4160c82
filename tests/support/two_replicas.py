"""Trains with one replica and with two, in a process of its own.

A CPU can be split in two only before TensorFlow has started, which it has in
the tests' process. Usage: two_replicas.py FOLDER
"""

import dataclasses
import os
import sys

import blobs
import tensorflow as tf

from segan_tf.config import Config, UserError
from segan_tf.training import distribution, loop

# One line of the log an epoch, however slow the machine is.
loop.LOOP_SECONDS = float("inf")
RUN = Config(image_size=32, width=2, batch_size=4, epochs=2, dice_weight=1.0)


def make_trainer(folder, strategy, name, **changes):
    """Makes a trainer of four steps per epoch, on the same blobs each time."""
    model_dir = os.path.join(folder, name)
    os.makedirs(model_dir)
    return loop.Trainer(
        dataclasses.replace(RUN, model_dir=model_dir, **changes),
        training=blobs.make_records(16),
        validation=blobs.make_records(2),
        strategy=strategy,
    )


def main(folder):
    two = distribution.create_strategy(virtual_devices=2)
    one = tf.distribute.get_strategy()
    parts = {"gradient_accumulation_steps": 2, "batch_size": 8}
    for ending, changes in (("", {}), ("_in_parts", parts)):
        make_trainer(folder, two, f"two{ending}", **changes).train()
        make_trainer(folder, one, f"one{ending}", **changes).train()
    for changes in ({"xla": True}, {"batch_size": 5}):
        try:
            make_trainer(folder, two, next(iter(changes)), **changes)
        except UserError as error:
            print(f"error: {error}")


if __name__ == "__main__":
    main(sys.argv[1])
