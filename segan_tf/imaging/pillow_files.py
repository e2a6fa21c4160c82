"""Opens and decodes image files with Pillow."""

import contextlib
import os
from collections.abc import Iterator
from typing import IO

from PIL import Image, PngImagePlugin

from segan_tf import files
from segan_tf.errors import UserError
from segan_tf.imaging import (
    bit_depth,
    completeness,
    formats,
    orientation,
    pillow,
    size_limits,
)

# What Pillow would clip or not convert.
_UNREAD_MODES = {"F": "floating-point values", "LAB": "Lab colors"}


def decode(
    path: str | os.PathLike[str],
) -> tuple[Image.Image, bit_depth.BitDepth]:
    """Decodes an image and turns it upright.

    Returns:
      The image in its own mode, and how many bits a value the file has.

    Raises:
      UserError: as `opened`; or it is truncated, shorter than its header
        says, or has pixels of another checksum.
    """
    with opened(path) as image:
        depth = bit_depth.read(path, image)
        upright = orientation.turn_upright(image)
        if completeness.is_filled_up(path, image):
            raise _claims_too_much(path)
        if image.format == "PNG" and completeness.has_wrong_checksum(path):
            raise UserError(
                f"{path} is damaged: its pixels do not have the checksum that "
                "was written with them; copy it again or remove it."
            )
        return upright, depth


@contextlib.contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[Image.Image]:
    """Opens an image, header only, and turns damage into a UserError.

    Raises:
      UserError: not an image, empty, damaged, too small or too large.
    """
    try:
        with files.open_regular(path, "rb") as stream:
            if not os.fstat(stream.fileno()).st_size:
                raise UserError(
                    f"{path} is empty (zero bytes); copy it again or remove it."
                )
            start = stream.read(formats.SIGNATURE_BYTES)
            stream.seek(0)
            known = formats.format_of_start(start)
            if known and known.name == formats.DICOM:
                raise UserError(
                    f"{path} holds {formats.DICOM}, but its name says "
                    "otherwise; rename it to end in .dcm."
                )
            pillow.prepare_reader(known, str(path))
            with pillow.ignored_warnings():
                image = Image.open(
                    stream, formats=pillow.names_of_read_formats()
                )
                _check_kind(path, image)
            size_limits.check(path, image.size)
            _check_length(path, image, stream)
            yield image
    except UserError:
        raise
    except Image.DecompressionBombError as error:
        raise size_limits.too_large(path, "more than Pillow opens") from error
    except Image.UnidentifiedImageError as error:
        raise UserError(
            f"{path} is not a {formats.format_names()} image, or its beginning "
            "is damaged; save it again as PNG or remove it."
        ) from error
    except pillow.DAMAGE as error:
        system_error = getattr(error, "strerror", None)  # Pillow sets none
        if system_error:
            raise UserError(
                f"{path} cannot be opened ({system_error}); check the path and "
                "its permissions."
            ) from error
        if "MAX_TEXT" in str(error):  # Pillow's name of the bound
            raise UserError(
                f"{path} has a text or color profile above "
                f"{PngImagePlugin.MAX_TEXT_CHUNK >> 20} MiB; save it without."
            ) from error
        raise UserError(
            f"{path} is damaged or truncated ({' '.join(str(error).split())}); "
            "copy it again or remove it."
        ) from error


def _check_kind(path: str | os.PathLike[str], image: Image.Image) -> None:
    """Checks that a file holds one image, of values that are read.

    Raises:
      UserError: it does not.
    """
    if image.mode in _UNREAD_MODES:
        raise UserError(
            f"{path} holds {_UNREAD_MODES[image.mode]}; save it as PNG with 8 "
            "or 16 bits."
        )
    pages = getattr(image, "n_frames", 1) if image.format == "TIFF" else 1
    if pages > 1:
        raise UserError(
            f"{path} holds {pages} pages; save each as a file of its own."
        )


def _check_length(
    path: str | os.PathLike[str], image: Image.Image, stream: IO[bytes]
) -> None:
    """Checks that a JPEG is not far shorter than its size allows.

    Raises:
      UserError: it is.
    """
    length = os.fstat(stream.fileno()).st_size
    width, height = image.size
    # Blocks of 8x8 in 4 channels of 2 bits are one byte for 64 pixels.
    if image.format not in ("JPEG", "MPO") or length > width * height // 32:
        return
    position = stream.tell()
    stream.seek(0)
    start = stream.read(length)
    stream.seek(position)
    if completeness.is_too_short(start, length):
        raise _claims_too_much(path)


def _claims_too_much(path: str | os.PathLike[str]) -> UserError:
    return UserError(
        f"{path} is damaged: it holds fewer pixels than its header says; copy "
        "it again or remove it."
    )
