"""Opens files, and writes them atomically.

A reader finds the old file or the new one. Only regular files are opened:
reading a named pipe would wait for a writer forever.
"""

import atexit
import contextlib
import errno
import json
import math
import os
import re
import shutil
import stat
import tempfile
import uuid
from collections.abc import Iterator
from typing import IO, Any, BinaryIO

from segan_tf.errors import UserError

_TEMPORARY = re.compile(r"\.[0-9a-f]{32}\.tmp")  # of `replacing`
# Pattern characters, and what Python uses for bytes that are not UTF-8.
_SPECIAL = re.compile(r"[][*?\\\ud800-\udfff]")
_UNDECODED = re.compile(r"[\udc80-\udcff]+")  # bytes, as Python keeps them
_links: dict[str, str] = {}  # from folders to their links
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def open_regular(
    path: str | os.PathLike[str], mode: str = "r", **options: Any
) -> IO[Any]:
    """Opens a file for reading, as `open` does.

    Raises:
      OSError: it cannot be opened, or is a folder, pipe, socket or device.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):
        reason = f"it is {kind_of(path)}, not a file"
        raise OSError(errno.EINVAL, reason, os.fspath(path))
    return open(path, mode, **options)


def is_regular(path: str | os.PathLike[str]) -> bool:
    """Tells whether a path may be opened; a missing file may."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except OSError:
        return True


def kind_of(path: str | os.PathLike[str]) -> str:
    """Names what is at a path that is no regular file: "a named pipe"."""
    return _KINDS.get(stat.S_IFMT(os.stat(path).st_mode), "a special file")


@contextlib.contextmanager
def replacing(
    path: str | os.PathLike[str], *, sync: bool = True
) -> Iterator[BinaryIO]:
    """Opens a file for writing that replaces the old one when it is complete.

    The bytes go to a temporary file in the same folder (a rename is atomic
    only within one file system), are flushed to the disk, and then take the
    name. If writing fails, the temporary file is removed and the old one stays.

    Args:
      path: the file to write; its folder must exist.
      sync: wait until the disk has the bytes, so that the file is whole even
        after a stop of the machine. After the end of the process it is whole
        in any case.

    Raises:
      OSError: the folder is missing or read-only, or the disk is full.
    """
    folder = os.path.dirname(os.fspath(path))
    # Not by tempfile: its files are readable by their owner only, and a rename
    # would keep that for files that a server has to read.
    temporary = os.path.join(folder, f".{uuid.uuid4().hex}.tmp")
    try:
        with open(temporary, "xb") as file:
            yield file
            if sync:
                file.flush()
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:  # an interrupt must not leave it behind either
        _remove_if_there(temporary)
        raise


def write_bytes(
    path: str | os.PathLike[str], data: bytes, *, sync: bool = True
) -> None:
    """Writes a file with `replacing`.

    Raises:
      OSError: the folder is missing or read-only, or the disk is full.
    """
    with replacing(path, sync=sync) as file:
        file.write(data)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Writes text as UTF-8 with its line endings unchanged.

    What Python could not decode in a name, `\udce9`, is written as these six
    characters, which JSON reads back.

    Raises:
      OSError: the folder is missing or read-only, or the disk is full.
    """
    write_bytes(path, encode(text))


def encode(text: str) -> bytes:
    """Encodes text as UTF-8, whatever the locale decoded names with."""
    decoded = _UNDECODED.sub(
        lambda found: (
            found[0]
            .encode("utf-8", "surrogateescape")
            .decode("utf-8", "surrogateescape")
        ),
        text,
    )
    return decoded.encode("utf-8", "backslashreplace")


def write_json(path: str | os.PathLike[str], obj: Any) -> None:
    """Writes an object as indented JSON.

    NumPy numbers and arrays become numbers and lists, paths become text. NaN
    and infinity become null: JSON has neither, and strict parsers reject a file
    that holds one.

    Raises:
      OSError: the folder is missing or read-only, or the disk is full.
      TypeError: the object holds something that JSON cannot represent.
    """
    text = json.dumps(
        _plain(obj), indent=2, ensure_ascii=False, allow_nan=False
    )
    write_text(path, text + "\n")


@contextlib.contextmanager
def reported_write_errors(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turns a failure to write a file inside the block into a UserError.

    Raises:
      UserError: names the file and the reason.
    """
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{path} cannot be written ({error.strerror}); check the folder, "
            "its permissions and the free space."
        ) from error


def remove_leftovers(folder: str | os.PathLike[str]) -> None:
    """Removes what `replacing` left in a folder when its process was killed.

    Call it only where no other process writes.

    Raises:
      OSError: the folder cannot be read or written.
    """
    for name in os.listdir(folder):
        if _TEMPORARY.fullmatch(name):
            os.remove(os.path.join(folder, name))


def without_patterns(folder: str | os.PathLike[str]) -> str:
    """Returns a path to a folder that TensorFlow takes literally.

    TensorFlow takes the names of checkpoints as patterns, so that it does not
    find them below ``lr[0.1]``, and it knows only names in UTF-8. For such a
    folder the path is that of a link in a temporary folder.

    Raises:
      OSError: the link cannot be made.
    """
    path = os.path.abspath(folder)
    if not _SPECIAL.search(path):
        return os.fspath(folder)
    if path not in _links:
        links = tempfile.mkdtemp()
        atexit.register(shutil.rmtree, links, ignore_errors=True)
        link = os.path.join(links, "folder")
        os.symlink(path, link)
        _links[path] = link
    return _links[path]


def literal(path: str | os.PathLike[str]) -> str:
    """Returns a path, in a folder that exists, that TensorFlow takes literally.

    Raises:
      OSError: see `without_patterns`.
    """
    folder, name = os.path.split(path)
    return os.path.join(without_patterns(folder), name)


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
    # An error is already being raised; it is the one to report.
    with contextlib.suppress(OSError):
        os.remove(path)
