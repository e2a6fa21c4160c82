"""Hidden folders in which artifacts are written before they are renamed.

A server that polls the folder, or a program that copies the file, never sees
half of one.
"""

import contextlib
import glob
import os
import shutil
import tempfile
from collections.abc import Iterator
from typing import IO

from segan_tf import config

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_PREFIX = ".unfinished-"
_LOCK = ".lock"


@contextlib.contextmanager
def hidden_folder(parent: str) -> Iterator[str]:
    """Makes a hidden folder in `parent` and removes it after the block.

    Only its owner can read it, as with every temporary folder. Write what is
    to be published *inside* it under another name, where it gets ordinary
    permissions, or a server of another user could not read it.

    Args:
      parent: made if missing; on the file system of the final path, where a
        rename is atomic.

    Yields:
      The path of the folder.

    Raises:
      UserError: `parent` cannot be made or written.
    """
    try:
        os.makedirs(parent, exist_ok=True)
        _remove_abandoned(parent)
        folder, lock = _make_locked(parent)
    except OSError as error:
        raise config.UserError(
            f"--export_dir: cannot write in {parent} ({error.strerror});"
            " choose a folder that you may write to"
        ) from error
    with lock, folder as path:
        yield path


def _make_locked(
    parent: str,
) -> tuple[tempfile.TemporaryDirectory[str], IO[bytes]]:
    """Makes a folder that others leave alone while the lock is open."""
    while True:
        folder = tempfile.TemporaryDirectory(
            prefix=_PREFIX, dir=parent, ignore_cleanup_errors=True
        )
        # Another process may take a folder without a lock for abandoned.
        with contextlib.suppress(FileNotFoundError):
            lock = open(os.path.join(folder.name, _LOCK), "xb")  # noqa: SIM115
            if fcntl:
                with contextlib.suppress(OSError):  # no locks there
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.exists(lock.name):
                return folder, lock
            lock.close()


def _remove_abandoned(parent: str) -> None:
    """Removes the folders of processes that were killed.

    The operating system frees a lock when its process ends, however it ends.
    """
    if fcntl is None:
        return
    pattern = os.path.join(glob.escape(parent), f"{_PREFIX}*")
    for folder in glob.glob(pattern):
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            with contextlib.suppress(FileNotFoundError):
                lock = stack.enter_context(
                    open(os.path.join(folder, _LOCK), "rb")
                )
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
