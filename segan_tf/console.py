"""Progress bars, messages, and capture of what C++ code prints."""

import contextlib
import functools
import os
import sys
import tempfile
from collections.abc import Iterator

import tqdm


def bar(*args, **kwargs) -> tqdm.tqdm:
    """Makes a tqdm bar on standard error.

    On a terminal it moves ten times a second; in a file or a pipe, where
    every change is a new line, every half minute.
    """
    terminal = sys.stderr.isatty()
    return tqdm.tqdm(
        *args,
        mininterval=0.1 if terminal else 30,
        dynamic_ncols=terminal,
        **kwargs,
    )


no_bar = functools.partial(tqdm.tqdm, disable=True)


def say(text: str) -> None:
    """Prints a line without tearing a bar that stands there."""
    tqdm.tqdm.write(text, file=sys.stdout)
    sys.stdout.flush()


_STDOUT_AND_STDERR = (1, 2)


@contextlib.contextmanager
def capture_output() -> Iterator[None]:
    """Swallows everything written to stdout and stderr inside the block.

    The converter and the loader write from C++, past sys.stderr, so the file
    descriptors themselves are redirected: output of other threads is
    swallowed too. sys.stdout and sys.stderr are redirected besides, for in a
    notebook they are no files. If the block raises, the swallowed text is
    shown on stderr, for it may hold the reason.
    """
    with tempfile.TemporaryFile("w+", errors="replace") as swallowed:
        try:
            with (
                contextlib.redirect_stdout(swallowed),
                contextlib.redirect_stderr(swallowed),
                _descriptors_redirected(swallowed.fileno()),
            ):
                yield
        except Exception:
            swallowed.seek(0)
            sys.stderr.write(swallowed.read())
            raise


@contextlib.contextmanager
def _descriptors_redirected(target: int) -> Iterator[None]:
    # What Python still buffers belongs to the old place.
    sys.__stdout__.flush()
    sys.__stderr__.flush()
    kept = [os.dup(descriptor) for descriptor in _STDOUT_AND_STDERR]
    try:
        for descriptor in _STDOUT_AND_STDERR:
            os.dup2(target, descriptor)
        yield
    finally:
        sys.__stdout__.flush()
        sys.__stderr__.flush()
        for copy, descriptor in zip(kept, _STDOUT_AND_STDERR, strict=True):
            os.dup2(copy, descriptor)
            os.close(copy)
