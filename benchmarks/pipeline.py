"""Measures images/s of the input pipeline alone, for each kind of cache.

Usage: python benchmarks/pipeline.py [--data_dir=FOLDER]; draws lesions if no
folder is given. Filling the cache is not timed.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Sequence

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from absl import app, flags

from segan_tf import console
from segan_tf.config import Config
from segan_tf.datasets import loading, pairs
from segan_tf.input import cached_dataset, pipeline

FLAGS = flags.FLAGS
flags.DEFINE_string("data_dir", "", "Folder of pairs.")
flags.DEFINE_integer("batches", 20, "Batches of a round.", lower_bound=1)
flags.DEFINE_integer("rounds", 5, "Timed rounds.", lower_bound=3)

CACHES = ("memory", "disk", "none")
AUGMENTATIONS = ("basic", "strong")
WARM_UP = 5  # batches


def measure(config: Config, split: Sequence[pairs.Pair]) -> None:
    """Prints min, median and max images/s of one cache and augmentation."""
    records = cached_dataset.open_split(config, split, progress=console.no_bar)
    count = WARM_UP + FLAGS.batches * FLAGS.rounds
    batches = iter(
        pipeline.make_training_dataset(
            records,
            batch_size=config.batch_size,
            image_size=config.image_size,
            first_step=0,
            last_step=count,
            seed=0,
            strong=config.augment == "strong",
        )
    )
    for _ in range(WARM_UP):
        next(batches)
    rates = []
    for _ in range(FLAGS.rounds):
        began = time.perf_counter()
        for _ in range(FLAGS.batches):
            next(batches)
        seconds = time.perf_counter() - began
        rates.append(FLAGS.batches * config.batch_size / seconds)
    print(
        f"cache {config.cache:6s}  augment {config.augment:6s}  images/s: "
        f"min {min(rates):6.0f}  median {statistics.median(rates):6.0f}  "
        f"max {max(rates):6.0f}",
        flush=True,
    )


def main(argv: list[str]) -> None:
    """Measures every cache with every augmentation."""
    del argv
    with tempfile.TemporaryDirectory() as folder:
        for cache in CACHES:
            for augment in AUGMENTATIONS:
                config = Config(
                    data_dir=FLAGS.data_dir,
                    model_dir=folder,
                    cache=cache,
                    augment=augment,
                )
                divided = loading.load_splits(config, progress=console.no_bar)
                measure(config, divided.train)


if __name__ == "__main__":
    app.run(main)
