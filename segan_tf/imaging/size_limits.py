"""How small and how large images may be."""

import os

from segan_tf.errors import UserError

# Three times the largest image of the ISIC archive (6748x4499); as RGB it takes
# 300 MB. A header that claims more is damaged or an attack, so the pixels are
# not decoded.
MAX_PIXELS = 100_000_000
# Pixels a side. The segmentor halves the image four times.
MIN_SIDE = 16


def check(path: str | os.PathLike[str], size: tuple[int, int]) -> None:
    """Checks that an image is neither too small nor too large.

    Raises:
      UserError: it is.
    """
    width, height = size
    if min(size) < MIN_SIDE:
        raise UserError(
            f"{path} is {width}x{height} pixels; an image needs at least "
            f"{MIN_SIDE} a side; remove it."
        )
    if width * height > MAX_PIXELS:
        raise too_large(path, f"{width}x{height}")


def too_large(path: str | os.PathLike[str], size: str) -> UserError:
    """Describes that an image is too large."""
    return UserError(
        f"{path} is too large ({size}); at most {MAX_PIXELS:,} pixels are "
        "read; make it smaller or remove it."
    )
