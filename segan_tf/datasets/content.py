"""Recognizes pairs by what their files hold, wherever they are.

A run records a fingerprint of every image and label map in pairs.json. Data
that was moved is then known as the run's own, and data that was changed is not
taken for it.
"""

import concurrent.futures
import dataclasses
import hashlib
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from segan_tf import config, files, records
from segan_tf import labels as labels_lib
from segan_tf.datasets import pairs, splits

FILE_NAME = "pairs.json"
# Longer images are known by this many bytes in so many equal parts, spread from
# their start to their end: reading more would take as long as decoding. Label
# maps are small, and an edited one of some formats keeps its size: they are
# read whole.
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
      earlier: fingerprints of the images that the run it started from, and
        those before that one, were trained on; None if these are not known.
    """

    pairs: Mapping[str, Fingerprint]
    labels: Mapping[str, Any]
    earlier: frozenset[str] | None = frozenset()


def take_fingerprint(path: str, *, whole: bool = True) -> str:
    """Returns the size of a file and a hash of its content.

    Args:
      path: of the file.
      whole: hash all of a long file rather than parts of it.

    Raises:
      UserError: it cannot be read.
    """
    try:
        with files.open_regular(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            digest = hashlib.sha256()
            if whole or size <= _SAMPLED_BYTES:
                digest.update(file.read())
            else:
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
    if pair.stored:
        return pair.stored.image
    return _identify(pair.image_path, whole=False)


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
    all_pairs: Iterable[pairs.Pair],
    labels: labels_lib.Labels,
    *,
    earlier: frozenset[str] | None = frozenset(),
) -> Record:
    """Makes the record of pairs that are read with these labels.

    Args:
      all_pairs: of the run.
      labels: of their label maps.
      earlier: see `Record`.

    Raises:
      UserError: a file cannot be read.
    """
    return Record(
        take_fingerprints(all_pairs), describe_labels(labels), earlier
    )


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
                "earlier": None
                if record.earlier is None
                else sorted(record.earlier),
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
    reported = records.reported_read_errors(
        path,
        unreadable="check its permissions.",
        damaged="copy it again from where it is whole, or remove it to compare "
        "the pairs by their names alone.",
    )
    try:
        with reported:
            return _parse(records.read(path))
    except FileNotFoundError:
        return None


def find_changed(
    recorded: Mapping[str, Fingerprint], present: Mapping[str, Fingerprint]
) -> list[str]:
    """Returns the ids that are in both and whose files differ."""
    return sorted(
        name
        for name, found in present.items()
        if name in recorded and recorded[name] != found
    )


def has_recorded_image(
    recorded: Mapping[str, Fingerprint], some_pairs: Iterable[pairs.Pair]
) -> bool:
    """Returns whether the image of any of these pairs is the recorded one."""
    return any(
        recorded[name].image == identify_image(pair)
        for pair in some_pairs
        if (name := pairs.normalized(pair.id)) in recorded
    )


def read_trained_images(folder: str) -> frozenset[str] | None:
    """Reads the fingerprints of the images that a run's weights have seen.

    Args:
      folder: of the run.

    Returns:
      The images of its training split and those of the runs that it started
      from; None if they are not all known.

    Raises:
      UserError: a record cannot be read.
    """
    record = read_record(folder)
    if record is None or record.earlier is None:
        return None
    trained = splits.read_split_ids(folder).get("train", ())
    return record.earlier | {
        record.pairs[name].image
        for name in map(pairs.normalized, trained)
        if name in record.pairs
    }


def _identify(path: str, *, whole: bool = True) -> str:
    try:
        return take_fingerprint(path, whole=whole)
    except config.UserError:  # which whoever needs the file reports
        return ""


def _fingerprints(
    all_pairs: Iterable[pairs.Pair], take: Callable[..., str]
) -> dict[str, Fingerprint]:
    """Reads label maps, where an edit may be small, as a whole."""

    def take_both(pair: pairs.Pair) -> tuple[str, Fingerprint]:
        if pair.stored:  # those of the files that it was converted from
            stored = Fingerprint(pair.stored.image, pair.stored.label_maps)
            return pairs.normalized(pair.id), stored
        return pairs.normalized(pair.id), Fingerprint(
            take(pair.image_path, whole=False),
            tuple(map(take, pair.label_map_paths)),
        )

    with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
        return dict(pool.map(take_both, all_pairs))


def _parse(content: Mapping[str, Any]) -> Record:
    """Checks and returns what pairs.json holds.

    Raises:
      KeyError, TypeError, AttributeError: it is not what `write_record` wrote.
    """
    found = {
        name: Fingerprint(
            _text(one["image"]), tuple(map(_text, _list(one["label_maps"])))
        )
        for name, one in content["pairs"].items()
    }
    labels = content["labels"]
    if not isinstance(labels, dict):
        raise TypeError(f"{labels!r} is not an object")
    _list(labels["names"])
    earlier = content["earlier"]
    if earlier is not None:
        earlier = frozenset(map(_text, _list(earlier)))
    return Record(found, labels, earlier)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a text")
    return value


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError(f"{value!r} is not a list")
    return value
