"""Measures reading of records, the input pipeline, and the train step.

Pairs are read from a folder, with each kind of cache, and from shards. Filling
a cache and converting are not timed. The train step is measured in the same
process on a batch that is in memory. Other load on the machine lowers the
images/s, but hardly raises the processor time: the ratios are of that.

Usage: python benchmarks/pipeline.py [--data_dir=FOLDER] [--widths=16,64]; draws
lesions if no folder is given.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

import noise
import numpy as np
from absl import app, flags

from segan_tf import console
from segan_tf.config import Config
from segan_tf.datasets import loading
from segan_tf.input import cached_dataset, conversion, pipeline

FLAGS = flags.FLAGS
flags.DEFINE_string("data_dir", "", "Folder of pairs.")
flags.DEFINE_integer("num_drawn", 400, "Lesions to draw.", lower_bound=50)
flags.DEFINE_integer("batches", 20, "Batches of a round.", lower_bound=1)
flags.DEFINE_integer("rounds", 5, "Timed rounds.", lower_bound=3)
flags.DEFINE_list("widths", ["16", "64"], "Widths of the train step.")

SHARDS = "shards"
SOURCES = ("memory", "disk", "none", SHARDS)
AUGMENTATIONS = ("basic", "strong")
WARM_UP = 5  # batches


def time_rounds(name: str, work: Callable[[], int]) -> float:
    """Prints the images/s and the processor time of a function.

    Args:
      name: of the row.
      work: does a round, and returns how many images it had.

    Returns:
      The median of the milliseconds of processor time for an image, over all
      threads.
    """
    rates, costs = [], []
    for _ in range(FLAGS.rounds):
        began, began_cpu = time.perf_counter(), time.process_time()
        count = work()
        costs.append(1e3 * (time.process_time() - began_cpu) / count)
        rates.append(count / (time.perf_counter() - began))
    print(
        f"{name:24s} images/s: min {min(rates):8.1f}  "
        f"median {statistics.median(rates):8.1f}  max {max(rates):8.1f}  "
        f"CPU ms/image: min {min(costs):8.3f}  "
        f"median {statistics.median(costs):8.3f}  max {max(costs):8.3f}",
        flush=True,
    )
    return statistics.median(costs)


def measure_reading(
    source: str, records: cached_dataset.CachedDataset
) -> float:
    """Measures one thread that reads records in a random order."""
    order = np.random.default_rng(0).permutation(records.count)

    def read_all() -> int:
        for index in order:
            records.read(int(index))
        return len(order)

    return time_rounds(f"read     {source}", read_all)


def measure_pipeline(
    source: str, records: cached_dataset.CachedDataset, config: Config
) -> float:
    """Measures the whole pipeline, with all its threads."""
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

    def take() -> int:
        for _ in range(FLAGS.batches):
            next(batches)
        return FLAGS.batches * config.batch_size

    return time_rounds(f"pipeline {source:6s}  {config.augment}", take)


def measure_step(config: Config) -> float:
    """Measures the train step on one batch that is in memory."""
    step = noise.make_step(config)

    def make() -> int:
        step()
        return config.batch_size

    make()  # traced
    make()  # warm
    return time_rounds(f"step     width {config.width}", make)


def open_sources(
    folder: str,
) -> Iterator[tuple[str, Config, cached_dataset.CachedDataset]]:
    """Opens the training split from every source in turn."""
    settings = {
        "data_dir": FLAGS.data_dir,
        "num_drawn": FLAGS.num_drawn,
        "model_dir": folder,
    }
    for source in SOURCES:
        if source == SHARDS:
            shards = os.path.join(folder, SHARDS)
            conversion.convert(Config(**settings, output_dir=shards))
            config = Config(data_dir=shards, model_dir=folder)
        else:
            config = Config(**settings, cache=source)
        divided = loading.load_splits(
            config, progress=console.no_bar, say=lambda _: None
        )
        yield (
            source,
            config,
            cached_dataset.open_split(
                config, divided.train, progress=console.no_bar
            ),
        )


def main(argv: list[str]) -> None:
    """Measures every source with every augmentation, and the step."""
    del argv
    reading: dict[str, float] = {}
    delivered: dict[tuple[str, str], float] = {}
    with tempfile.TemporaryDirectory() as folder:
        for source, config, records in open_sources(folder):
            reading[source] = measure_reading(source, records)
            for augment in AUGMENTATIONS:
                delivered[source, augment] = measure_pipeline(
                    source, records, config.replace(augment=augment)
                )
    for source in ("disk", "none"):
        ratio = reading[source] / reading[SHARDS]
        print(f"read {SHARDS} / {source}: {ratio:.1f} times")
    for width in map(int, FLAGS.widths):
        step = measure_step(Config(width=width, dice_weight=1.0))
        for (source, augment), cost in delivered.items():
            print(
                f"pipeline {source:6s}  {augment:6s} / step of width {width}: "
                f"{step / cost:.1f} times"
            )


if __name__ == "__main__":
    app.run(main)
