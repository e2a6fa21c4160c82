"""Turns every failure of the program into one line and an exit status.

A mistake of the user, a failure of the machine and a stop are described in one
line. What is left is a bug of this program: its traceback goes to a log file.
"""

import contextlib
import errno
import os
import re
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from types import FrameType

from segan_tf import console, errors

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_REMEDIES = {
    **dict.fromkeys(_NO_ROOM, "make room and run the command again"),
    errno.EACCES: "check its permissions",
    errno.EPERM: "check its permissions",
    errno.EROFS: "give a folder that can be written",
    errno.ENAMETOOLONG: "give a shorter name",
    errno.ENOENT: "check the path",
    errno.ENOTDIR: "check the path",
    errno.EISDIR: "check the path",
    errno.EIO: "check the disk or the network drive",
    errno.ESTALE: "check the disk or the network drive",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.ENOMEM: "free some memory",
}
# Failures that the next file would meet too.
_LASTING = (
    *_NO_ROOM,
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.EIO,
    errno.ESTALE,
    errno.EMFILE,
    errno.ENOENT,
    errno.ENOTDIR,
)
_TENSORFLOW = ("tensorflow", "keras")
# How TensorFlow, which has no errno, words failures of files.
_FILE_FAILURES = (
    "No space",
    "File too large",
    "Disk quota",
    "Permission denied",
    "Read-only",
    "No such file",
    "Input/output error",
)
_NO_MEMORY = "ResourceExhausted"
# Names of nodes and operations in TensorFlow's messages.
_NODE = re.compile(r"\{\{.*?\}\}|\[\[.*?\]\]|\[Op:.*?\]")
# A mistake that was raised where tf.data reads, in TensorFlow's words for it.
_CARRIED = re.compile(r"\bUserError: (.+)")
_STOPPED_BY = {signal.SIGINT: "Ctrl+C", signal.SIGTERM: "SIGTERM"}
if hasattr(signal, "SIGHUP"):  # not on Windows
    _STOPPED_BY[signal.SIGHUP] = "SIGHUP, the end of its terminal"
_CLOSED_PIPE_STATUS = 128 + 13  # as if ended by SIGPIPE, like other tools


def run(work: Callable[[], int]) -> int:
    """Runs the program or a part of it.

    Args:
      work: returns the exit status.

    Returns:
      The status of ``work``; 1 after an error, which is printed; 128 + its
      number after a signal; 141 if nobody reads the output any more.

    Raises:
      SystemExit: ``work`` raised it.
    """
    with _noted_signals() as noted:
        try:
            status = work()
            sys.stdout.flush()
            return status
        except BrokenPipeError:
            _discard_output()
            return _CLOSED_PIPE_STATUS
        except (Exception, KeyboardInterrupt) as error:
            # Whatever an interrupt became on its way through TensorFlow.
            if noted or isinstance(error, KeyboardInterrupt):
                return _report_stop(noted[0] if noted else signal.SIGINT)
            console.say_error(describe(error) or _describe_bug(error))
            return 1


def describe(error: BaseException) -> str | None:
    """Describes an error that is not a bug of this program.

    Returns:
      One line that names the file and a remedy where they are known; None for
      what is a bug.
    """
    if isinstance(error, errors.UserError):
        return str(error)
    if isinstance(error, ModuleNotFoundError):
        return errors.missing_package(error)
    if isinstance(error, MemoryError):
        return "out of memory; free some, or use fewer or smaller images."
    if isinstance(error, OSError):
        return _describe_os_error(error)
    if type(error).__module__.partition(".")[0] in _TENSORFLOW:
        return _describe_tensorflow_error(error)
    return None


def concerns_one_file(error: Exception) -> bool:
    """Returns whether an error leaves a batch of files able to continue.

    It does if it is of one image: unreadable, its name too long, too large for
    the memory. It does not if the disk is full or the folder read-only.
    """
    if isinstance(error, errors.UserError | MemoryError):
        return True
    if isinstance(error, OSError):
        return error.errno not in _LASTING
    return type(error).__name__.startswith(_NO_MEMORY) and not any(
        words in str(error) for words in _FILE_FAILURES
    )


def remedy_for(error: OSError) -> str:
    """Says what the user can do about a failure of the system."""
    return _REMEDIES.get(error.errno or 0, "check the file or the network")


def _report_stop(number: int) -> int:
    stopped_by = _STOPPED_BY[signal.Signals(number)]
    console.say_error(
        f"stopped by {stopped_by}; files that were written are whole and stay."
    )
    return 128 + number


def _describe_os_error(error: OSError) -> str:
    reason = error.strerror or _first_line(error)
    name = error.filename
    if isinstance(name, bytes):
        name = os.fsdecode(name)
    subject = f"{name}: {reason}" if isinstance(name, str) else reason
    return f"{subject}; {remedy_for(error)}."


def _describe_tensorflow_error(error: BaseException) -> str | None:
    carried = _CARRIED.search(str(error))
    if carried:
        return carried[1]
    text = _NODE.sub("", _first_line(error)).strip()
    if any(words in str(error) for words in _FILE_FAILURES):
        return (
            f"a file cannot be read or written ({text}); check the free space "
            "and the permissions, and run the command again."
        )
    if _is_out_of_memory(error):
        return (
            f"out of memory ({text}); free some, or train with a lower "
            "--batch_size, --image_size or --width."
        )
    return None


def _is_out_of_memory(error: BaseException) -> bool:
    # Keras raises errors of its own kinds, with Python's inside their text.
    return type(error).__name__.startswith(_NO_MEMORY) or any(
        words in str(error) for words in ("OOM", "MemoryError")
    )


def _describe_bug(error: BaseException) -> str:
    """Writes the traceback to a log file, or else to standard error."""
    try:
        log = f"its log is {_write_log(error)}"
    except OSError:
        traceback.print_exception(error)
        log = "its traceback is above"
    return (
        f"this is a bug of segan-tf ({type(error).__name__}: "
        f"{_first_line(error)}); {log}; please report it."
    )


def _write_log(error: BaseException) -> str:
    stamp = time.strftime("%Y%m%d-%H%M%S")
    descriptor, path = tempfile.mkstemp(
        prefix=f"segan-tf-{stamp}-", suffix=".log", text=True
    )
    with open(descriptor, "w", encoding="utf-8", errors="replace") as file:
        file.write(f"command: {sys.argv}\n")
        file.writelines(traceback.format_exception(error))
    return path


@contextlib.contextmanager
def _noted_signals() -> Iterator[list[int]]:
    """Raises KeyboardInterrupt for `_STOPPED_BY`, and notes which came.

    A signal that the program was started without (nohup, a shell's &) stays
    ignored.
    """
    noted: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        noted.append(number)
        raise KeyboardInterrupt

    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in _STOPPED_BY:
            if signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, stop)
    try:
        yield noted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _discard_output() -> None:
    """Keeps Python from failing again when it flushes a closed pipe."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(BrokenPipeError):
                stream.flush()
                continue
            os.dup2(nowhere, stream.fileno())


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
