"""Progress bars, messages, and capture of output that C++ code prints."""

import contextlib
import functools
import io
import os
import sys
import tempfile
import unicodedata
from collections.abc import Iterator
from typing import Any

import tqdm

_is_quiet = False


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Shows no progress and no messages in the block, only errors."""
    global _is_quiet
    before, _is_quiet = _is_quiet, True
    try:
        yield
    finally:
        _is_quiet = before


def bar(*args: Any, **kwargs: Any) -> tqdm.tqdm:
    """Makes a tqdm progress bar on standard error.

    It takes the arguments of tqdm. On a terminal it is updated ten times a
    second. In a file or a pipe, where every update is a new line, it is updated
    every 30 seconds.
    """
    terminal = sys.stderr.isatty()
    return tqdm.tqdm(
        *args,
        disable=_is_quiet,
        mininterval=0.1 if terminal else 30,
        dynamic_ncols=terminal,
        **kwargs,
    )


no_bar = functools.partial(tqdm.tqdm, disable=True)  # for benchmarks, tests


def say(text: str) -> None:
    """Prints a line above the progress bar, if there is one."""
    if _is_quiet:
        return
    tqdm.tqdm.write(printable(text), file=sys.stdout)
    sys.stdout.flush()


def say_error(text: str) -> None:
    """Prints an error above the progress bar, if there is one."""
    sys.stdout.flush()
    tqdm.tqdm.write(f"error: {printable(text)}", file=sys.stderr)


def printable(text: str, *, keep: str = "\n") -> str:
    """Escapes what a terminal acts on or cannot show, as Python writes it.

    Names of files may hold escape sequences, characters that reverse the text
    after them, and bytes that are not UTF-8.

    Args:
      text: what to show.
      keep: control characters that stay as they are.
    """
    if text.isascii() and text.isprintable():
        return text  # the usual case, in a hundredth of the time
    return "".join(
        char
        if char in keep or _is_shown(char)
        else char.encode("unicode_escape").decode("ascii")
        for char in text
    )


def _is_shown(char: str) -> bool:
    return (
        unicodedata.category(char) not in _NOT_SHOWN
        and unicodedata.bidirectional(char) not in _REVERSING
    )


def prepare_output() -> None:
    """Has stdout and stderr escape what their encoding lacks.

    Where the program was started without them (`>&-`), they are opened to
    nowhere: a file that took their place would be printed into.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= max(
        _STDOUT_AND_STDERR
    ):
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


_STDOUT_AND_STDERR = (1, 2)
# Categories of control characters, surrogates and separators of lines.
_NOT_SHOWN = ("Cc", "Cs", "Zl", "Zp")
# Characters that change the direction of the text after them.
_REVERSING = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")


@contextlib.contextmanager
def capture_output() -> Iterator[None]:
    """Discards what is written to stdout and stderr inside the block.

    TensorFlow's converter and loader write from C++, past sys.stderr, so the
    file descriptors themselves are redirected, for all threads. sys.stdout and
    sys.stderr are redirected too, because in a notebook they are not files. If
    the block raises, the output is shown on stderr: it may hold the reason.
    """
    with tempfile.TemporaryFile("w+", errors="replace") as captured:
        try:
            with (
                contextlib.redirect_stdout(captured),
                contextlib.redirect_stderr(captured),
                _descriptors_redirected(captured.fileno()),
            ):
                yield
        except Exception:
            captured.seek(0)
            sys.stderr.write(captured.read())
            raise


@contextlib.contextmanager
def _descriptors_redirected(target: int) -> Iterator[None]:
    # What Python still buffers was written before.
    _flush()
    kept = [os.dup(descriptor) for descriptor in _STDOUT_AND_STDERR]
    try:
        for descriptor in _STDOUT_AND_STDERR:
            os.dup2(target, descriptor)
        yield
    finally:
        _flush()
        for copy, descriptor in zip(kept, _STDOUT_AND_STDERR, strict=True):
            os.dup2(copy, descriptor)
            os.close(copy)


def _flush() -> None:
    for stream in (sys.__stdout__, sys.__stderr__):
        if stream is not None:
            stream.flush()
