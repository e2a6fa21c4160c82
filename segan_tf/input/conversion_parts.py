"""The parts of a conversion: what is in each shard, and how it is written."""

import dataclasses
import hashlib
import itertools
import math
import os
import re
import shutil
import zlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from segan_tf import files, records, version
from segan_tf import labels as labels_lib
from segan_tf.config import Config, UserError
from segan_tf.datasets import (
    content,
    findings,
    loading,
    pairs,
    shard_index,
    shards,
)
from segan_tf.input import cached_dataset, disk_cache

# Of a shard: what is lost when a conversion is killed. Ours.
SHARD_BYTES = 128 * 1024**2
_SHARD_FILE = re.compile(r"pairs-(\d{5})\.(?:tfrecord|json)")
_NO_FACTS = findings.MapFacts(())  # of a pair that cannot be read

_Decoded = tuple[pairs.Pair, disk_cache.Decoded | UserError]


@dataclasses.dataclass(frozen=True)
class Part:
    """The pairs of one shard.

    Attributes:
      name: of the shard.
      pairs: in the order of the ids.
      key: changes with the files of the pairs and with how they are read.
    """

    name: str
    pairs: Sequence[pairs.Pair]
    key: str


@dataclasses.dataclass(frozen=True)
class Job:
    """What is converted, and to what."""

    config: Config
    labels: labels_lib.Labels
    loaded: loading.LoadedPairs
    style_of: Mapping[str, str]
    folder: str

    @property
    def size(self) -> int:
        """The side of the records in pixels."""
        return cached_dataset.working_size(self.config.image_size)

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape of a record."""
        return self.size, self.size, 3 + self.labels.count

    @property
    def record_bytes(self) -> int:
        """The bytes of the pixels of a record."""
        return math.prod(self.shape)

    def style(self, pair: pairs.Pair) -> str:
        """Returns the annotation style of a pair, or ""."""
        return self.style_of.get(pairs.normalized(pair.id), "")


def divide(job: Job) -> list[Part]:
    """Divides the pairs into shards of about equal size."""
    found = job.loaded.pairs
    count = -(-len(found) * job.record_bytes // SHARD_BYTES)
    bounds = [len(found) * number // count for number in range(count + 1)]
    parts = []
    for number, (first, last) in enumerate(itertools.pairwise(bounds)):
        chosen = found[first:last]
        digest = hashlib.sha256(
            repr((version.VERSION, job.size, job.labels)).encode()
        )
        for pair in chosen:
            doubt = job.loaded.doubts.get(pair.id, "")
            files_of = (pair.image_path, *pair.label_map_paths)
            states = [(path, *disk_cache.read_state(path)) for path in files_of]
            about = pair.id, pair.split, job.style(pair), doubt, states
            digest.update(repr(about).encode())
        name = shard_index.shard_name(number)
        parts.append(Part(name, chosen, digest.hexdigest()))
    return parts


def clean_up(folder: str, num_parts: int) -> None:
    """Removes what an earlier conversion of other pairs left behind."""
    files.remove_leftovers(folder)
    for name in os.listdir(folder):
        shard = _SHARD_FILE.fullmatch(name)
        if name == shard_index.STYLES_NAME or (
            shard and int(shard[1]) >= num_parts
        ):
            os.remove(os.path.join(folder, name))


def is_finished(folder: str, part: Part, *, may_lack: bool) -> bool:
    """Tells whether a shard is whole, and of these pairs.

    Args:
      folder: of the conversion.
      part: what the shard is to hold.
      may_lack: whether pairs may be left out. Otherwise they are tried again:
        what was wrong may have been a disk that did not answer.
    """
    try:
        found = records.read(
            shard_index.list_path(folder, part.name), kind=shard_index.FILE_NAME
        )
        lacks = any(entry["problem"] for entry in found["pairs"])
        return (
            found["key"] == part.key
            and (may_lack or not lacks)
            and shard_index.hash_file(
                shard_index.record_path(folder, part.name)
            )
            == found["sha256"]
        )
    except (OSError, ValueError, KeyError, UserError):
        return False


def check_space(job: Job, pending: Sequence[Part]) -> None:
    """Checks that the disk has room for the shards that are missing.

    Raises:
      UserError: it has not.
    """
    count = sum(len(part.pairs) for part in pending)
    needed = count * job.record_bytes
    free = shutil.disk_usage(job.folder).free
    if needed > free:
        raise UserError(
            f"--output_dir ({job.config.output_dir}) needs "
            f"{needed / 1e9:.1f} GB for {count} pairs, and {free / 1e9:.1f} GB "
            "are free; give a folder on a larger disk."
        )


def write_part(job: Job, part: Part, decoded: Iterator[_Decoded]) -> None:
    """Writes a shard and then the file that describes it."""
    from segan_tf.input import shard_writer

    results: list[tuple[pairs.Pair, findings.MapFacts | UserError]] = []
    checksums: list[int] = []

    def take_readable() -> Iterator[tuple[pairs.Pair, str, np.ndarray]]:
        for pair, found in itertools.islice(decoded, len(part.pairs)):
            if isinstance(found, UserError):
                results.append((pair, found))
                continue
            results.append((pair, found.facts))
            checksums.append(zlib.crc32(found.record.tobytes()))
            yield pair, job.style(pair), found.record

    path = shard_index.record_path(job.folder, part.name)
    offsets = shard_writer.write(path, take_readable())
    places = zip(offsets, checksums, strict=True)
    fingerprints = content.identify_pairs(part.pairs)
    entries = []
    for pair, found in results:
        is_bad = isinstance(found, UserError)
        offset, checksum = (0, 0) if is_bad else next(places)
        taken = fingerprints[pairs.normalized(pair.id)]
        stored = pairs.Stored(
            job.shape,
            offset,
            checksum,
            taken.image,
            taken.label_maps,
            _NO_FACTS if isinstance(found, UserError) else found,
            doubt=job.loaded.doubts.get(pair.id, ""),
            problem=str(found) if is_bad else "",
        )
        entries.append(shards.describe_pair(pair, stored))
    records.write(
        shard_index.list_path(job.folder, part.name),
        {
            "key": part.key,
            "sha256": shard_index.hash_file(path),
            "pairs": entries,
        },
        kind=shard_index.FILE_NAME,
    )
