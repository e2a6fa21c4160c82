"""Reads how many bits a value of an image really has.

Cameras and scanners of 10, 12 or 14 bits store their values in 16.
"""

import dataclasses
import os
import struct

from PIL import Image, TiffImagePlugin

from segan_tf.errors import UserError

_TIFF_BITS = 258  # BitsPerSample
_TIFF_MAXIMUM = 281  # MaxSampleValue
_BITS = 16
# The largest value of a 16-bit gray image.
MAX_16_BIT = 65535
# An image of 16 bits a value that uses no more than so many is an error: at
# most a quarter of the range, 64 of the 256 gray levels that it is read as.
MAX_EMPTY_BITS = 14
# With 15, an image that is dark could be meant.
_MOST_PNG_BITS = 14


@dataclasses.dataclass(frozen=True)
class BitDepth:
    """The bits of an image's values.

    Attributes:
      has_16_bits: whether the file has 16 bits a value, of which Pillow may
        have kept the upper 8.
      white: the largest value that fewer bits can hold, such as 4095, where
        the file states how many are used; else 0.
    """

    has_16_bits: bool = False
    white: int = 0


FULL = BitDepth()


def read(path: str | os.PathLike[str], image: Image.Image) -> BitDepth:
    """Reads the bits of a value from the header of an image.

    Args:
      path: of the file.
      image: opened, not decoded.
    """
    has_16_bits = any("16" in _raw_mode(tile[-1]) for tile in _tiles(image))
    white = 0
    if image.mode.startswith("I"):
        if isinstance(image, TiffImagePlugin.TiffImageFile):
            white = _read_tiff_white(image)
        elif image.format == "PNG":
            white = _read_png_white(path)
    return BitDepth(has_16_bits, white)


def _tiles(image: Image.Image) -> list:
    """Returns what Pillow's decoders are to unpack."""
    return list(getattr(image, "tile", ()))


def _raw_mode(arguments: object) -> str:
    """Returns the layout of stored pixels, such as "RGB;16B"."""
    if isinstance(arguments, tuple) and arguments:
        arguments = arguments[0]
    return arguments if isinstance(arguments, str) else ""


def _read_tiff_white(image: TiffImagePlugin.TiffImageFile) -> int:
    bits = int(image.tag_v2.get(_TIFF_BITS, (_BITS,))[0])
    if bits < _BITS:
        return (1 << bits) - 1
    stated = image.tag_v2.get(_TIFF_MAXIMUM, 0)
    if isinstance(stated, tuple):
        stated = stated[0]
    return int(stated) if 0 < stated < (1 << _BITS) - 1 else 0


def _read_png_white(path: str | os.PathLike[str]) -> int:
    """Reads sBIT, the significant bits.

    By the PNG specification, 11.3.2.4, values are scaled up to all 16 bits
    nevertheless; some programs do not.
    """
    with open(path, "rb") as file:
        file.seek(8)
        while len(head := file.read(8)) == 8:
            length, kind = struct.unpack(">I4s", head)
            if kind == b"IDAT":
                break
            if kind == b"sBIT":
                bits = (file.read(1) or b"\0")[0]
                return (1 << bits) - 1 if bits <= _MOST_PNG_BITS else 0
            file.seek(length + 4, os.SEEK_CUR)
    return 0


def check_brightness(name: str, brightest: int) -> None:
    """Checks that an image of 16 bits a value does not use far fewer.

    Scanners and cameras of 10, 12 or 14 bits often leave the upper ones empty.

    Raises:
      UserError: it does; it would be read as nearly black.
    """
    bits = brightest.bit_length()
    if 0 < bits <= MAX_EMPTY_BITS:
        raise UserError(
            f"{name} has 16 bits a value but uses {bits} (its largest is "
            f"{brightest} of {MAX_16_BIT}), so it would be read as nearly "
            f"black; multiply its values by {2 ** (16 - bits)}, the same for "
            "all images, or save it as PNG with 8 bits."
        )
