"""Finds the images to predict, and explains what of the input is not read."""

import collections
import contextlib
import os
import zlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from segan_tf import files
from segan_tf.errors import UserError
from segan_tf.imaging import formats, images


class Source(NamedTuple):
    """An image to predict.

    Attributes:
      id: its path without ending, from the folder that all input has in
        common; "/" is between folders. Where images differ by the ending
        alone, it has it. Its output has this path. Of DICOM it is the SOP
        instance UID.
      path: of the file.
      is_dicom: whether it is DICOM.
    """

    id: str
    path: str
    is_dicom: bool = False

    @property
    def shown_as(self) -> str:
        """What tables and messages call the file.

        A DICOM file has its id in place of its path, which may hold the name of
        a patient.
        """
        return self.id if self.is_dicom else self.path


class Inputs(NamedTuple):
    """What is to be predicted.

    Attributes:
      images: those to read, folder by folder.
      unread: path of each other file that may be an image, or of a folder that
        cannot be searched -> the reason.
    """

    images: list[Source]
    unread: dict[str, str]


def find(
    given: Sequence[str], list_path: str = "", *, output_dir: str = ""
) -> Inputs:
    """Finds the images of files and folders.

    Folders are searched with their subfolders, also those that are links;
    hidden files and folders are not read.

    Args:
      given: images and folders.
      list_path: of a file that names more of them, one a line; "" for none.
      output_dir: a folder that may be inside and is not searched.

    Raises:
      UserError: there is no image, or something given does not exist.
    """
    for path in given:
        if not os.path.exists(path):
            raise UserError(
                f"--input ({path}) is neither an image nor a folder; give one."
            )
    listed = _read_list(list_path) if list_path else []
    everything = [*given, *listed]
    if not everything:
        raise UserError(
            "--input is missing; give an image or a folder of images."
            if not list_path
            else f"--input_list ({list_path}) names no image; give another."
        )
    search = _Search(_common_folder(everything), output_dir)
    for path in everything:
        search.add(path)
    if not search.images:
        _raise_nothing_found(given, list_path, search.unread)
    return Inputs(_with_distinct_ids(search.images), search.unread)


def _with_distinct_ids(sources: list[Source]) -> list[Source]:
    """Leaves the ending in the ids of images that differ by it alone."""
    counts = collections.Counter(source.id for source in sources)
    return [
        source._replace(id=source.id + os.path.splitext(source.path)[1])
        if counts[source.id] > 1 and not source.is_dicom
        else source
        for source in sources
    ]


def take_shard(inputs: Inputs, shard: int, num_shards: int) -> Inputs:
    """Takes one of several parts of about the same size.

    What a part holds depends on the names alone, so that it stays the same
    when images are added.
    """

    def is_mine(name: str) -> bool:
        return shard_of(name, num_shards) == shard

    return Inputs(
        [source for source in inputs.images if is_mine(source.id)],
        {path: why for path, why in inputs.unread.items() if is_mine(path)},
    )


def shard_of(name: str, num_shards: int) -> int:
    """Returns the part that an id, or the path of an unread file, is in."""
    return zlib.crc32(files.encode(name)) % num_shards


class _Search:
    """Collects images below a folder."""

    def __init__(self, root: str, output_dir: str) -> None:
        self.images: list[Source] = []
        self.unread: dict[str, str] = {}
        self._root = root
        self._left_out = os.path.realpath(output_dir) if output_dir else ""
        self._seen: set[str] = set()
        self._uids: dict[str, int] = {}  # with the number of copies

    def add(self, path: str) -> None:
        """Adds a file, or the files of a folder and its subfolders."""
        inside = os.path.relpath(path, self._root)
        if not os.path.isdir(path):
            if os.path.lexists(path):
                self._add_image(path, inside)
            else:
                self.unread[path] = f"{path} does not exist; check the path"
            return
        for found in self._walk(path):
            if _is_readable_image(found):
                within = os.path.relpath(found.path, path)
                self._add_image(
                    found.path, os.path.normpath(os.path.join(inside, within))
                )
            else:
                reason = formats.unread_reason(found)
                if reason:
                    self.unread[found.path] = reason

    def _add_image(self, path: str, inside: str) -> None:
        if inside in self._seen:  # given twice
            return
        self._seen.add(inside)
        if formats.is_dicom(path):
            self._add_dicom(path)
            return
        stem = os.path.splitext(inside)[0]
        self.images.append(Source(stem.replace(os.sep, "/"), path))

    def _add_dicom(self, path: str) -> None:
        try:
            uid = images.image_id(path)
        except UserError as error:
            self.unread[path] = str(error)
            return
        if uid in self._uids:
            self._uids[uid] += 1
            self.unread[f"{uid}, copy {self._uids[uid]}"] = (
                f"{uid} is in several files, of which the first is used; "
                "remove the others"
            )
            return
        self._uids[uid] = 0
        self.images.append(Source(uid, path, is_dicom=True))

    def _walk(self, top: str) -> Iterator[os.DirEntry[str]]:
        folders = [top]
        while folders:
            folder = folders.pop()
            inner = []
            for entry in self._list(folder):
                if not _is_folder(entry):
                    yield entry
                elif self._is_searched(entry, folder):
                    inner.append(entry.path)
            folders += reversed(inner)

    def _list(self, folder: str) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(folder) as found:
                visible = [e for e in found if not e.name.startswith(".")]
        except OSError as error:
            self.unread[folder] = (
                f"{folder} cannot be read ({error.strerror}); check its "
                "permissions"
            )
            return []
        return sorted(visible, key=lambda entry: entry.name)

    def _is_searched(self, entry: os.DirEntry[str], folder: str) -> bool:
        real = os.path.realpath(entry.path)
        if real == self._left_out:
            return False
        if entry.is_symlink() and _is_within(os.path.realpath(folder), real):
            self.unread[entry.path] = (
                f"{entry.path} is a link to a folder that it is in; remove it"
            )
            return False
        return True


def _is_within(path: str, folder: str) -> bool:
    return os.path.commonpath([path, folder]) == folder


def _is_folder(entry: os.DirEntry[str]) -> bool:
    with contextlib.suppress(OSError):  # such as a link to itself
        return entry.is_dir()
    return False


def _is_readable_image(entry: os.DirEntry[str]) -> bool:
    # A broken link counts: its failure is reported when it is read.
    return formats.is_image(entry) and files.is_regular(entry)


def _common_folder(paths: Sequence[str]) -> str:
    """Returns the folder that is common to folders and the files' folders."""
    folders = {
        os.path.abspath(path if os.path.isdir(path) else os.path.dirname(path))
        for path in paths
    }
    return os.path.commonpath(folders)


def _read_list(path: str) -> list[str]:
    """Reads the paths of a list; blank lines are left out.

    Raises:
      UserError: it cannot be read.
    """
    try:
        with files.open_regular(
            path, encoding="utf-8-sig", errors="surrogateescape"
        ) as file:
            return [line.rstrip("\r\n") for line in file if line.strip()]
    except OSError as error:
        raise UserError(
            f"--input_list ({path}) cannot be read ({error.strerror}); give a "
            "file with a path in each line."
        ) from error


def _raise_nothing_found(
    given: Sequence[str], list_path: str, unread: dict[str, str]
) -> None:
    flag = f"--input ({', '.join(given)})"
    if list_path:
        flag = f"--input_list ({list_path})"
    detail = ""
    if unread:
        first = next(iter(unread.values()))
        detail = f" ({len(unread)} not read: {first})"
    raise UserError(
        f"{flag} holds no {formats.format_names()} image{detail}; give another "
        "folder."
    )
