"""The JSON files that describe runs and models, each with a format number.

A file without one is of format 1, from before the numbers. A file's number
rises when an older reader would misunderstand it; readers of the present
version take every format up to their own.
"""

import json
import os
from collections.abc import Mapping
from typing import Any

from segan_tf import files
from segan_tf.errors import UserError

FORMATS = {
    "flags.json": 2,
    "splits.json": 2,
    "labels.json": 2,
    "training.json": 2,
    "results.json": 2,
    "parity.json": 2,
    "release.json": 2,
}
_KEY = "format"


class NewerFormatError(UserError):
    """A file was written by a newer version than this one."""


def write(path: str | os.PathLike[str], content: Mapping[str, Any]) -> None:
    """Writes a file with the present format number, whole or not at all.

    Args:
      path: its last part is one of FORMATS.
      content: what the file holds besides the number.

    Raises:
      OSError: the folder is missing or read-only, or the disk is full.
    """
    files.write_json(path, {_KEY: FORMATS[os.path.basename(path)], **content})


def read(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Reads what `write`, of this version or an older one, has written.

    Returns:
      The content without the number.

    Raises:
      OSError: the file cannot be read.
      ValueError: it is no JSON object.
      NewerFormatError: it is of a newer format.
    """
    with open(path, encoding="utf-8-sig") as file:
        content = json.load(file)
    if not isinstance(content, dict):
        raise ValueError("not a JSON object")
    return without_format(content, path)


def without_format(
    content: Mapping[str, Any], path: str | os.PathLike[str]
) -> dict[str, Any]:
    """Takes the format number out of what a file holds, and checks it.

    Raises:
      NewerFormatError: the file is of a newer format.
    """
    known = FORMATS.get(os.path.basename(path), 1)
    number = content.get(_KEY, 1)
    if not isinstance(number, int) or number > known:
        raise NewerFormatError(
            f"{path} has format {number}, and this version reads formats up to "
            f"{known}; install a newer segan_tf."
        )
    return {key: value for key, value in content.items() if key != _KEY}
