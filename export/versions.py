"""Version numbers of the exports in a folder, and where earlier ones are kept.

A server loads the highest version, so a new one is above all others. Each
export keeps the files that it replaces.
"""

import glob
import json
import os
from collections.abc import Iterable

from segan_tf import config, files

EARLIER = "earlier"  # the folder of replaced files, by version

_SAVED_MODELS = "saved_model"
_RECORD_NAME = "parity.json"


def saved_model_path(export_dir: str, version: int) -> str:
    """Returns the folder of a version."""
    return os.path.join(export_dir, _SAVED_MODELS, str(version))


def choose(export_dir: str, wanted: int | None = None) -> int:
    """Chooses the version of the next export.

    Args:
      export_dir: may be missing.
      wanted: the version that the user asks for; None: the next free one.

    Raises:
      UserError: `wanted` is not above every version that is there.
    """
    highest = max(list_versions(export_dir), default=0)
    if wanted is None:
        return highest + 1
    check(export_dir, wanted)
    if highest >= wanted:
        raise config.UserError(
            f"--export_version ({wanted}): --export_dir ({export_dir}) holds "
            f"version {highest}, and versions only rise; leave "
            f"--export_version out for {highest + 1}, or choose another folder."
        )
    return wanted


def check(export_dir: str, version: int) -> None:
    """Checks that a SavedModel's version is above those that are there.

    Raises:
      UserError: the version or a higher one exists.
    """
    path = saved_model_path(export_dir, version)
    if os.path.lexists(path):
        raise config.UserError(
            f"--export_dir ({export_dir}): version {version} exists already"
            f" at {path}; leave --export_version out for the next free number,"
            " or choose another folder."
        )
    highest = max(_numbers(os.path.dirname(path)), default=version)
    if highest > version:
        raise config.UserError(
            f"--export_dir ({export_dir}) holds version {highest}, and servers "
            f"load the highest, so they would not serve version {version}; "
            "choose a higher --export_version or another folder."
        )


def list_versions(export_dir: str) -> set[int]:
    """Lists the versions of all that a folder holds, also of parts of them."""
    stated = (
        _stated_version(path)
        for path in (
            os.path.join(export_dir, _RECORD_NAME),
            *glob.glob(os.path.join(glob.escape(export_dir), "segan_*.json")),
        )
    )
    return {
        *_numbers(os.path.join(export_dir, _SAVED_MODELS)),
        *_numbers(os.path.join(export_dir, EARLIER)),
        *(version for version in stated if version is not None),
    }


def keep_earlier(export_dir: str, names: Iterable[str]) -> None:
    """Moves the files of earlier exports that are replaced to their versions.

    Files that state no version are left to be replaced.

    Args:
      export_dir: of the export.
      names: of the files that are replaced; a TFLite model's with its JSON
        file.

    Raises:
      OSError: a file cannot be moved.
    """
    versions = {
        name: _version_of(os.path.join(export_dir, name)) for name in names
    }
    for name, version in versions.items():
        path = os.path.join(export_dir, name)
        if version is not None and os.path.exists(path):
            folder = os.path.join(export_dir, EARLIER, str(version))
            os.makedirs(folder, exist_ok=True)
            os.replace(path, os.path.join(folder, name))


def _version_of(path: str) -> int | None:
    """Reads the version of a file: of its own, or the JSON file of its stem."""
    return _stated_version(f"{os.path.splitext(path)[0]}.json")


def _stated_version(path: str) -> int | None:
    try:
        with files.open_regular(path, encoding="utf-8") as file:
            version = json.load(file)["version"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return version if isinstance(version, int) else None


def _numbers(folder: str) -> list[int]:
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [int(name) for name in names if name.isdecimal()]
