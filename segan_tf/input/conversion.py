"""Converts the pairs of an archive to shards (--mode=convert).

Training reads an archive at its own pace then: no image is decoded again, and
nothing but the batch is held in memory.
"""

import csv
import dataclasses
import functools
import io
import os
from collections.abc import Mapping, Sequence

from segan_tf import (
    console,
    environment,
    files,
    records,
    run_lock,
    startup,
)
from segan_tf.config import Config, UserError
from segan_tf.datasets import (
    findings,
    loading,
    pairs,
    shard_index,
    shards,
    splits,
    style_lists,
)
from segan_tf.input import cached_dataset, conversion_parts

_PARTIAL = ".partial"  # ends the name of a folder that is not complete


@dataclasses.dataclass(frozen=True)
class Conversion:
    """What a conversion wrote.

    Attributes:
      index: of the shards.
      num_skipped: pairs that could not be read.
    """

    index: shard_index.Index
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
    if not loaded.pairs:
        raise UserError(
            f"--data_dir ({config.data_dir}) has no pair that can be used; see "
            "what is said of the files above."
        )
    style_of = _read_styles(config, loaded.pairs)
    job = conversion_parts.Job(
        config, labels, loaded, style_of, output + _PARTIAL
    )
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
    if shard_index.is_shards(config.data_dir):
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
    if os.path.ismount(output) or os.path.islink(output):
        raise UserError(
            f"--output_dir ({output}) is a mount point or a link, which the "
            "finished folder cannot replace; give a new folder inside it."
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
    job: conversion_parts.Job, command: Sequence[str]
) -> tuple[shard_index.Index, int]:
    """Writes what is missing; returns the index and the number of bad pairs."""
    parts = conversion_parts.divide(job)
    conversion_parts.clean_up(job.folder, len(parts))
    finished = {
        part.name: conversion_parts.is_finished(
            job.folder, part, may_lack=job.config.skip_bad_pairs
        )
        for part in parts
    }
    pending = [part for part in parts if not finished[part.name]]
    if len(pending) < len(parts):
        console.say(
            f"{len(parts) - len(pending)} of {len(parts)} shards are in "
            f"{job.folder} already"
        )
    conversion_parts.check_space(job, pending)
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
        conversion_parts.write_part(job, part, decoded)
    next(decoded, None)  # ends the progress bar
    index = _make_index(job, parts, command)
    num_skipped = _check_content(index, job)
    shard_index.write(index)
    return index, num_skipped


def _check_content(index: shard_index.Index, job: conversion_parts.Job) -> int:
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
    job: conversion_parts.Job,
    parts: Sequence[conversion_parts.Part],
    command: Sequence[str],
) -> shard_index.Index:
    """Describes what is written, and writes the list of styles."""
    written = []
    for part in parts:
        path = shard_index.record_path(job.folder, part.name)
        listed = shard_index.list_path(job.folder, part.name)
        written.append(
            shard_index.Shard(
                part.name,
                len(part.pairs),
                os.path.getsize(path),
                records.read(listed, kind=shard_index.FILE_NAME)["sha256"],
                shard_index.hash_file(listed),
            )
        )
    return shard_index.Index(
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


def _write_styles(job: conversion_parts.Job) -> str:
    """Writes the list of styles; returns its SHA-256, or "" without styles."""
    if not job.style_of:
        return ""
    # As it was read, unlike tables for spreadsheets.
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([("id", "style"), *sorted(job.style_of.items())])
    path = os.path.join(job.folder, shard_index.STYLES_NAME)
    files.write_text(path, text.getvalue())
    return shard_index.hash_file(path)
