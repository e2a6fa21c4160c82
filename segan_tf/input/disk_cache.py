"""Files of decoded pairs, read without holding them in memory."""

import contextlib
import dataclasses
import hashlib
import json
import math
import os
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

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
      checksums: of each record.
      problems: from id to what is wrong with a pair that is not among them.
      facts: from id to what the label map of a pair tells.
    """

    checksums: tuple[int, ...]
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
            digest.update(repr((path, *read_state(path))).encode())
    return os.path.join(cache_dir, f"{digest.hexdigest()[:16]}.records")


def read_state(path: str) -> tuple[int | None, int | None]:
    """Returns the length and the time of a file; None if it is missing."""
    try:
        status = os.stat(path)
    except OSError:  # decoding reports what is wrong with it
        return None, None
    return status.st_size, status.st_mtime_ns


def open_index(path: str, shape: tuple[int, int, int]) -> Index | None:
    """Reads what a file holds; None if it is missing, partial or damaged."""
    try:
        with files.open_regular(_index_path(path), encoding="utf-8") as file:
            saved = json.load(file)
        content = saved["content"]
        if saved["checksum"] != _checksum_of(content):
            return None
        facts = {
            name: findings.MapFacts.from_json(fact)
            for name, fact in content["facts"].items()
        }
        checksums = tuple(content["checksums"])
        if checksums != _checksums_of(path, math.prod(shape)):
            return None
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None  # or of an earlier version
    return Index(checksums, content["problems"], facts)


def write(
    path: str, decoded: Iterable[tuple[pairs.Pair, Decoded | UserError]]
) -> Index:
    """Writes records to a file.

    Args:
      path: of the file.
      decoded: pairs with their records, or with what is wrong with them.
    """
    checksums = []
    problems = {}
    facts = {}
    with files.replacing(path) as file:
        for pair, found in decoded:
            if isinstance(found, UserError):
                problems[pair.id] = str(found)
            else:
                record = found.record.tobytes()
                file.write(record)
                checksums.append(zlib.crc32(record))
                facts[pair.id] = found.facts
    index = Index(tuple(checksums), problems, facts)
    content = dataclasses.asdict(index)
    # Last, because it marks the file as complete.
    files.write_json(
        _index_path(path),
        {"content": content, "checksum": _checksum_of(content)},
    )
    return index


def _checksums_of(path: str, length: int) -> tuple[int, ...]:
    """Computes the checksums of the records of a file, also of a cut one.

    Reads about 1 GB/s from memory, so it takes no time beside decoding.
    """
    with files.open_regular(path, "rb") as file:
        return tuple(map(zlib.crc32, iter(lambda: file.read(length), b"")))


def _checksum_of(content: Mapping[str, Any]) -> int:
    return zlib.crc32(json.dumps(content, sort_keys=True).encode())


def make_reader(
    path: str, shape: tuple[int, int, int], checksums: Sequence[int]
) -> Callable[[int], np.ndarray]:
    """Returns a function from index to record, safe to call from threads.

    It raises UserError if the record is not the one that was written, and
    removes the index, so that the file is made again.
    """
    descriptor = os.open(path, os.O_RDONLY)
    length = math.prod(shape)

    def read(index: int) -> np.ndarray:
        # pread rather than a memory map: the pages that a map touched count as
        # memory of the process, which would grow to the size of the file.
        data = os.pread(descriptor, length, int(index) * length)
        if zlib.crc32(data) != checksums[index]:
            with contextlib.suppress(OSError):
                os.remove(_index_path(path))
            raise UserError(
                f"{path} is damaged (record {index}); check the disk. The same "
                "command makes the file again."
            )
        return np.frombuffer(data, np.uint8).reshape(shape)

    return read


def _index_path(path: str) -> str:
    return os.path.splitext(path)[0] + ".json"
