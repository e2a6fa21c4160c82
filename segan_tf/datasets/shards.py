"""Shards: pairs that were decoded to the working size, in TFRecord files.

`--mode=convert` writes a folder of them, see `shard_index`. Each pair is found
by its place in its file, so that pairs are read in any order, one at a time.
"""

import dataclasses
import math
import os
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from segan_tf import config, files, records
from segan_tf.datasets import findings, pairs, shard_index


def find_pairs(folder: str) -> pairs.DiscoveredPairs:
    """Finds the pairs of a folder of shards.

    Raises:
      UserError: a file is missing, has another length than was written, or
        is damaged; names it.
    """
    index = shard_index.read(folder)
    if index.styles_sha256:
        _check_hash(
            os.path.join(folder, shard_index.STYLES_NAME),
            index.styles_sha256,
            remedy="copy it again, or convert again with these --styles.",
        )
    found = read_pairs(index)
    return pairs.DiscoveredPairs(
        tuple(found),
        index.problems,
        (
            *index.notes,
            f"{folder} holds {len(found)} pairs of {index.size}x{index.size} "
            f"pixels, converted for --image_size={index.image_size}",
        ),
        frozenset(index.left_out),
    )


def read_pairs(index: shard_index.Index) -> list[pairs.Pair]:
    """Reads which pairs the shards hold, and checks the lengths of the files.

    Raises:
      UserError: a file is missing, has another length than was written, or
        is damaged; names it.
    """
    return [pair for shard in index.shards for pair in _read(index, shard)]


def _read(
    index: shard_index.Index, shard: shard_index.Shard
) -> list[pairs.Pair]:
    """Reads which pairs a shard holds, and checks its length."""
    path = shard_index.record_path(index.folder, shard.name)
    try:
        num_bytes = os.stat(path).st_size
    except OSError as error:
        raise config.UserError(
            f"{path} cannot be read ({error.strerror}); {shard_index.REMEDY}"
        ) from error
    if num_bytes != shard.num_bytes:
        raise config.UserError(
            f"{path} has {num_bytes} bytes instead of {shard.num_bytes}; "
            f"{shard_index.REMEDY}"
        )
    listed = shard_index.list_path(index.folder, shard.name)
    _check_hash(listed, shard.list_sha256)
    with records.reported_read_errors(listed, damaged=shard_index.REMEDY):
        entries = records.read(listed, kind=shard_index.FILE_NAME)["pairs"]
        return [_parse_pair(entry, path, index) for entry in entries]


def _check_hash(
    path: str, sha256: str, *, remedy: str = shard_index.REMEDY
) -> None:
    """Checks that a file is the one that was written.

    Raises:
      UserError: it is not.
    """
    try:
        is_same = shard_index.hash_file(path) == sha256
    except OSError as error:
        raise config.UserError(
            f"{path} cannot be read ({error.strerror}); {remedy}"
        ) from error
    if not is_same:
        raise config.UserError(
            f"{path} is not the file that was written there; {remedy}"
        )


def describe_pair(pair: pairs.Pair, stored: pairs.Stored) -> dict[str, Any]:
    """Describes a pair as the file of a shard does."""
    content = dataclasses.asdict(stored)
    del content["shape"]
    return {"id": pair.id, "split": pair.split, **content}


def _parse_pair(
    entry: Mapping[str, Any], path: str, index: shard_index.Index
) -> pairs.Pair:
    stored = pairs.Stored(
        index.shape,
        entry["offset"],
        entry["checksum"],
        entry["image"],
        tuple(entry["label_maps"]),
        findings.MapFacts.from_json(entry["facts"]),
        entry["doubt"],
        entry["problem"],
    )
    return pairs.Pair(entry["id"], path, (path,), entry["split"], stored)


def read_record(pair: pairs.Pair) -> np.ndarray:
    """Reads a pair of a shard; safe to call from several threads.

    The file is opened at each call: that takes 15 us, an archive may have more
    shards than a process may open files, and a shard that was replaced
    meanwhile is found.

    Returns:
      uint8 [size, size, 3 + labels]: RGB, then the labels in {0, 1}.

    Raises:
      UserError: there is no record, or the shard cannot be read or is damaged.
    """
    path, stored = pair.image_path, pair.stored
    if stored is None:
        raise ValueError(f"{pair.id} is in no shard")
    if stored.problem:
        raise config.UserError(stored.problem)
    try:
        with files.open_regular(path, "rb", buffering=0) as file:
            length = math.prod(stored.shape)
            data = os.pread(file.fileno(), length, stored.offset)
    except OSError as error:
        raise config.UserError(
            f"{path} cannot be read ({error.strerror}); {shard_index.REMEDY}"
        ) from error
    if zlib.crc32(data) != stored.checksum or len(data) != length:
        raise config.UserError(
            f"{path} is damaged (pair {pair.id}); {shard_index.REMEDY}"
        )
    return np.frombuffer(data, np.uint8).reshape(stored.shape)


def find_damage(folder: str, *, progress: Callable[..., Iterable]) -> list[str]:
    """Reads every shard completely; returns a line for each damaged one."""
    index = shard_index.read(folder)
    damage = []
    for shard in progress(index.shards, desc="reading shards", unit="file"):
        try:
            _check_hash(
                shard_index.record_path(folder, shard.name), shard.sha256
            )
        except config.UserError as error:
            damage.append(str(error))
    return damage


def side_of(some_pairs: Sequence[pairs.Pair]) -> int:
    """Returns the side of pairs in shards in pixels; 0 for other pairs."""
    stored = some_pairs[0].stored if some_pairs else None
    return stored.shape[0] if stored else 0
