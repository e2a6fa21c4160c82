"""What Pillow reads, raises and warns about when it opens image files."""

import contextlib
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator

from PIL import Image, PngImagePlugin, features

from segan_tf import errors
from segan_tf.imaging import formats

# Color profiles and texts of sound PNGs exceed Pillow's 1 MiB; both bounds are
# in bytes, unpacked.
PngImagePlugin.MAX_TEXT_CHUNK = 64 << 20
PngImagePlugin.MAX_TEXT_MEMORY = 128 << 20

# Raised on damaged files, as seen on truncated and altered ones.
DAMAGE = (
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
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


def names_of_read_formats() -> list[str]:
    """Returns Pillow's names of the formats that are read and prepared."""
    return [
        known.name
        for known in formats.FORMATS
        if known.is_read and known.name in Image.OPEN
    ]


def prepare_reader(known: formats.ImageFormat | None, name: str) -> None:
    """Makes Pillow able to read a format.

    Args:
      known: the format, if it is one of FORMATS.
      name: of the file.

    Raises:
      errors.UserError: a package is missing.
    """
    Image.preinit()
    if not known or known.name not in Image.OPEN:
        Image.init()  # all plug-ins, which takes 50 ms
    if not known or not known.is_read or known.name == formats.DICOM:
        return
    if known.package and known.name not in Image.OPEN:
        plug_in = errors.import_extra(
            known.package, what=f"{name} ({known.name})", extra=known.extra
        )
        plug_in.register_heif_opener()
    if known.feature:
        with ignored_warnings():  # of a Pillow too old to know the feature
            is_there = features.check(known.feature)
        if not is_there:
            raise errors.missing_extra(
                f"{name} ({known.name})",
                f"Pillow with {known.feature}",
                known.extra,
            )
