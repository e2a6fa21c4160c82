"""Pairs decoded to the working size once rather than in every epoch."""

import collections
import concurrent.futures
import dataclasses
import functools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
from PIL import Image

from segan_tf import files
from segan_tf import labels as labels_lib
from segan_tf.config import Config, UserError
from segan_tf.datasets import findings, label_maps, loading, pairs, shards
from segan_tf.input import disk_cache

# Side of the cached pairs, times image_size. A crop then shows 4/5 of the image
# a side, so it still looks like a whole image, as in testing; ours.
WORKING_SCALE = 1.25
MEMORY_FILE = "/proc/meminfo"  # only on Linux
# 2 to 8 threads: Pillow releases Python's lock while it decodes.
DECODING_THREADS = min(8, max(2, os.cpu_count() or 2))


@dataclasses.dataclass(frozen=True)
class CachedDataset:
    """The pairs of a split, each as one uint8 [size, size, 3 + labels].

    Attributes:
      count: number of pairs.
      shape: of one record.
      read: from index to record; safe to call from several threads.
      problems: from id to what is wrong with a pair that is not among them.
      facts: from id to what the label map of a pair tells.
      failures: of `read` within a tf.data pipeline, which passes on only the
        text of an error.
    """

    count: int
    shape: tuple[int, int, int]
    read: Callable[[int], np.ndarray]
    problems: dict[str, str]
    facts: dict[str, findings.MapFacts] = dataclasses.field(
        default_factory=dict
    )
    failures: list[UserError] = dataclasses.field(default_factory=list)


def working_size(image_size: int) -> int:
    """Returns the side of the records for an image_size, both in pixels."""
    return round(WORKING_SCALE * image_size)


def open_split(
    config: Config,
    split: Sequence[pairs.Pair],
    labels: labels_lib.Labels = labels_lib.LESION,
    *,
    progress: Callable[..., Iterable],
    say: Callable[[str], None] = print,
) -> CachedDataset:
    """Opens a split at the working size, as ``config.cache`` says.

    Args:
      config: of the run.
      split: the pairs.
      labels: one channel each.
      progress: wraps an iterable to show its progress, like tqdm.
      say: is called with each message.

    Raises:
      UserError: names every pair that cannot be read, unless
        ``skip_bad_pairs`` is set; or the split does not fit into memory.
    """
    size = working_size(config.image_size)
    if config.cache == "memory" and not shards.side_of(split):
        _check_memory(len(split) * size**2 * (3 + labels.count))
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


def open_records(
    split: Sequence[pairs.Pair],
    *,
    cache: str,
    cache_dir: str,
    size: int,
    labels: labels_lib.Labels,
    progress: Callable[..., Iterable] = lambda items, **_: items,
) -> CachedDataset:
    """Opens a split for random access; every pair is decoded once to check it.

    Pairs in shards were decoded before; they are read where they are.

    Args:
      split: the pairs.
      cache: "memory" keeps all records in memory, "disk" in a file, "none"
        decodes at every read.
      cache_dir: folder of the file of "disk".
      size: side of the records in pixels.
      labels: one channel each.
      progress: wraps an iterable to show its progress, like tqdm.

    Returns:
      The pairs that can be read, in order; the others are in ``problems``.

    Raises:
      UserError: the file of "disk" cannot be written.
    """
    shape = (size, size, 3 + labels.count)
    if shards.side_of(split):
        return _open_shards(split, shape)
    decode_pair = functools.partial(decode, size=size, labels=labels)
    decoded = decode_all(split, decode_pair, progress=progress)
    if cache == "disk":
        path = disk_cache.find_path(
            cache_dir, split, shape=shape, labels=labels
        )
        return _open_on_disk(path, shape, decoded=decoded)
    problems: dict[str, str] = {}
    facts: dict[str, findings.MapFacts] = {}
    good: list[pairs.Pair] = []
    states = {} if cache == "memory" else _read_states(split)
    kept: list[np.ndarray] = []
    for pair, found in decoded:
        if isinstance(found, UserError):
            problems[pair.id] = str(found)
            continue
        good.append(pair)
        facts[pair.id] = found.facts
        if cache == "memory":
            kept.append(found.record)

    def decode_again(index: int) -> np.ndarray:
        _check_unchanged(good[index], states)
        return decode_pair(good[index]).record

    read = kept.__getitem__ if cache == "memory" else decode_again
    return CachedDataset(len(good), shape, read, problems, facts)


def _open_shards(
    split: Sequence[pairs.Pair], shape: tuple[int, int, int]
) -> CachedDataset:
    """Opens a split of shards, of which nothing is kept in memory."""
    good = [pair for pair in split if pair.stored and not pair.stored.problem]
    problems = {
        pair.id: pair.stored.problem
        for pair in split
        if pair.stored and pair.stored.problem
    }
    facts = {pair.id: pair.stored.facts for pair in good if pair.stored}
    return CachedDataset(
        len(good),
        shape,
        lambda index: shards.read_record(good[index]),
        problems,
        facts,
    )


def decode(
    pair: pairs.Pair, *, size: int, labels: labels_lib.Labels
) -> disk_cache.Decoded:
    """Reads a pair and resizes it to the working size.

    The image is resized with Pillow's antialiased bilinear filter, the label
    map to its nearest neighbors; both become square, as in the paper.

    Returns:
      The record, uint8 [size, size, 3 + labels]: RGB, then the labels in
      {0, 1}; and what the label map tells.

    Raises:
      UserError: one of the files cannot be read, or their sizes differ.
    """
    image, label_map, facts = label_maps.read_pair_and_facts(pair, labels)
    planes = [_resize(image, size, Image.Resampling.BILINEAR)]
    for label in range(labels.count):
        plane = _resize(label_map[..., label], size, Image.Resampling.NEAREST)
        planes.append(plane[..., None])
    return disk_cache.Decoded(np.concatenate(planes, axis=-1), facts)


def _resize(
    plane: np.ndarray, size: int, method: Image.Resampling
) -> np.ndarray:
    if plane.shape[:2] == (size, size):
        return plane
    return np.asarray(Image.fromarray(plane).resize((size, size), method))


def decode_all(
    split: Sequence[pairs.Pair],
    decode_pair: Callable[[pairs.Pair], disk_cache.Decoded],
    *,
    progress: Callable[..., Iterable[pairs.Pair]],
) -> Iterator[tuple[pairs.Pair, disk_cache.Decoded | UserError]]:
    """Yields each pair with its record, or with the error of reading it.

    Several threads decode a few pairs ahead, so that memory stays bounded.
    """

    def decode_or_error(pair: pairs.Pair) -> disk_cache.Decoded | UserError:
        try:
            return decode_pair(pair)
        except UserError as error:
            return error

    with concurrent.futures.ThreadPoolExecutor(DECODING_THREADS) as pool:
        waiting: collections.deque = collections.deque()
        coming = iter(split)
        for pair in progress(split, desc="decoding", unit="pair"):
            while len(waiting) < 4 * DECODING_THREADS and (
                ahead := next(coming, None)
            ):
                waiting.append(pool.submit(decode_or_error, ahead))
            yield pair, waiting.popleft().result()


def _read_states(split: Iterable[pairs.Pair]) -> dict[str, tuple]:
    """Returns the length and the time of every file of the pairs."""
    return {
        path: disk_cache.read_state(path)
        for pair in split
        for path in (pair.image_path, *pair.label_map_paths)
    }


def _check_unchanged(
    pair: pairs.Pair, states: Mapping[str, tuple[int, int]]
) -> None:
    """Checks that the files of a pair are those that training started with.

    Raises:
      UserError: one has changed. Reading it tells if it is missing.
    """
    for path in (pair.image_path, *pair.label_map_paths):
        if disk_cache.read_state(path) not in (states[path], (None, None)):
            raise UserError(
                f"{path} has changed since training started; restore it, or "
                "start over with --noresume."
            )


def _open_on_disk(
    path: str,
    shape: tuple[int, int, int],
    *,
    decoded: Iterable[tuple[pairs.Pair, disk_cache.Decoded | UserError]],
) -> CachedDataset:
    """Opens a file of records, written from ``decoded`` if it is missing."""
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        # A killed process leaves files that may be as large as the cache.
        files.remove_leftovers(os.path.dirname(path))
        index = disk_cache.open_index(path, shape)
        if index is None:
            index = disk_cache.write(path, decoded)
    except OSError as error:
        raise UserError(
            f"--cache (disk) cannot read or write {path} ({error.strerror}); "
            "check the folder and its free space, or use --cache=memory or "
            "--cache=none."
        ) from error
    read = disk_cache.make_reader(path, shape, index.checksums)
    return CachedDataset(
        len(index.checksums), shape, read, index.problems, index.facts
    )


def _check_memory(needed: int) -> None:
    available = _available_memory()
    if available is not None and needed > available:
        raise UserError(
            f"--cache (memory) needs {needed / 1e9:.1f} GB and "
            f"{available / 1e9:.1f} GB are free; use --cache=disk."
        )


def _available_memory() -> int | None:
    """Returns the bytes that a program can still use; None if unknown.

    These are not sysconf's free pages: after some reading of files the system's
    cache fills nearly all of the memory, but it shrinks on demand.
    """
    try:
        with open(MEMORY_FILE, encoding="ascii") as file:
            lines = dict(line.split(":", 1) for line in file)
        return int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, ValueError, KeyError):
        return None
