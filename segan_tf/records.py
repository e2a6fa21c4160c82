"""JSON files that describe runs and models, each with a format number.

A file without a number has format 1, from before there were numbers. A
format's number rises when an older reader would misunderstand the file. Every
format up to the present one is read.
"""

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from typing import Any

from segan_tf import files
from segan_tf.errors import UserError

FORMATS = {
    "flags.json": 3,
    "splits.json": 2,
    "pairs.json": 1,
    "styles.json": 1,
    "decision.json": 1,
    "labels.json": 2,
    "training.json": 2,
    "results.json": 3,
    "parity.json": 2,
    "release.json": 2,
    "prediction.json": 1,
    "shards.json": 1,
}
_KEY = "format"


class NewerFormatError(UserError):
    """A file was written by a newer version than this one."""


@contextlib.contextmanager
def reported_read_errors(
    path: str,
    *,
    unreadable: str = "check its permissions and its disk.",
    damaged: str = "it was written by another version or changed by hand.",
) -> Iterator[None]:
    """Turns errors of reading a file and its content into a UserError.

    A missing file stays a FileNotFoundError: some may be missing.

    Args:
      path: of the file.
      unreadable: what to do if it cannot be read.
      damaged: why its content may be wrong, or what to do then.

    Raises:
      UserError: it cannot be read or understood.
    """
    try:
        yield
    except (FileNotFoundError, NewerFormatError):
        raise
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror}); {unreadable}"
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path} cannot be understood ({error}); {damaged}"
        ) from error


def write(
    path: str | os.PathLike[str], content: Mapping[str, Any], *, kind: str = ""
) -> None:
    """Writes a file with the present format number, whole or not at all.

    Args:
      path: of the file.
      content: what the file holds besides the number.
      kind: one of FORMATS; by default the last part of the path is.

    Raises:
      OSError: the folder is missing or read-only, or the disk is full.
    """
    number = FORMATS[kind or os.path.basename(path)]
    files.write_json(path, {_KEY: number, **content})


def read(path: str | os.PathLike[str], *, kind: str = "") -> dict[str, Any]:
    """Reads a file that `write`, of this version or an older one, wrote.

    Args:
      path: of the file.
      kind: one of FORMATS; by default the last part of the path is.

    Returns:
      The content without the number.

    Raises:
      OSError: the file cannot be read.
      ValueError: it is no JSON object.
      NewerFormatError: its format is newer.
    """
    with files.open_regular(path, encoding="utf-8-sig") as file:
        try:
            content = json.load(file)
        except RecursionError as error:
            raise ValueError("nested too deeply") from error
    if not isinstance(content, dict):
        raise ValueError("not a JSON object")
    return without_format(content, path, kind=kind or os.path.basename(path))


def without_format(
    content: Mapping[str, Any], path: str | os.PathLike[str], *, kind: str
) -> dict[str, Any]:
    """Checks the format number of a file and returns the other content.

    Args:
      content: what the file holds.
      path: of the file, for the error.
      kind: one of FORMATS; the file may have another name.

    Raises:
      NewerFormatError: its format is newer.
    """
    number = content.get(_KEY, 1)
    if not isinstance(number, int) or number > FORMATS[kind]:
        raise NewerFormatError(
            f"{path} has format {number}, and this version reads formats up to "
            f"{FORMATS[kind]}; install a newer segan_tf."
        )
    return {key: value for key, value in content.items() if key != _KEY}
