"""Describes failures of the machine and the user's files in one line.

What is left is a bug of this program; its traceback is kept in a log.
"""

import errno
import os
import re
import tempfile
import time
import traceback

from segan_tf.errors import UserError

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
_TENSORFLOW = ("tensorflow", "keras")
_OUT_OF_MEMORY = "ResourceExhausted"
# A message of TensorFlow's carries node names and its stack after these.
_NODE = re.compile(r"\{\{.*?\}\}|\[\[.*?\]\]|\[Op:.*?\]|\s+$")


def describe(error: BaseException) -> str | None:
    """Describes an error that is not a bug of this program.

    Args:
      error: what a mode raised.

    Returns:
      One line without "error: ", naming the file and a remedy where they are
      known; None for what is a bug.
    """
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, KeyboardInterrupt):
        return "interrupted; what was written so far is kept"
    if isinstance(error, MemoryError):
        return "out of memory; free some, or use fewer or smaller images"
    if isinstance(error, OSError):
        return _describe_os_error(error)
    if _is_tensorflows(error):
        return _describe_tensorflow_error(error)
    return None


def write_log(error: BaseException) -> str:
    """Writes an error's traceback to a file for a report.

    Returns:
      The path of the file.
    """
    stamp = time.strftime("%Y%m%d-%H%M%S")
    descriptor, path = tempfile.mkstemp(
        prefix=f"segan-tf-{stamp}-", suffix=".log", text=True
    )
    with open(descriptor, "w", encoding="utf-8", errors="replace") as file:
        file.writelines(traceback.format_exception(error))
    return path


def _describe_os_error(error: OSError) -> str:
    reason = error.strerror or _first_line(error)
    name = error.filename
    if isinstance(name, bytes):
        name = os.fsdecode(name)
    subject = f"{name}: {reason}" if isinstance(name, str) else reason
    remedy = _REMEDIES.get(error.errno or 0)
    return f"{subject}; {remedy}" if remedy else subject


def _describe_tensorflow_error(error: BaseException) -> str | None:
    kind = type(error).__name__
    text = _NODE.sub("", _first_line(error)).strip()
    if kind.startswith(_OUT_OF_MEMORY) and "No space" not in text:
        return (
            "out of memory; lower --batch_size, --image_size or --width, or "
            f"free some ({text})"
        )
    known = any(
        words in str(error)
        for words in (
            "No space",
            "File too large",
            "Permission denied",
            "Read-only",
            "Disk quota",
            "No such file",
            "Input/output error",
        )
    )
    if not known:
        return None
    return f"a file cannot be read or written ({text}); check disk and rights"


def _is_tensorflows(error: BaseException) -> bool:
    return type(error).__module__.partition(".")[0] in _TENSORFLOW


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
