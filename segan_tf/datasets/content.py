"""Recognizes pairs by what their files hold, wherever they are.

A run records a fingerprint of every image and label map in pairs.json. Data
that was moved is then known as the run's own, and data that was changed is not
taken for it.
"""

import concurrent.futures
import dataclasses
import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from segan_tf import config, files, records
from segan_tf import labels as labels_lib
from segan_tf.datasets import pairs

FILE_NAME = "pairs.json"
# Longer files are known by this many bytes in so many equal parts, spread from
# their start to their end: reading more would take as long as decoding.
_SAMPLED_BYTES = 256 * 1024
_PARTS = 16
_THREADS = 4


@dataclasses.dataclass(frozen=True)
class Fingerprint:
    """What tells the files of a pair from others.

    Attributes:
      image: of the image.
      label_maps: of each label map.
    """

    image: str
    label_maps: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Record:
    """What a run was trained on.

    Attributes:
      pairs: by id.
      labels: how the label maps were read.
    """

    pairs: Mapping[str, Fingerprint]
    labels: Mapping[str, Any]


def take_fingerprint(path: str) -> str:
    """Returns the size of a file and a hash of its content.

    Raises:
      UserError: it cannot be read.
    """
    try:
        with files.open_regular(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size <= _SAMPLED_BYTES:
                digest = hashlib.sha256(file.read())
            else:
                digest = hashlib.sha256()
                part = _SAMPLED_BYTES // _PARTS
                for number in range(_PARTS):
                    file.seek((size - part) * number // (_PARTS - 1))
                    digest.update(file.read(part))
    except OSError as error:
        raise config.UserError(
            f"{path} cannot be read ({error.strerror}); check the file and its "
            "permissions."
        ) from error
    return f"{size}:{digest.hexdigest()[:16]}"


def identify_image(pair: pairs.Pair) -> str:
    """Returns the fingerprint of an image; "" if it cannot be read."""
    return _identify(pair.image_path)


def identify_pairs(
    all_pairs: Iterable[pairs.Pair],
) -> dict[str, Fingerprint]:
    """Returns fingerprints by id, with "" for what cannot be read."""
    return _fingerprints(all_pairs, _identify)


def take_fingerprints(
    all_pairs: Iterable[pairs.Pair],
) -> dict[str, Fingerprint]:
    """Returns the fingerprints of pairs by id.

    Raises:
      UserError: a file cannot be read.
    """
    return _fingerprints(all_pairs, take_fingerprint)


def describe_labels(labels: labels_lib.Labels) -> dict[str, Any]:
    """Describes how label maps are read, as a record does."""
    return {
        "names": list(labels.names),
        "marks": [list(mark) for mark in labels.marks],
        "by_color": labels.by_color,
    }


def make_record(
    all_pairs: Iterable[pairs.Pair], labels: labels_lib.Labels
) -> Record:
    """Makes the record of pairs that are read with these labels.

    Raises:
      UserError: a file cannot be read.
    """
    return Record(take_fingerprints(all_pairs), describe_labels(labels))


def write_record(record: Record, folder: str) -> None:
    """Writes pairs.json into a folder.

    Raises:
      UserError: it cannot be written.
    """
    path = os.path.join(folder, FILE_NAME)
    with files.reported_write_errors(path):
        records.write(
            path,
            {
                "labels": record.labels,
                "pairs": {
                    name: dataclasses.asdict(found)
                    for name, found in record.pairs.items()
                },
            },
        )


def read_record(folder: str) -> Record | None:
    """Reads pairs.json; None if the run is older than it.

    Raises:
      UserError: it cannot be read.
    """
    path = os.path.join(folder, FILE_NAME)
    try:
        content = records.read(path)
        found = {
            name: Fingerprint(str(one["image"]), tuple(one["label_maps"]))
            for name, one in content["pairs"].items()
        }
        return Record(found, dict(content["labels"]))
    except FileNotFoundError:
        return None
    except records.NewerFormatError:
        raise
    except OSError as error:
        raise config.UserError(
            f"{path} cannot be read ({error.strerror}); check its permissions."
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise config.UserError(
            f"{path} cannot be understood ({error!r}); copy it again from "
            "where it is whole, or remove it to compare the pairs by their "
            "names alone."
        ) from error


def find_changed(
    recorded: Mapping[str, Fingerprint], present: Mapping[str, Fingerprint]
) -> list[str]:
    """Returns the ids that are in both and whose files differ."""
    return sorted(
        name
        for name, found in present.items()
        if name in recorded and recorded[name] != found
    )


def with_recorded_images(
    recorded: Mapping[str, Fingerprint], some_pairs: Sequence[pairs.Pair]
) -> set[str]:
    """Returns the ids of those pairs whose image is the recorded one."""
    return {
        pair.id
        for pair in some_pairs
        if (known := recorded.get(pairs.normalized(pair.id)))
        and known.image == identify_image(pair)
    }


def _identify(path: str) -> str:
    try:
        return take_fingerprint(path)
    except config.UserError:  # which whoever needs the file reports
        return ""


def _fingerprints(
    all_pairs: Iterable[pairs.Pair], take: Callable[[str], str]
) -> dict[str, Fingerprint]:
    def take_both(pair: pairs.Pair) -> tuple[str, Fingerprint]:
        return pairs.normalized(pair.id), Fingerprint(
            take(pair.image_path), tuple(map(take, pair.label_map_paths))
        )

    with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
        return dict(pool.map(take_both, all_pairs))
