"""Measures predicting many images: CPU time by stage, and images/s.

Draws lesions of 256x256 pixels and of 12 megapixels, measures what each stage
of an image costs, and then predicts them as `--mode=predict` does, in turn with
the TFLite model alone in as many processes. The two alternate, so that other
load on the machine affects both; quote the share.

Usage: python benchmarks/predict.py [--rounds=5] [--small=1000] [--large=24]
"""

import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from absl import app, flags
from PIL import Image

from segan_tf import environment
from segan_tf.imaging import images, numpy_preprocessing
from segan_tf.inference import (
    backends,
    image_job,
    memory,
    prediction_files,
    prediction_inputs,
    prediction_tables,
    tflite_model,
    workers,
)
from segan_tf.inference.prediction_inputs import Source
from segan_tf.models import pretrained
from segan_tf.synthetic import lesions

FLAGS = flags.FLAGS
flags.DEFINE_integer("rounds", 5, "Predictions of each kind.", lower_bound=1)
flags.DEFINE_integer("small", 1000, "Images of 256x256.", lower_bound=1)
flags.DEFINE_integer("large", 24, "Images of 12 megapixels.", lower_bound=1)
flags.DEFINE_list("workers", ["1", "2"], "Numbers of workers to measure.")

SIZES = {"256x256": (256, 256), "4000x3000": (3000, 4000)}  # (height, width)
DIFFERENT = 8  # images that are drawn; the others are copies
QUALITY = 90  # of their JPEG files, as cameras write them
RUNS_AN_ITEM = 10  # of the model alone
ALONE = 1000  # times that the model alone runs at least
SKIPPED = 16  # first results, while processes start


class ModelAlone:
    """The TFLite model on one image, again and again, in a worker."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __call__(self) -> Callable[[Any], None]:
        """Opens the model; returns what runs it."""
        model = tflite_model.TFLiteModel(self._path, num_threads=1)
        image = np.full((1, *model.size, 3), 128, np.uint8)

        def run(_: Any) -> None:
            for _ in range(RUNS_AN_ITEM):
                model.segment(image)

        return run


def draw_images(folder: str, size: tuple[int, int], count: int) -> None:
    """Writes JPEG files, of which some are different."""
    os.makedirs(folder)
    for number in range(min(DIFFERENT, count)):
        drawn = lesions.draw_lesion(number, 1, size=size).image
        image = Image.fromarray(drawn)
        image.save(os.path.join(folder, f"{number}.jpg"), quality=QUALITY)
    for number in range(DIFFERENT, count):
        shutil.copy(
            os.path.join(folder, f"{number % DIFFERENT}.jpg"),
            os.path.join(folder, f"{number}.jpg"),
        )


def stage_times(
    job: image_job.Job, path: str, rounds: int
) -> dict[str, list[float]]:
    """Measures the CPU seconds of each stage of an image."""
    task = job.open()
    predictor = task.predictor
    tflite = pretrained.find().tflite_path(job.runtime)
    model = tflite_model.TFLiteModel(tflite, num_threads=1)
    stem = os.path.join(job.output_dir, "stage")
    image = images.read_image(path)
    resized = numpy_preprocessing.resize_image(image, *model.size)
    small = model.segment(resized[None])[0]
    probability_map = numpy_preprocessing.resize_probability_map(
        small, *image.shape[:2]
    )
    label_map = predictor.decide(probability_map)
    labels = predictor.labels
    stages: dict[str, Callable[[], Any]] = {
        "read": lambda: images.read_image(path),
        "resize to the model": lambda: numpy_preprocessing.resize_image(
            image, *model.size
        ),
        "model": lambda: model.segment(resized[None]),
        "resize back": lambda: numpy_preprocessing.resize_probability_map(
            small, *image.shape[:2]
        ),
        "decide": lambda: predictor.decide(probability_map),
        "expected Dice": lambda: predictor.expect_dice(
            image, [probability_map]
        ),
        "label map file": lambda: prediction_files.write_label_map(
            stem, label_map, labels=labels
        ),
        "whole, without overlay": lambda: task(Source("whole", path)),
        "JPEG overlay": lambda: prediction_files.write_overlays(
            stem,
            image,
            label_map,
            labels=labels,
            in_styles=[],
            file_format=prediction_files.JPEG,
        ),
    }
    times: dict[str, list[float]] = {name: [] for name in stages}
    for number in range(rounds + 1):
        for name, run in stages.items():
            start = time.thread_time()
            run()
            if number:  # the first round warms up
                times[name].append(time.thread_time() - start)
    return times


def measure(results: Iterator[Any], skipped: int) -> float:
    """Returns the results a second, after the first ones.

    Until then processes start, which takes as long as 100 small images.
    """
    for _ in range(skipped):
        next(results)
    start = time.perf_counter()
    count = sum(1 for _ in results)
    return count / (time.perf_counter() - start)


def run_alone(path: str, num_workers: int, count: int) -> float:
    """Runs the model alone so many times; returns how many a second."""
    with workers.Pool(
        ModelAlone(path), num_workers, on_lost=lambda _: None
    ) as pool:
        items = range(count // RUNS_AN_ITEM + SKIPPED)
        return RUNS_AN_ITEM * measure(pool.map(items), SKIPPED)


def run_predict(folder: str, job: image_job.Job, num_workers: int) -> float:
    """Predicts a folder as `prediction.predict` does; returns the images/s."""
    sources = prediction_inputs.find([folder]).images
    columns = job.open().columns
    table_path = os.path.join(job.output_dir, "predictions.csv")
    with (
        prediction_tables.GrowingTable(table_path, columns) as table,
        workers.Pool(
            job.open, num_workers, on_lost=lambda _: image_job.Outcome()
        ) as pool,
    ):
        table.start()
        outcomes = _added(table, pool.map(sources))
        return measure(outcomes, min(SKIPPED, len(sources) // 4))


def _added(
    table: prediction_tables.GrowingTable,
    results: Iterable[tuple[Source, image_job.Outcome]],
) -> Iterator[image_job.Outcome]:
    """Yields outcomes after adding their rows to a table."""
    for _, outcome in results:
        table.add(outcome.row or {})
        yield outcome


def report_rates(folder: str, count: int, overlays: str, runtime: str) -> None:
    """Prints a row for each number of workers."""
    tflite = pretrained.find().tflite_path(runtime)
    for num_workers in map(int, FLAGS.workers):
        alone, predicted = [], []
        for _ in range(FLAGS.rounds):
            alone.append(run_alone(tflite, num_workers, max(count, ALONE)))
            with tempfile.TemporaryDirectory() as output_dir:
                job = image_job.Job(
                    "pretrained", output_dir, runtime, overlays=overlays
                )
                predicted.append(run_predict(folder, job, num_workers))
        shares = [p / a for p, a in zip(predicted, alone, strict=True)]
        size = os.path.basename(folder)
        print(
            f"| {size} | {overlays} | {num_workers} | {_spread(predicted)} | "
            f"{statistics.median(alone):.1f} | {_spread(shares, digits=2)} |"
        )


def _spread(values: list[float], *, digits: int = 1) -> str:
    found = min(values), statistics.median(values), max(values)
    return " | ".join(f"{value:.{digits}f}" for value in found)


def main(argv: list[str]) -> None:
    """Prints a table of stages and one of rates."""
    del argv
    memory.keep_freed()  # as main.py
    runtime = backends.choose_runtime("pretrained", "auto", needs_styles=False)
    about = environment.describe(sys.argv)
    print(f"{about['hardware']}, commit {about['commit']}, {runtime} TFLite")
    counts = dict(zip(SIZES, (FLAGS.small, FLAGS.large), strict=True))
    with tempfile.TemporaryDirectory() as root:
        for name, size in SIZES.items():
            draw_images(os.path.join(root, name), size, counts[name])
        print("\n| CPU ms an image | size | min | median | max |")
        print("|---|---|---|---|---|")
        for name in SIZES:
            job = image_job.Job("pretrained", root, runtime, overlays="none")
            path = os.path.join(root, name, "0.jpg")
            rounds = max(7, min(100, counts[name] // 2))
            for stage, found in stage_times(job, path, rounds).items():
                ms = [1000 * seconds for seconds in found]
                print(
                    f"| {stage} | {name} | {min(ms):.2f} | "
                    f"{statistics.median(ms):.2f} | {max(ms):.2f} |"
                )
        print(
            "\n| size | overlays | workers | images/s min | median | max | "
            "model alone | share of it min | median | max |"
        )
        print("|---|---|---|---|---|---|---|---|---|---|")
        for name in SIZES:
            for overlays in ("none", "jpeg"):
                report_rates(
                    os.path.join(root, name), counts[name], overlays, runtime
                )


if __name__ == "__main__":
    app.run(main)
