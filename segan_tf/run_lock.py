"""One writer at a time in a folder: a lock that dies with its process.

The lock is the operating system's (flock), so a killed process leaves none
behind; the file only says who holds it.
"""

import contextlib
import datetime
import errno
import json
import os
import socket
from collections.abc import Iterator
from typing import IO

from segan_tf.errors import UserError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

FILE_NAME = ".lock"
# What flock answers where another process holds the lock.
_HELD = (errno.EAGAIN, errno.EACCES, errno.EWOULDBLOCK)


@contextlib.contextmanager
def hold(
    folder: str,
    *,
    flag: str = "--model_dir",
    user: str = "training",
    part: str = "",
) -> Iterator[None]:
    """Holds the lock of a folder for the block.

    Where the file system has no locks, nothing is locked.

    Args:
      folder: exists.
      flag: that gave the folder, for the error.
      user: what holds the lock, for the error.
      part: of the folder that is locked, if not all of it.

    Raises:
      UserError: another process holds it, which is named with its host and
        the time; or the folder cannot be written.
    """
    path = os.path.join(folder, FILE_NAME + part)
    while True:
        with _open(path, f"{flag} ({folder})") as file:
            if not _lock(file):
                raise UserError(
                    f"{flag} ({folder}) is in use by another {user} "
                    f"({_read_holder(path)}); wait until it ends, or give "
                    "another folder."
                )
            # The holder before may have removed the file while we waited for
            # it: then the lock is on a file that nobody else will open.
            if not _is_at(file, path):
                continue
            _write_holder(file)
            try:
                yield
            finally:
                with contextlib.suppress(OSError):
                    os.remove(path)
            return


def _open(path: str, what: str) -> IO[str]:
    try:
        return open(path, "a+", encoding="utf-8")
    except OSError as error:
        raise UserError(
            f"{what} cannot be written ({error.strerror}); give a folder that "
            "can."
        ) from error


def _lock(file: IO[str]) -> bool:
    """Locks a file; returns False where another process holds the lock."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in _HELD
    return True


def _is_at(file: IO[str], path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False


def _write_holder(file: IO[str]) -> None:
    now = datetime.datetime.now().isoformat(" ", "seconds")
    holder = {"pid": os.getpid(), "host": socket.gethostname(), "since": now}
    # The lock holds without its description, such as on a full disk.
    with contextlib.suppress(OSError):
        file.truncate(0)
        file.write(json.dumps(holder))
        file.flush()


def _read_holder(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            holder = json.load(file)
        return (
            f"process {holder['pid']} on {holder['host']} since "
            f"{holder['since']}"
        )
    except (OSError, ValueError, KeyError, TypeError):
        return "which process is not known"
