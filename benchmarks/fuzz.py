"""Reads spoiled image files with each of the program's readers.

python -m benchmarks.fuzz --count=3000 --seed=0 --page prints the table of
docs/robustness.md. A crash or a hang ends the program; nothing else does.
"""

import argparse
import base64
import collections
import json
import os
import resource
import shutil
import signal
import subprocess
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
_TRAINING = "training, predict"
_PAGE_READER = os.path.join(os.path.dirname(__file__), "fuzz_page.mjs")
_LONGEST_SECONDS = 60  # for a file
_PAGE_SECONDS = 600  # for all

Reader = Callable[[bytes, str], np.ndarray | None]


def make_graph_reader() -> Reader:
    """Makes a reader of the SavedModel's graph; None where it rejects."""
    import tensorflow as tf

    from export.serving import image_decoding

    @tf.function(input_signature=[tf.TensorSpec((), tf.string)])
    def read(content: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return image_decoding.read_image(content)

    read.get_concrete_function()  # traced before the time is taken

    def reader(content: bytes, path: str) -> np.ndarray | None:
        image, problem = read(tf.constant(content))
        return None if problem.numpy() else image.numpy()

    return reader


def read_in_training(content: bytes, path: str) -> np.ndarray | None:
    """Reads a file as training does; None where it rejects."""
    try:
        return images.read_image(path)
    except UserError:
        return None


def read_header(content: bytes, path: str) -> np.ndarray | None:
    """Reads the size only, as check does first; None where it rejects."""
    try:
        return np.array(images.image_size_of(path))
    except UserError:
        return None


def largest_difference(first: np.ndarray, second: np.ndarray) -> int:
    """Returns the largest difference of two images; 255 for other sizes."""
    if first.shape != second.shape:
        return 255
    return int(np.abs(first.astype(int) - second).max())


def read_with_page(folder: str) -> dict[str, tuple[np.ndarray | None, float]]:
    """Reads a folder with the web page's decoder, in Chromium.

    Returns:
      From name to what was read, None where it is rejected, and the seconds.

    Raises:
      RuntimeError: the page raised another error than its own, or Chromium
        ended.
    """
    done = subprocess.run(
        ["node", _PAGE_READER, shutil.which("chromium") or "", folder],
        capture_output=True,
        text=True,
        timeout=_PAGE_SECONDS,
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    answers = {}
    for line in done.stdout.splitlines():
        answer = json.loads(line)
        image = None
        if answer.get("isCrash"):
            raise RuntimeError(line)
        if "rgb" in answer:
            values = np.frombuffer(base64.b64decode(answer["rgb"]), np.uint8)
            image = values.reshape(answer["height"], answer["width"], 3)
        answers[answer["name"]] = image, answer["seconds"]
    return answers


class Tally:
    """Counts what readers do with files.

    Attributes:
      counts: by reader and what happened.
      slowest: seconds of each reader's slowest file.
    """

    def __init__(self) -> None:
        self.counts: collections.Counter[tuple[str, str]] = (
            collections.Counter()
        )
        self.slowest: dict[str, float] = collections.defaultdict(float)

    def add(self, reader: str, image: np.ndarray | None, took: float) -> None:
        """Counts one file of a reader."""
        self.slowest[reader] = max(self.slowest[reader], took)
        self.counts[reader, "read"] += image is not None

    def compare(
        self,
        name: str,
        reader: str,
        *,
        image: np.ndarray | None,
        expected: np.ndarray | None,
    ) -> None:
        """Compares what a reader reads with what training reads."""
        if image is None:
            return
        if expected is None:
            self.counts[reader, "alone"] += 1
            print(f"{name}: read by {reader} alone")
        elif (difference := largest_difference(image, expected)) > TOLERANCE:
            self.counts[reader, "differs"] += 1
            print(f"{name}: {reader} differs by {difference}")

    def table(self, count: int) -> str:
        """Formats the table of docs/robustness.md."""
        lines = [
            "| reader | read | rejected | read otherwise | read alone | "
            "slowest, ms |",
            "|---|---|---|---|---|---|",
        ]
        for reader, seconds in self.slowest.items():
            read, differs, alone = (
                self.counts[reader, what]
                for what in ("read", "differs", "alone")
            )
            lines.append(
                f"| {reader} | {read} | {count - read} | {differs} | {alone} | "
                f"{seconds * 1e3:.0f} |"
            )
        return "\n".join(lines)


def main() -> None:
    """Runs all readers over all files and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--page", action="store_true", help="also the page; scripts/browser"
    )
    options = parser.parse_args()
    startup.import_tensorflow()
    readers = {
        _TRAINING: read_in_training,
        "check, size only": read_header,
        "server": make_graph_reader(),
    }
    tally = Tally()
    with tempfile.TemporaryDirectory() as folder:
        for name, content in spoiled_images.spoil(options.count, options.seed):
            with open(os.path.join(folder, name), "wb") as file:
                file.write(content)
        page = read_with_page(folder) if options.page else {}
        for name in sorted(os.listdir(folder)):
            _read_all(os.path.join(folder, name), readers, page, tally)
    print(tally.table(options.count))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory without the page: {peak:.0f} MB")


def _read_all(
    path: str,
    readers: dict[str, Reader],
    page: dict[str, tuple[np.ndarray | None, float]],
    tally: Tally,
) -> None:
    name = os.path.basename(path)
    with open(path, "rb") as file:
        content = file.read()
    answers = {}
    for reader, read in readers.items():
        signal.alarm(_LONGEST_SECONDS)  # ends the program
        began = time.perf_counter()
        answers[reader] = read(content, path)
        tally.add(reader, answers[reader], time.perf_counter() - began)
        signal.alarm(0)
    if page:
        answers["page"], took = page[name]
        tally.add("page", answers["page"], took)
    for reader in ("server", "page"):
        tally.compare(
            name,
            reader,
            image=answers.get(reader),
            expected=answers[_TRAINING],
        )


if __name__ == "__main__":
    main()
