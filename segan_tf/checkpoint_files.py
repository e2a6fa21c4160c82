"""The files of a run's checkpoints, found and checked without TensorFlow."""

import os
import re
import shutil

from segan_tf import files
from segan_tf.errors import UserError

FOLDER = "checkpoints"
LAST = "last"  # to resume from
BEST = "best"  # the best Dice on the validation split
LIST = "checkpoint"  # TensorFlow's list of the checkpoints in a folder
_INDEX = re.compile(r"ckpt-(\d+)\.index")
_PART = re.compile(r"(ckpt-\d+)\.(index|data-\d+-of-\d+)")
# A checkpoint and a list that TensorFlow is writing.
_TEMPORARY = re.compile(r"ckpt-\d+_temp|checkpoint\.tmp[0-9a-f]+")
# How an index ends (table_format.txt of LevelDB). It is written last.
_END = bytes.fromhex("57fb808b247547db")


def find(folder: str) -> list[str]:
    """Lists the checkpoints in a folder by what is there, newest first.

    The list that TensorFlow keeps in the file ``checkpoint`` is not needed: it
    may be damaged, missing or of another folder. It only tells a checkpoint
    that was damaged later from one whose process was killed while saving it,
    which is left out.

    Returns:
      Their paths without the ending, <folder>/ckpt-<step>.

    Raises:
      UserError: the folder cannot be read.
    """
    try:
        names = os.listdir(folder)
    except FileNotFoundError as error:
        for part in (os.path.dirname(folder), folder):
            if os.path.islink(part):
                raise _unreadable(part, error) from error
        return []
    except OSError as error:
        raise _unreadable(folder, error) from error
    found = (_INDEX.fullmatch(name) for name in names)
    steps = sorted((int(match[1]) for match in found if match), reverse=True)
    listed = _read_list(folder)
    return [
        os.path.join(folder, f"ckpt-{step}")
        for step in steps
        if f'"ckpt-{step}"' in listed
        or _is_complete(os.path.join(folder, f"ckpt-{step}.index"))
    ]


def remove_incomplete(folder: str) -> None:
    """Removes what killed processes left: parts as large as a checkpoint.

    Call it only where no other process writes.

    Raises:
      OSError: the folder or a file cannot be read or removed.
      UserError: the folder cannot be read.
    """
    if not os.path.isdir(folder):
        return
    complete = set(map(os.path.basename, find(folder)))
    files.remove_leftovers(folder)
    for name in os.listdir(folder):
        path, part = os.path.join(folder, name), _PART.fullmatch(name)
        if _TEMPORARY.fullmatch(name):
            shutil.rmtree(path) if os.path.isdir(path) else os.remove(path)
        elif part and part[1] not in complete:
            os.remove(path)


def _read_list(folder: str) -> str:
    path = os.path.join(folder, LIST)
    try:
        with files.open_regular(path, errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def _is_complete(index: str) -> bool:
    """Returns whether an index has its end; reading it tells other damage."""
    try:
        with files.open_regular(index, "rb") as file:
            return file.read().endswith(_END)
    except OSError:
        return True


def step_of(path: str) -> int:
    """Returns the step of a checkpoint that `find` found."""
    return int(path.rpartition("-")[2])


def has_any(model_dir: str) -> bool:
    """Returns whether a run has checkpoints, whole or not.

    Raises:
      UserError: their folder cannot be read.
    """
    return any(
        find(os.path.join(model_dir, FOLDER, name)) for name in (LAST, BEST)
    )


def check_readable(path: str) -> None:
    """Checks that the files of a checkpoint can be opened.

    TensorFlow reports one without permission as if it were damaged.
    """
    folder, name = os.path.split(path)
    for entry in sorted(os.listdir(folder)):
        if not entry.startswith(f"{name}."):
            continue
        part = os.path.join(folder, entry)
        try:
            with open(part, "rb") as file:
                file.read(1)
        except OSError as error:
            if not os.path.lexists(part):  # a training has removed it
                continue
            raise _unreadable(part, error) from error


def _unreadable(path: str, error: OSError) -> UserError:
    if os.path.islink(path) and not os.path.exists(path):
        target = os.path.realpath(path)
        return UserError(
            f"{path} is a link to {target}, which is missing; restore that, or "
            "make the link again."
        )
    return UserError(
        f"{path} cannot be read ({error.strerror}); its content may be sound: "
        "check its permissions and its disk."
    )
