"""Files of decoded pairs, read without holding them in memory."""

import dataclasses
import hashlib
import json
import math
import os
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from segan_tf import files
from segan_tf import labels as labels_lib
from segan_tf.config import UserError
from segan_tf.datasets import findings, pairs


@dataclasses.dataclass(frozen=True)
class Decoded:
    """A pair at the working size, and what its label map tells."""

    record: np.ndarray
    facts: findings.MapFacts


@dataclasses.dataclass(frozen=True)
class Index:
    """What a file of records holds.

    Attributes:
      count: number of records.
      problems: from id to what is wrong with a pair that is not among them.
      facts: from id to what the label map of a pair tells.
    """

    count: int
    problems: dict[str, str]
    facts: dict[str, findings.MapFacts]


def find_path(
    cache_dir: str,
    split: Sequence[pairs.Pair],
    *,
    shape: tuple[int, int, int],
    labels: labels_lib.Labels,
) -> str:
    """Returns the path of a split's records.

    It depends on the files of the pairs, their lengths and times, and on how
    they are read.
    """
    digest = hashlib.sha256(repr((shape, labels)).encode())
    for pair in split:
        for path in (pair.image_path, *pair.label_map_paths):
            digest.update(repr((path, *_state(path))).encode())
    return os.path.join(cache_dir, f"{digest.hexdigest()[:16]}.records")


def _state(path: str) -> tuple[int | None, int | None]:
    try:
        status = os.stat(path)
    except OSError:  # decoding reports what is wrong with it
        return None, None
    return status.st_size, status.st_mtime_ns


def open_index(path: str, shape: tuple[int, int, int]) -> Index | None:
    """Reads what a file holds; None if it is missing or incomplete."""
    try:
        with open(_index_path(path), encoding="utf-8") as file:
            saved = json.load(file)
        facts = {
            name: findings.MapFacts.from_json(fact)
            for name, fact in saved["facts"].items()
        }
        index = Index(saved["count"], saved["problems"], facts)
        length = os.path.getsize(path)
    except (FileNotFoundError, KeyError):  # or of an earlier version
        return None
    return index if length == index.count * math.prod(shape) else None


def write(
    path: str, decoded: Iterable[tuple[pairs.Pair, Decoded | UserError]]
) -> Index:
    """Writes records to a file.

    Args:
      path: of the file.
      decoded: pairs with their records, or with what is wrong with them.
    """
    _remove_leftovers(os.path.dirname(path))
    count = 0
    problems = {}
    facts = {}
    with files.replacing(path) as file:
        for pair, found in decoded:
            if isinstance(found, UserError):
                problems[pair.id] = str(found)
            else:
                file.write(found.record.tobytes())
                facts[pair.id] = found.facts
                count += 1
    index = Index(count, problems, facts)
    # Last, because it marks the file as complete.
    files.write_json(_index_path(path), dataclasses.asdict(index))
    return index


def make_reader(
    path: str, shape: tuple[int, int, int]
) -> Callable[[int], np.ndarray]:
    """Returns a function from index to record, safe to call from threads."""
    descriptor = os.open(path, os.O_RDONLY)
    length = math.prod(shape)

    def read(index: int) -> np.ndarray:
        # pread rather than a memory map: the pages that a map touched count as
        # memory of the process, which would grow to the size of the file.
        data = os.pread(descriptor, length, int(index) * length)
        return np.frombuffer(data, np.uint8).reshape(shape)

    return read


def _index_path(path: str) -> str:
    return os.path.splitext(path)[0] + ".json"


def _remove_leftovers(cache_dir: str) -> None:
    """Removes partial files, which may be as large as the cache."""
    for name in os.listdir(cache_dir):
        if name.startswith(".") and name.endswith(".tmp"):
            os.remove(os.path.join(cache_dir, name))
