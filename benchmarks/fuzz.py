"""Reads spoiled image files with each of the program's readers.

python -m benchmarks.fuzz --count=3000 --seed=0 prints the table of
docs/robustness.md. A crash ends the program; nothing else does.
"""

import argparse
import collections
import os
import resource
import tempfile
import time
from collections.abc import Callable

import numpy as np

from segan_tf import startup
from segan_tf.config import UserError
from segan_tf.imaging import images
from tests.support import spoiled_images

# Both round when they blend over white or convert CMYK, and fill in what is
# missing in a damaged progressive JPEG image.
TOLERANCE = 4

Reader = Callable[[bytes, str], np.ndarray | None]


def make_graph_reader() -> Reader:
    """Makes a reader of the SavedModel's graph; None where it refuses."""
    import tensorflow as tf

    from export.serving import image_decoding

    @tf.function(input_signature=[tf.TensorSpec((), tf.string)])
    def read(content: tf.Tensor) -> tf.Tensor:
        return image_decoding.read_image(content, 0, name="image_bytes")

    def reader(content: bytes, path: str) -> np.ndarray | None:
        try:
            return read(tf.constant(content)).numpy()
        except tf.errors.InvalidArgumentError:
            return None

    return reader


def read_in_training(content: bytes, path: str) -> np.ndarray | None:
    """Reads a file as training does; None where it refuses."""
    try:
        return images.read_image(path)
    except UserError:
        return None


def read_header(content: bytes, path: str) -> np.ndarray | None:
    """Reads the size only, as check does first; None where it refuses."""
    try:
        return np.array(images.image_size_of(path))
    except UserError:
        return None


def largest_difference(first: np.ndarray, second: np.ndarray) -> int:
    """Returns the largest difference of two images; 255 for other sizes."""
    if first.shape != second.shape:
        return 255
    return int(np.abs(first.astype(int) - second).max())


def main() -> None:
    """Runs all readers over all files and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    startup.import_tensorflow()
    readers = {
        "read_image": read_in_training,
        "header": read_header,
        "server": make_graph_reader(),
    }
    counts: collections.Counter[tuple[str, str]] = collections.Counter()
    slowest = dict.fromkeys(readers, 0.0)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "image")
        for name, content in spoiled_images.spoil(options.count, options.seed):
            with open(path, "wb") as file:
                file.write(content)
            answers = {}
            for reader, read in readers.items():
                began = time.perf_counter()
                answers[reader] = read(content, path)
                took = time.perf_counter() - began
                slowest[reader] = max(slowest[reader], took)
                counts[reader, "read"] += answers[reader] is not None
            _compare(name, answers, counts)
    _print_table(options.count, counts, slowest)


def _compare(
    name: str,
    answers: dict[str, np.ndarray | None],
    counts: collections.Counter[tuple[str, str]],
) -> None:
    training, server = answers["read_image"], answers["server"]
    if server is None:
        return
    if training is None:
        counts["server", "alone"] += 1
        print(f"{name}: read by the server alone")
        return
    difference = largest_difference(training, server)
    if difference > TOLERANCE:
        counts["server", "differs"] += 1
        print(f"{name}: differs by {difference}")


def _print_table(
    count: int,
    counts: collections.Counter[tuple[str, str]],
    slowest: dict[str, float],
) -> None:
    print("| reader | read | refused | read differently | slowest, ms |")
    print("|---|---|---|---|---|")
    for reader, seconds in slowest.items():
        read = counts[reader, "read"]
        differs = counts[reader, "differs"] if reader == "server" else "-"
        print(
            f"| {reader} | {read} | {count - read} | {differs} | "
            f"{seconds * 1e3:.0f} |"
        )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"read by the server alone: {counts['server', 'alone']}")
    print(f"peak memory: {peak:.0f} MB")


if __name__ == "__main__":
    main()
