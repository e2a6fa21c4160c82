"""Writes whole files or none: beside the old one first, then renamed."""

import contextlib
import json
import math
import os
import uuid
from collections.abc import Iterator
from typing import Any, BinaryIO


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Opens a file so that a reader meets the old one or the new one.

    The bytes go to a temporary file in the same folder (a rename is atomic
    only within one file system), reach the disk, and take the name at once.
    When writing fails, the temporary file goes and the old one stays.

    Args:
      path: the file to write; its folder exists.

    Raises:
      OSError: the folder is missing or read-only, or the disk is full.
    """
    folder = os.path.dirname(os.fspath(path))
    # Not tempfile's: its files are readable by their owner alone, and a
    # rename would hand that on to what a server has to read.
    temporary = os.path.join(folder, f".{uuid.uuid4().hex}.tmp")
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:  # an interrupt must not leave it behind either
        _remove_if_there(temporary)
        raise


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Writes a whole file, by `replacing`.

    Raises:
      OSError: the folder is missing or read-only, or the disk is full.
    """
    with replacing(path) as file:
        file.write(data)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Writes text as UTF-8, its line ends as they are, by `write_bytes`.

    Raises:
      OSError: the folder is missing or read-only, or the disk is full.
    """
    write_bytes(path, text.encode("utf-8"))


def write_json(path: str | os.PathLike[str], obj: Any) -> None:
    """Writes an object as indented JSON, by `write_bytes`.

    NumPy numbers and arrays become numbers and lists, paths become text. NaN
    and infinity become null: JSON has neither, and a strict reader refuses
    the whole file for one.

    Raises:
      OSError: the folder is missing or read-only, or the disk is full.
      TypeError: the object holds something that JSON cannot say.
    """
    text = json.dumps(
        _plain(obj), indent=2, ensure_ascii=False, allow_nan=False
    )
    write_text(path, text + "\n")


def _plain(obj: Any) -> Any:
    if isinstance(obj, dict):
        return {key: _plain(value) for key, value in obj.items()}
    if isinstance(obj, list | tuple):
        return [_plain(item) for item in obj]
    if isinstance(obj, os.PathLike):
        return os.fspath(obj)
    if hasattr(obj, "tolist"):  # NumPy's, without importing NumPy
        return _plain(obj.tolist())
    if isinstance(obj, float) and not math.isfinite(obj):
        return None
    return obj


def _remove_if_there(path: str) -> None:
    try:
        os.remove(path)
    except OSError:
        # The first failure is the one to tell, not this one.
        pass
