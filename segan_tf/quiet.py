"""Keeps the chatter of TensorFlow's C++ parts off the user's screen."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator

_STDOUT_AND_STDERR = (1, 2)


@contextlib.contextmanager
def silenced() -> Iterator[None]:
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
