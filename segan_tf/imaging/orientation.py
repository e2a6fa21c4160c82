"""Turns images upright by their EXIF orientation."""

import contextlib

from PIL import Image

from segan_tf.imaging import pillow

_ORIENTATION_TAG = 0x0112
# EXIF 2.32, table 6: what turns a stored image upright.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
SIDES_SWAPPED = (5, 6, 7, 8)


def turn_upright(image: Image.Image) -> Image.Image:
    """Decodes an image and turns it by its orientation."""
    orientation = read_orientation(image)
    image.load()
    if orientation in _UPRIGHT:
        return image.transpose(_UPRIGHT[orientation])
    return image


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Returns the (width, height) after turning, without decoding."""
    width, height = image.size
    if read_orientation(image) in SIDES_SWAPPED:
        return height, width
    return width, height


def read_orientation(image: Image.Image) -> int:
    """Reads the EXIF orientation, 1 (upright) if there is none.

    It is read from the header alone: Pillow's getexif decodes a whole PNG to
    look for a tag after the pixels.
    """
    tags = Image.Exif()
    # A damaged tag says nothing about the pixels, so they count as upright.
    with contextlib.suppress(*pillow.DAMAGE), pillow.ignored_warnings():
        tags.load(image.info.get("exif", b""))
        return tags.get(_ORIENTATION_TAG, 1)
    return 1
