"""Shards: pairs that were decoded to the working size, in TFRecord files.

`--mode=convert` writes a folder of them. Each pair is found by its place in its
file, so that pairs are read in any order, one at a time:

    shards.json           settings, labels, and the checksum of every file
    pairs-00000.tfrecord  tf.train.Example with id, pixels, shape, split, style
    pairs-00000.json      of each pair: id, place, checksum, fingerprints
    styles.csv            the annotation styles, if there are any
"""

import dataclasses
import hashlib
import json
import math
import os
import re
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from segan_tf import config, files, records
from segan_tf import labels as labels_lib
from segan_tf.datasets import findings, pairs
from segan_tf.imaging import size_limits

FILE_NAME = "shards.json"
STYLES_NAME = "styles.csv"
_NAME = re.compile(r"pairs-\d{5}")
_REMEDY = "copy it again from where it is whole, or convert again."
_BLOCK = 1 << 20  # bytes read at once to compute a checksum


@dataclasses.dataclass(frozen=True)
class Shard:
    """A file of records and the file that describes them.

    Attributes:
      name: of both, without their endings.
      num_pairs: that they hold.
      num_bytes: of the file of records.
      sha256: of the file of records.
      list_sha256: of the file that describes them.
    """

    name: str
    num_pairs: int
    num_bytes: int
    sha256: str
    list_sha256: str


@dataclasses.dataclass(frozen=True)
class Index:
    """What shards.json holds.

    Attributes:
      folder: of the shards.
      image_size: that they were made for.
      size: side of the records in pixels.
      labels: one channel each, and how the label maps marked them.
      shards: in the order of the ids.
      problems: a line for each file that is in no pair.
      notes: on what was left out on purpose.
      left_out: ids of the images and label maps that are in no pair.
      styles_sha256: of the list of annotation styles, or "".
      made: from which folder, by which command and versions.
    """

    folder: str
    image_size: int
    size: int
    labels: labels_lib.Labels
    shards: tuple[Shard, ...]
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    styles_sha256: str = ""
    made: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def path(self) -> str:
        """The file that holds it."""
        return os.path.join(self.folder, FILE_NAME)

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape of a record."""
        return self.size, self.size, 3 + self.labels.count


def is_shards(folder: str) -> bool:
    """Tells whether a folder holds shards.

    Raises:
      UserError: it holds some, but not the file that describes them.
    """
    if not folder:
        return False
    if os.path.lexists(os.path.join(folder, FILE_NAME)):
        return True
    first = record_path(folder, shard_name(0))
    if os.path.exists(first):
        raise config.UserError(
            f"--data_dir ({folder}) holds shards without their {FILE_NAME}, "
            "which is written last; repeat the --mode=convert that wrote them, "
            "which goes on where it stopped, or copy that file, too."
        )
    return False


def shard_name(number: int) -> str:
    """Returns the name of a shard without its endings."""
    return f"pairs-{number:05}"


def record_path(folder: str, name: str) -> str:
    """Returns the path of a file of records."""
    return os.path.join(folder, f"{name}.tfrecord")


def list_path(folder: str, name: str) -> str:
    """Returns the path of the file that describes a shard."""
    return os.path.join(folder, f"{name}.json")


def hash_file(path: str) -> str:
    """Returns the SHA-256 of a file.

    Raises:
      OSError: it cannot be read.
    """
    digest = hashlib.sha256()
    with files.open_regular(path, "rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def write_index(index: Index) -> None:
    """Writes shards.json.

    Raises:
      OSError: it cannot be written.
    """
    content = dataclasses.asdict(index)
    del content["folder"]
    content["checksum"] = _checksum_of(content)
    records.write(index.path, content)


def read_index(folder: str) -> Index:
    """Reads shards.json.

    Raises:
      UserError: it is damaged, or of a newer version.
    """
    path = os.path.join(folder, FILE_NAME)
    with records.reported_read_errors(path, damaged=_REMEDY):
        content = records.read(path)
        if content.pop("checksum") != _checksum_of(content):
            raise ValueError("its checksum is another one")
        return _parse_index(folder, content)


def _checksum_of(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _parse_index(folder: str, content: Mapping[str, Any]) -> Index:
    """Checks what shards.json holds.

    Raises:
      KeyError, TypeError, ValueError: it is not what `write_index` wrote.
    """
    labels = content["labels"]
    index = Index(
        folder,
        image_size=content["image_size"],
        size=content["size"],
        labels=labels_lib.Labels(
            tuple(labels["names"]),
            labels["multiclass"],
            tuple((value, label) for value, label in labels["marks"]),
            labels["by_color"],
        ),
        shards=tuple(Shard(**shard) for shard in content["shards"]),
        **{
            name: tuple(content[name])
            for name in ("problems", "notes", "left_out")
        },
        styles_sha256=content["styles_sha256"],
        made=content["made"],
    )
    # What decides how much memory a record takes, and which files are opened.
    if (
        not size_limits.MIN_SIDE
        <= index.size
        <= math.isqrt(size_limits.MAX_PIXELS)
    ):
        raise ValueError(f"size is {index.size}")
    if not 1 <= index.labels.count <= config.MAX_LABELS:
        raise ValueError(f"there are {index.labels.count} labels")
    for shard in index.shards:
        if not _NAME.fullmatch(shard.name):
            raise ValueError(f"a shard is called {shard.name!r}")
    return index


def find_pairs(folder: str) -> pairs.DiscoveredPairs:
    """Finds the pairs of a folder of shards.

    Raises:
      UserError: a file is missing, has another length than was written, or
        is damaged; names it.
    """
    index = read_index(folder)
    if index.styles_sha256:
        _check_hash(
            os.path.join(folder, STYLES_NAME),
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


def read_pairs(index: Index) -> list[pairs.Pair]:
    """Reads which pairs the shards hold, and checks the lengths of the files.

    Raises:
      UserError: a file is missing, has another length than was written, or
        is damaged; names it.
    """
    return [pair for shard in index.shards for pair in _read(index, shard)]


def _read(index: Index, shard: Shard) -> list[pairs.Pair]:
    """Reads which pairs a shard holds, and checks its length."""
    path = record_path(index.folder, shard.name)
    try:
        num_bytes = os.stat(path).st_size
    except OSError as error:
        raise config.UserError(
            f"{path} cannot be read ({error.strerror}); {_REMEDY}"
        ) from error
    if num_bytes != shard.num_bytes:
        raise config.UserError(
            f"{path} has {num_bytes} bytes instead of {shard.num_bytes}; "
            f"{_REMEDY}"
        )
    listed = list_path(index.folder, shard.name)
    _check_hash(listed, shard.list_sha256)
    with records.reported_read_errors(listed, damaged=_REMEDY):
        entries = records.read(listed, kind=FILE_NAME)["pairs"]
        return [_parse_pair(entry, path, index) for entry in entries]


def _check_hash(path: str, sha256: str, *, remedy: str = _REMEDY) -> None:
    """Checks that a file is the one that was written.

    Raises:
      UserError: it is not.
    """
    try:
        is_same = hash_file(path) == sha256
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
    entry: Mapping[str, Any], path: str, index: Index
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
            f"{path} cannot be read ({error.strerror}); {_REMEDY}"
        ) from error
    if zlib.crc32(data) != stored.checksum or len(data) != length:
        raise config.UserError(f"{path} is damaged (pair {pair.id}); {_REMEDY}")
    return np.frombuffer(data, np.uint8).reshape(stored.shape)


def find_damage(folder: str, *, progress: Callable[..., Iterable]) -> list[str]:
    """Reads every shard completely; returns a line for each damaged one."""
    index = read_index(folder)
    damage = []
    for shard in progress(index.shards, desc="reading shards", unit="file"):
        try:
            _check_hash(record_path(folder, shard.name), shard.sha256)
        except config.UserError as error:
            damage.append(str(error))
    return damage


def side_of(some_pairs: Sequence[pairs.Pair]) -> int:
    """Returns the side of pairs in shards in pixels; 0 for other pairs."""
    stored = some_pairs[0].stored if some_pairs else None
    return stored.shape[0] if stored else 0
