"""The index of a folder of shards: shards.json, and the names of its files.

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
from collections.abc import Mapping
from typing import Any

from segan_tf import config, files, records
from segan_tf import labels as labels_lib
from segan_tf.imaging import size_limits

FILE_NAME = "shards.json"
STYLES_NAME = "styles.csv"
REMEDY = "copy it again from where it is whole, or convert again."
_NAME = re.compile(r"pairs-\d{5}")
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


def write(index: Index) -> None:
    """Writes shards.json.

    Raises:
      OSError: it cannot be written.
    """
    content = dataclasses.asdict(index)
    del content["folder"]
    content["checksum"] = _checksum_of(content)
    records.write(index.path, content)


def read(folder: str) -> Index:
    """Reads shards.json.

    Raises:
      UserError: it is damaged, or of a newer version.
    """
    path = os.path.join(folder, FILE_NAME)
    with records.reported_read_errors(path, damaged=REMEDY):
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
      KeyError, TypeError, ValueError: it is not what `write` wrote.
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
