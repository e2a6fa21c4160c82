"""Decoded pairs at the working size: decoding is done once, not per epoch."""

import collections
import concurrent.futures
import dataclasses
import functools
import hashlib
import json
import math
import os
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from PIL import Image

from segan_tf import files
from segan_tf import labels as labels_lib
from segan_tf.config import Config, UserError
from segan_tf.datasets import label_maps, loading, pairs

# Side of the cached pairs, in image_size: a crop is then 4/5 of the image a
# side, still most of it, as in testing; ours.
WORKING_SCALE = 1.25
_MEMORY_FILE = "/proc/meminfo"  # Linux alone has it
# 2 to 8 threads: Pillow decodes outside Python's lock.
_THREADS = min(8, max(2, os.cpu_count() or 2))


@dataclasses.dataclass(frozen=True)
class CachedDataset:
    """The pairs of a split, each as one uint8 [size, size, 3 + labels].

    Attributes:
      count: how many there are.
      shape: of one record.
      read: index -> record; safe to call from several threads.
      problems: id -> what is wrong with a pair that is not among them.
    """

    count: int
    shape: tuple[int, int, int]
    read: Callable[[int], np.ndarray]
    problems: dict[str, str]


def decode(
    pair: pairs.Pair, *, size: int, labels: labels_lib.Labels
) -> np.ndarray:
    """Reads a pair and squeezes it to the working size.

    The image is resized with Pillow's antialiased bilinear filter, the label
    map to its nearest neighbors; both lose their aspect ratio, as the
    reference's do.

    Returns:
      uint8 [size, size, 3 + labels]: RGB, then the labels in {0, 1}.

    Raises:
      UserError: one of the files cannot be read, or their sizes differ.
    """
    image, label_map = label_maps.read_pair(pair, labels)
    planes = [_resize(image, size, Image.Resampling.BILINEAR)]
    for label in range(labels.count):
        plane = _resize(label_map[..., label], size, Image.Resampling.NEAREST)
        planes.append(plane[..., None])
    return np.concatenate(planes, axis=-1)


def _resize(plane: np.ndarray, size: int, method: Image.Resampling):
    if plane.shape[:2] == (size, size):
        return plane
    return np.asarray(Image.fromarray(plane).resize((size, size), method))


def open_records(
    split: Sequence[pairs.Pair],
    *,
    cache: str,
    cache_dir: str,
    size: int,
    labels: labels_lib.Labels,
    progress: Callable[..., Iterable] = lambda items, **_: items,
) -> CachedDataset:
    """Opens a split for random access; every pair is decoded once to see it.

    Args:
      split: the pairs.
      cache: "memory" keeps all records in an array, "disk" in one file, of
        which nothing stays in memory, "none" decodes at every read.
      cache_dir: folder of the file of "disk".
      size: side of the records in pixels.
      labels: one channel each.
      progress: wraps an iterable to show how far it is, as tqdm does.

    Returns:
      The pairs that can be read, in order; the others are in ``problems``.

    Raises:
      UserError: the file of "disk" cannot be written.
    """
    decode_pair = functools.partial(decode, size=size, labels=labels)
    shape = (size, size, 3 + labels.count)
    if cache == "disk":
        name = _fingerprint(split, (shape, labels))
        path = os.path.join(cache_dir, f"{name}.records")
        return _open_on_disk(split, shape, path, decode_pair, progress)
    problems, good, kept = {}, [], []
    for pair, record in _decode_all(split, decode_pair, progress):
        if isinstance(record, UserError):
            problems[pair.id] = str(record)
            continue
        good.append(pair)
        if cache == "memory":
            kept.append(record)

    def decode_again(index: int) -> np.ndarray:
        return decode_pair(good[index])

    read = kept.__getitem__ if cache == "memory" else decode_again
    return CachedDataset(len(good), shape, read, problems)


def _decode_all(split, decode_pair, progress):
    """Yields each pair with its record, or with the error in its place."""

    def decode_or_error(pair: pairs.Pair) -> np.ndarray | UserError:
        try:
            return decode_pair(pair)
        except UserError as error:
            return error

    with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
        waiting = collections.deque()
        coming = iter(split)
        for pair in progress(split, desc="decoding", unit="pair"):
            # A few decoded ahead, not all: memory stays bounded.
            while len(waiting) < 4 * _THREADS and (ahead := next(coming, None)):
                waiting.append(pool.submit(decode_or_error, ahead))
            yield pair, waiting.popleft().result()


def _open_on_disk(split, shape, path, decode_pair, progress) -> CachedDataset:
    cache_dir = os.path.dirname(path)
    try:
        os.makedirs(cache_dir, exist_ok=True)
        index = _read_index(path, shape)
        if index is None:
            _remove_leftovers(cache_dir)
            index = _decode_to_file(split, path, decode_pair, progress)
    except OSError as error:
        raise UserError(
            f"--cache (disk) cannot write {path} ({error.strerror}); make "
            "room there, or use --cache=memory or --cache=none."
        ) from error
    read = _file_reader(path, shape)
    return CachedDataset(index["count"], shape, read, index["problems"])


def _index_path(path: str) -> str:
    return os.path.splitext(path)[0] + ".json"


def _read_index(path, shape) -> dict | None:
    """Reads what is in the file; None where it is missing or not whole."""
    try:
        with open(_index_path(path), encoding="utf-8") as file:
            index = json.load(file)
        length = os.path.getsize(path)
    except FileNotFoundError:
        return None
    return index if length == index["count"] * math.prod(shape) else None


def _remove_leftovers(cache_dir: str) -> None:
    """Removes what a killed writing left: it may be as large as the cache."""
    for name in os.listdir(cache_dir):
        if name.startswith(".") and name.endswith(".tmp"):
            os.remove(os.path.join(cache_dir, name))


def _decode_to_file(split, path, decode_pair, progress) -> dict:
    problems = {}
    with files.replacing(path) as file:
        for pair, record in _decode_all(split, decode_pair, progress):
            if isinstance(record, UserError):
                problems[pair.id] = str(record)
            else:
                file.write(record.tobytes())
    index = {"count": len(split) - len(problems), "problems": problems}
    files.write_json(_index_path(path), index)  # last: now it is whole
    return index


def _fingerprint(split, reading) -> str:
    """Names the content: which files, as they are now, and how read."""
    digest = hashlib.sha256(repr(reading).encode())
    for pair in split:
        for path in (pair.image_path, *pair.label_map_paths):
            try:
                status = os.stat(path)
                state = (path, status.st_size, status.st_mtime_ns)
            except OSError:  # decoding says what is wrong with it
                state = (path, None, None)
            digest.update(repr(state).encode())
    return digest.hexdigest()[:16]


def _file_reader(path: str, shape: tuple[int, int, int]):
    descriptor = os.open(path, os.O_RDONLY)
    length = math.prod(shape)

    def read(index: int) -> np.ndarray:
        # pread rather than a memory map: a map's touched pages count as the
        # process's memory and would grow to the whole file.
        data = os.pread(descriptor, length, int(index) * length)
        return np.frombuffer(data, np.uint8).reshape(shape)

    return read


def open_split(
    config: Config,
    split: Sequence[pairs.Pair],
    labels: labels_lib.Labels = labels_lib.LESION,
    *,
    progress: Callable[..., Iterable],
    say: Callable[[str], None] = print,
) -> CachedDataset:
    """Opens a split at the working size, as ``cache`` says.

    Raises:
      UserError: names every pair that cannot be read, unless
        ``skip_bad_pairs`` is set; or the split does not fit into memory.
    """
    size = round(WORKING_SCALE * config.image_size)
    if config.cache == "memory":
        _check_too_large(len(split) * size**2 * (3 + labels.count))
    records = open_records(
        split,
        cache=config.cache,
        cache_dir=os.path.join(config.model_dir, "cache"),
        size=size,
        labels=labels,
        progress=progress,
    )
    loading.report_problems(config, list(records.problems.values()), say=say)
    return records


def _check_too_large(needed: int) -> None:
    available = _available_memory()
    if available is not None and needed > available:
        raise UserError(
            f"--cache (memory) needs {needed / 1e9:.1f} GB and "
            f"{available / 1e9:.1f} GB are free; use --cache=disk."
        )


def _available_memory() -> int | None:
    """Returns the bytes a program can still take; None if nobody says.

    Not sysconf's free pages: after some reading of files the system's own
    cache fills nearly all of the memory, and gives it up when asked.
    """
    try:
        with open(_MEMORY_FILE, encoding="ascii") as file:
            lines = dict(line.split(":", 1) for line in file)
        return int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, ValueError, KeyError):
        return None
