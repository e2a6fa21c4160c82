"""Replaces the run in a model_dir by a new one, whole or not at all.

A run that starts over writes into a folder of its own inside the model_dir.
When its first checkpoint is complete, one rename declares that folder the
run's, and its files take their places. If the process is killed before the
rename, the old run is unchanged; if it is killed after, whoever opens the run
next moves the remaining files.
"""

import contextlib
import os
import shutil
import time
import uuid

from segan_tf import run_lock
from segan_tf.errors import UserError

_NEW = ".new_run"  # being written
_READY = ".new_run_ready"  # complete, being moved into place
_OLD = ".replaced_run"  # what it replaces, being removed
# Of the old run, where the new one has none yet.
_OUTDATED = ("training.json", "decision.json")
_WAIT_SECONDS = 5.0  # for another process to move a few files


def begin(model_dir: str) -> str:
    """Creates the empty folder of a new run and returns it.

    Raises:
      OSError: the model_dir cannot be written.
    """
    folder = os.path.join(model_dir, _NEW)
    _remove(folder)
    os.mkdir(folder)
    return folder


def publish(model_dir: str) -> None:
    """Replaces the old run by the new one, whose first checkpoint is whole.

    Raises:
      OSError: the model_dir cannot be written.
    """
    os.rename(os.path.join(model_dir, _NEW), os.path.join(model_dir, _READY))
    _move_into_place(model_dir)


def clean_up(model_dir: str) -> None:
    """Completes or removes what a killed training left; needs the lock.

    Raises:
      OSError: the model_dir cannot be written.
    """
    if os.path.isdir(os.path.join(model_dir, _READY)):
        _move_into_place(model_dir)
    for name in (_NEW, _OLD):
        _remove(os.path.join(model_dir, name))


def complete(model_dir: str) -> None:
    """Completes a replacement that was interrupted, before the run is read.

    Raises:
      UserError: the model_dir cannot be written.
    """
    ready = os.path.join(model_dir, _READY)
    waited_until = time.monotonic() + _WAIT_SECONDS
    while os.path.isdir(ready):
        try:
            with run_lock.hold(model_dir):
                clean_up(model_dir)
        except OSError as error:
            raise UserError(
                f"--model_dir ({model_dir}) was interrupted while a new run "
                f"replaced the old one, and cannot be written "
                f"({error.strerror}); open it once with the permission to "
                "write."
            ) from error
        except UserError:  # a training holds the lock and moves the files
            if time.monotonic() > waited_until:
                raise
            time.sleep(0.05)


def _move_into_place(model_dir: str) -> None:
    ready, old = (os.path.join(model_dir, name) for name in (_READY, _OLD))
    os.makedirs(old, exist_ok=True)
    for name in _OUTDATED:
        with contextlib.suppress(FileNotFoundError):
            os.remove(os.path.join(model_dir, name))
    for name in sorted(os.listdir(ready)):
        place = os.path.join(model_dir, name)
        # A rename replaces a file but no folder, and would follow a link.
        if os.path.isdir(place) or os.path.islink(place):
            os.rename(place, os.path.join(old, f"{name}-{uuid.uuid4().hex}"))
        os.rename(os.path.join(ready, name), place)
    os.rmdir(ready)
    _remove(old)


def _remove(folder: str) -> None:
    """Removes a folder of ours; links inside are removed, not followed."""
    if os.path.isdir(folder) and not os.path.islink(folder):
        shutil.rmtree(folder)
