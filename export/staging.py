"""Hidden folders in which artifacts are written before they are renamed.

A server that polls the folder, or a program that copies the file, never sees
half of one.
"""

import contextlib
import os
import tempfile
from collections.abc import Iterator

from segan_tf import config


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
        folder = tempfile.TemporaryDirectory(prefix=".unfinished-", dir=parent)
    except OSError as error:
        raise config.UserError(
            f"--export_dir: cannot write in {parent} ({error.strerror});"
            " choose a folder that you may write to"
        ) from error
    with folder as path:
        yield path
