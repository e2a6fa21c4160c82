"""Reads and writes files of every file system that Beam knows."""

import contextlib
import os
import re
import shutil
import tempfile
import uuid
from collections.abc import Iterator, Sequence

from apache_beam.io import filesystem, filesystems

from segan_tf.errors import UserError

# By default Beam unpacks files whose names end like those of archives.
_AS_STORED = filesystem.CompressionTypes.UNCOMPRESSED


def is_local(path: str) -> bool:
    """Tells whether a path has no scheme, such as "gs://"."""
    return filesystems.FileSystems.get_scheme(path) is None


def has_pattern(path: str) -> bool:
    """Tells whether a path is a pattern of several files."""
    return without_pattern(path) != path


def without_pattern(path: str) -> str:
    """Returns what of a path is before its first pattern character."""
    return re.split(r"[*?[]", path, maxsplit=1)[0]


def join(folder: str, name: str) -> str:
    """Returns the path of a file in a folder; "/" is between subfolders."""
    return f"{folder.rstrip('/')}/{name}"


def folder_of(path: str) -> str:
    """Returns the folder of a file, without "/" at its end."""
    return path.rpartition("/")[0]


def common_folder(paths: Sequence[str]) -> str:
    """Returns the folder that files have in common; "" is the root.

    Raises:
      UserError: they are of several file systems.
    """
    schemes = {path.rpartition("://")[0] for path in paths}
    scheme = min(schemes)
    folders = [f"/{folder_of(path).rpartition('://')[2]}" for path in paths]
    found = os.path.commonpath(folders).strip("/")
    if len(schemes) > 1 or (scheme and not found):
        raise UserError(
            "the images are in several file systems, such as "
            f"{min(paths)} and {max(paths)}; predict each in turn."
        )
    if scheme:
        return f"{scheme}://{found}"
    return f"/{found}".rstrip("/")


def exists(path: str) -> bool:
    """Tells whether there is a file.

    Raises:
      OSError: the file system does not answer.
    """
    return filesystems.FileSystems.exists(path)


def read(path: str, size: int = -1) -> bytes:
    """Reads a file or its first bytes.

    Raises:
      UserError: it cannot be read.
    """
    try:
        with filesystems.FileSystems.open(
            path, compression_type=_AS_STORED
        ) as file:
            return file.read(size)
    except Exception as error:  # clients of clouds raise errors of their own
        raise UserError(
            f"{path} cannot be read ({_first_line(error)}); check the path and "
            "its permissions."
        ) from error


@contextlib.contextmanager
def local_copy(path: str, *, size: int = -1) -> Iterator[str]:
    """Gives the path of a file on this machine, a copy if it is elsewhere.

    A copy has the same name, and a UserError that names it names the file.

    Args:
      path: of the file.
      size: bytes to copy, all by default.

    Raises:
      UserError: it cannot be read.
    """
    if is_local(path):
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = os.path.join(folder, os.path.basename(path))
        data = read(path, size)
        with open(copy, "wb") as file:
            file.write(data)
        try:
            yield copy
        except UserError as error:
            raise UserError(str(error).replace(copy, path)) from error


class Folder:
    """A folder into which files are written whole or not at all.

    Each is written into a folder inside for temporary files and renamed. A
    name that is written again, as when a worker is lost, holds the last.

    Attributes:
      path: of the folder.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        # The same for all workers, which get this object.
        self._temporary = join(path, f".segan-tf-{uuid.uuid4().hex}")

    def write(self, name: str, data: bytes) -> None:
        """Writes a file.

        Raises:
          OSError: it cannot be written.
        """
        temporary = join(self._temporary, uuid.uuid4().hex)
        with filesystems.FileSystems.create(
            temporary, compression_type=_AS_STORED
        ) as file:
            file.write(data)
        target = join(self.path, name)
        with contextlib.suppress(OSError):  # it is there, or renaming fails
            filesystems.FileSystems.mkdirs(folder_of(target))
        try:
            filesystems.FileSystems.rename([temporary], [target])
        except OSError:
            # HDFS renames to new names only. Where it is a pattern, others
            # would be deleted.
            if has_pattern(target) or is_local(target) or not exists(target):
                raise
            filesystems.FileSystems.delete([target])
            filesystems.FileSystems.rename([temporary], [target])

    def remove(self, name: str) -> None:
        """Removes a file, if it is there.

        Raises:
          OSError: it cannot be removed.
        """
        target = join(self.path, name)
        if exists(target):
            filesystems.FileSystems.delete([target])

    def remove_temporary(self) -> None:
        """Removes what lost workers left; call it when none is writing."""
        if is_local(self.path):
            shutil.rmtree(self._temporary, ignore_errors=True)
            return
        with contextlib.suppress(OSError):  # it is hidden and does no harm
            filesystems.FileSystems.delete([f"{self._temporary}/"])


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
