"""Converts the pairs of an archive to shards (--mode=convert).

Training reads an archive at its own pace then: no image is decoded again, and
nothing but the batch is held in memory.
"""

import csv
import dataclasses
import functools
import hashlib
import io
import itertools
import math
import os
import re
import shutil
import zlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from segan_tf import (
    console,
    environment,
    files,
    records,
    run_lock,
    startup,
    version,
)
from segan_tf import labels as labels_lib
from segan_tf.config import Config, UserError
from segan_tf.datasets import (
    content,
    findings,
    loading,
    pairs,
    shards,
    splits,
    style_lists,
)
from segan_tf.input import cached_dataset, disk_cache

# Of a shard: what is lost when a conversion is killed. Ours.
SHARD_BYTES = 128 * 1024**2
_PARTIAL = ".partial"  # ends the name of a folder that is not complete
_SHARD_FILE = re.compile(r"pairs-(\d{5})\.(?:tfrecord|json)")
_NO_FACTS = findings.MapFacts(())  # of a pair that cannot be read

_Decoded = tuple[pairs.Pair, disk_cache.Decoded | UserError]


@dataclasses.dataclass(frozen=True)
class Conversion:
    """What a conversion wrote.

    Attributes:
      index: of the shards.
      num_skipped: pairs that could not be read.
    """

    index: shards.Index
    num_skipped: int

    def summary(self) -> str:
        """Describes the shards for the terminal."""
        index = self.index
        num_pairs = sum(shard.num_pairs for shard in index.shards)
        num_bytes = sum(shard.num_bytes for shard in index.shards)
        return (
            f"{num_pairs - self.num_skipped} pairs at {index.size}x{index.size}"
            f" pixels in {len(index.shards)} shard"
            f"{'s' * (len(index.shards) > 1)} ({num_bytes / 1e6:,.1f} MB) in "
            f"{index.folder}\nnext: train with --data_dir={index.folder} "
            f"--image_size={index.image_size} and the other flags as for the "
            "folder"
        )


@dataclasses.dataclass(frozen=True)
class _Part:
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
class _Job:
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


def convert(config: Config, *, command: Sequence[str] = ()) -> Conversion:
    """Writes the pairs to shards in ``output_dir``.

    They are written to a folder beside it, which takes its name when it is
    complete. After a stop of any kind the same call goes on with the first
    shard that is missing.

    Args:
      config: names the pairs, and the image_size to convert them for.
      command: recorded in shards.json.

    Raises:
      UserError: ``output_dir`` cannot be used; a pair cannot be read, and
        ``skip_bad_pairs`` is not set; or it would be wrong to train on them.
    """
    _check_given(config)
    output = os.path.abspath(config.output_dir)
    _check_free(output)
    labels = loading.load_labels(config)
    loaded = loading.load_pairs(
        config, labels, progress=console.bar, say=console.say
    )
    style_of = _read_styles(config, loaded.pairs)
    job = _Job(config, labels, loaded, style_of, output + _PARTIAL)
    parent, name = os.path.split(output)
    with files.reported_write_errors(output):
        os.makedirs(job.folder, exist_ok=True)
        with run_lock.hold(
            parent, flag="--output_dir", user="conversion", part=f".{name}"
        ):
            _check_free(output)
            index, num_skipped = _write_shards(job, command)
            os.rename(job.folder, output)
    return Conversion(
        dataclasses.replace(index, folder=config.output_dir), num_skipped
    )


def _check_given(config: Config) -> None:
    if "output_dir" not in config.given:
        raise UserError(
            "--output_dir is missing; give a new folder for the shards."
        )
    if shards.is_shards(config.data_dir):
        raise UserError(
            f"--data_dir ({config.data_dir}) holds shards already; give the "
            "folder of the images."
        )


def _check_free(output: str) -> None:
    """Checks that nothing would be replaced.

    Raises:
      UserError: the folder holds something, or is a file.
    """
    if os.path.lexists(output) and not (
        os.path.isdir(output) and not os.listdir(output)
    ):
        raise UserError(
            f"--output_dir ({output}) is there already; give a new folder, or "
            "remove it."
        )


def _read_styles(
    config: Config, all_pairs: Sequence[pairs.Pair]
) -> Mapping[str, str]:
    path = style_lists.find_file(config, say=console.say)
    if not path:
        return {}
    # For reading the list it does not matter which split a pair is in.
    divided = splits.Splits(train=tuple(all_pairs))
    return style_lists.read_styles(path, divided, say=console.say)


def _write_shards(
    job: _Job, command: Sequence[str]
) -> tuple[shards.Index, int]:
    """Writes what is missing; returns the index and the number of bad pairs."""
    parts = _divide(job)
    _clean_up(job.folder, len(parts))
    finished = {part.name: _find_finished(job.folder, part) for part in parts}
    pending = [part for part in parts if not finished[part.name]]
    if len(pending) < len(parts):
        console.say(
            f"{len(parts) - len(pending)} of {len(parts)} shards are in "
            f"{job.folder} already"
        )
    _check_space(job, pending)
    startup.import_tensorflow()
    total = len(job.loaded.pairs)
    left = [pair for part in pending for pair in part.pairs]
    decoded = cached_dataset.decode_all(
        left,
        functools.partial(
            cached_dataset.decode, size=job.size, labels=job.labels
        ),
        progress=functools.partial(
            console.bar, total=total, initial=total - len(left)
        ),
    )
    for part in pending:
        _write_part(job, part, decoded)
    next(decoded, None)  # ends the progress bar
    index = _make_index(job, parts, command)
    num_skipped = _check_content(index, job)
    shards.write_index(index)
    return index, num_skipped


def _divide(job: _Job) -> list[_Part]:
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
        name = shards.shard_name(number)
        parts.append(_Part(name, chosen, digest.hexdigest()))
    return parts


def _clean_up(folder: str, num_parts: int) -> None:
    """Removes what an earlier conversion of other pairs left behind."""
    files.remove_leftovers(folder)
    for name in os.listdir(folder):
        shard = _SHARD_FILE.fullmatch(name)
        if name == shards.STYLES_NAME or (shard and int(shard[1]) >= num_parts):
            os.remove(os.path.join(folder, name))


def _find_finished(folder: str, part: _Part) -> bool:
    """Tells whether a shard is whole, and of these pairs."""
    try:
        found = records.read(
            shards.list_path(folder, part.name), kind=shards.FILE_NAME
        )
        return (
            found["key"] == part.key
            and shards.hash_file(shards.record_path(folder, part.name))
            == found["sha256"]
        )
    except (OSError, ValueError, KeyError, UserError):
        return False


def _check_space(job: _Job, pending: Sequence[_Part]) -> None:
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


def _write_part(job: _Job, part: _Part, decoded: Iterator[_Decoded]) -> None:
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

    path = shards.record_path(job.folder, part.name)
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
        shards.list_path(job.folder, part.name),
        {"key": part.key, "sha256": shards.hash_file(path), "pairs": entries},
        kind=shards.FILE_NAME,
    )


def _check_content(index: shards.Index, job: _Job) -> int:
    """Checks all pairs as training does; returns the number of bad ones.

    Raises:
      UserError: some cannot be read, unless these are skipped; or it would be
        wrong to train on them.
    """
    found = [
        (pair.id, pair.stored)
        for pair in shards.read_pairs(index)
        if pair.stored
    ]
    problems = [stored.problem for _, stored in found if stored.problem]
    loading.report_problems(job.config, problems, say=console.say)
    findings.report(
        {name: stored.facts for name, stored in found if not stored.problem},
        job.labels,
        what="label maps",
        say=console.say,
    )
    return len(problems)


def _make_index(
    job: _Job, parts: Sequence[_Part], command: Sequence[str]
) -> shards.Index:
    """Describes what is written, and writes the list of styles."""
    written = []
    for part in parts:
        path = shards.record_path(job.folder, part.name)
        listed = shards.list_path(job.folder, part.name)
        written.append(
            shards.Shard(
                part.name,
                len(part.pairs),
                os.path.getsize(path),
                records.read(listed, kind=shards.FILE_NAME)["sha256"],
                shards.hash_file(listed),
            )
        )
    return shards.Index(
        job.folder,
        job.config.image_size,
        job.size,
        job.labels,
        tuple(written),
        tuple(job.loaded.problems),
        tuple(job.loaded.notes),
        tuple(sorted(job.loaded.left_out)),
        _write_styles(job),
        {
            "from": job.config.data_dir or job.config.image_dir,
            "skip_bad_pairs": job.config.skip_bad_pairs,
            **environment.describe(command),
        },
    )


def _write_styles(job: _Job) -> str:
    """Writes the list of styles; returns its SHA-256, or "" without styles."""
    if not job.style_of:
        return ""
    # As it was read, unlike tables for spreadsheets.
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([("id", "style"), *sorted(job.style_of.items())])
    path = os.path.join(job.folder, shards.STYLES_NAME)
    files.write_text(path, text.getvalue())
    return shards.hash_file(path)
