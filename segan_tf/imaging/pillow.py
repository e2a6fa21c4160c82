"""What Pillow raises and warns about when it opens image files."""

import contextlib
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator

# Raised on damaged files, as seen on truncated and altered ones.
DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    LookupError,
    OverflowError,
    struct.error,
    zlib.error,
)
# Python's warning filters are global: only one thread at a time may change
# them.
_warnings_lock = threading.Lock()


@contextlib.contextmanager
def ignored_warnings() -> Iterator[None]:
    """Suppresses Pillow's warnings about a header.

    They are about large images, which have a limit of their own here, and
    about odd tags, which do not change the pixels.
    """
    with _warnings_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
