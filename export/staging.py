"""Artifacts are written in a hidden folder beside their place, then renamed.

A server that polls the folder, or a program that copies the file, so never
sees half of one.
"""

import contextlib
import os
import tempfile
from collections.abc import Iterator

from segan_tf import config


@contextlib.contextmanager
def hidden_folder(parent: str) -> Iterator[str]:
    """Makes a hidden folder in `parent` that is gone after the block.

    The folder is readable by its owner only, as temporary folders are: what
    is to be published goes *inside* it under a name of its own, where it gets
    ordinary permissions, or a server of another user could not read it.

    Args:
      parent: made if missing; on the file system of the final place, where a
        rename is atomic.

    Yields:
      The path of the folder.

    Raises:
      UserError: `parent` cannot be made or written.
    """
    try:
        os.makedirs(parent, exist_ok=True)
        folder = tempfile.TemporaryDirectory(prefix=".unfinished-", dir=parent)
    except OSError as error:
        raise config.UserError(
            f"--export_dir: cannot write in {parent} ({error.strerror});"
            " choose a folder that you may write to"
        ) from error
    with folder as path:
        yield path
