"""What Pillow raises and warns about when it opens image files."""

import contextlib
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator

from PIL import PngImagePlugin

# Color profiles and texts of sound PNGs exceed Pillow's 1 MiB; both bounds are
# in bytes, unpacked.
PngImagePlugin.MAX_TEXT_CHUNK = 64 << 20
PngImagePlugin.MAX_TEXT_MEMORY = 128 << 20

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
