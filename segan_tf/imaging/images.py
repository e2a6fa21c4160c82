"""Reads and writes images.

All images are read here, so that a file looks the same to training,
evaluation and prediction, and a bad file gives a one-line error.
"""

import contextlib
import dataclasses
import io
import itertools
import os
from collections.abc import Iterator, Sequence
from typing import IO

import numpy as np
from PIL import Image, PngImagePlugin

from segan_tf import config, files
from segan_tf.imaging import (
    bit_depth,
    completeness,
    dicom,
    formats,
    orientation,
    pillow,
)

# Three times the largest image of the ISIC archive (6748x4499); as RGB it takes
# 300 MB. A header that claims more is damaged or an attack, so the pixels are
# not decoded.
MAX_PIXELS = 100_000_000
# Pixels a side. The segmentor halves the image four times.
MIN_SIDE = 16
# The largest value of a 16-bit gray image.
MAX_16_BIT = 65535
# An image of 16 bits a value that uses no more than so many is an error: at
# most a quarter of the range, 64 of the 256 gray levels that it is read as.
MAX_EMPTY_BITS = 14

# What Pillow would clip or not convert.
_UNREAD_MODES = {"F": "floating-point values", "LAB": "Lab colors"}
_EXPECTED_IMAGE = (
    "an image must be a uint8 array [height, width, 3] of RGB, a PIL image or "
    "a path"
)


def image_id(path: str | os.PathLike[str]) -> str:
    """Returns an image's id: its file name without folder and ending.

    That of a DICOM file is its SOP instance UID, since its name may be that of
    a patient.

    Raises:
      config.UserError: a DICOM file has none, or pydicom is missing.
    """
    if formats.is_dicom(path):
        return dicom.read_uid(path)
    return formats.stem(path)


@dataclasses.dataclass(frozen=True)
class Header:
    """What an image's header says.

    Attributes:
      size: (width, height) after it is turned upright.
      orientation: its EXIF orientation, 1 if it is stored upright.
    """

    size: tuple[int, int]
    orientation: int


def read_header(path: str | os.PathLike[str]) -> Header:
    """Reads an image's header; a truncated image is mostly not noticed.

    Raises:
      config.UserError: not an image, empty, too small or too large.
    """
    if formats.is_dicom(path):
        size = dicom.size_of(dicom.read_header(path))
        _check_size(path, size)
        return Header(size, orientation=1)
    with _opened(path) as image:
        return Header(
            orientation.upright_size(image),
            orientation.read_orientation(image),
        )


def image_size_of(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Reads an image's (width, height) after it is turned upright.

    Raises:
      config.UserError: as `read_header`.
    """
    return read_header(path).size


def decode(path: str | os.PathLike[str]) -> Image.Image:
    """Decodes an image in its own mode and turns it upright.

    Raises:
      config.UserError: not an image, empty, damaged, truncated, shorter than
        its header says, too small or too large.
    """
    return _decode(path)[0]


def _decode(
    path: str | os.PathLike[str],
) -> tuple[Image.Image, bit_depth.BitDepth]:
    """Decodes an image; also tells how many bits a value the file has."""
    if formats.is_dicom(path):
        read_header(path)  # checks the size before the pixels are decoded
        return dicom.decode(path), bit_depth.FULL
    with _opened(path) as image:
        depth = bit_depth.read(path, image)
        upright = orientation.turn_upright(image)
        if completeness.is_filled_up(path, image):
            raise _claims_too_much(path)
        return upright, depth


def read_image(path: str | os.PathLike[str]) -> np.ndarray:
    """Reads an image as RGB.

    The image is turned upright by its EXIF orientation, gray of more than 8
    bits is scaled to 8, by the real number of bits where the file states it,
    and transparent pixels are blended over white. Of an animation the first
    frame is read.

    Returns:
      uint8 [height, width, 3], 0 to 255.

    Raises:
      config.UserError: as `decode`; or nothing of the image would be seen,
        since it is fully transparent or uses few of its 16 bits.
    """
    image, depth = _decode(path)
    return _to_rgb(image, str(path), depth=depth)


def as_rgb(
    image: np.ndarray | Image.Image | str | os.PathLike[str],
) -> np.ndarray:
    """Converts an image in memory to RGB, or reads it as `read_image` does.

    Args:
      image: a uint8 array [height, width, 3] of RGB, a PIL image of any mode,
        which is turned upright by its EXIF orientation, or a path.

    Returns:
      uint8 [height, width, 3], 0 to 255.

    Raises:
      TypeError: it is none of these.
      config.UserError: the file cannot be read, or nothing of the image would
        be seen, as in `read_image`.
    """
    if isinstance(image, str | os.PathLike):
        return read_image(image)
    if isinstance(image, Image.Image):
        return _to_rgb(orientation.turn_upright(image), "the image")
    if not isinstance(image, np.ndarray):
        raise TypeError(f"{_EXPECTED_IMAGE}, not {type(image).__name__}.")
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise TypeError(
            f"{_EXPECTED_IMAGE}, not {image.dtype} {list(image.shape)}."
        )
    return image


def blend_over(image: Image.Image, background: str) -> Image.Image:
    """Converts to RGB, with transparent pixels blended over a background."""
    if not has_alpha(image):
        # A conversion to the same mode would copy it.
        return image if image.mode == "RGB" else image.convert("RGB")
    image = image.convert("RGBA")
    canvas = Image.new("RGBA", image.size, background)
    return Image.alpha_composite(canvas, image).convert("RGB")


def has_alpha(image: Image.Image) -> bool:
    """Tells whether an image may have transparent pixels."""
    return image.mode.endswith(("A", "a")) or "transparency" in image.info


def alpha_range(image: Image.Image) -> tuple[int, int]:
    """Returns the least and the largest opacity, 0 to 255."""
    if not has_alpha(image):
        return 255, 255
    opacity = np.asarray(image.convert("RGBA").getchannel("A"))
    return int(opacity.min()), int(opacity.max())


def _to_rgb(
    image: Image.Image,
    name: str,
    *,
    depth: bit_depth.BitDepth = bit_depth.FULL,
) -> np.ndarray:
    if image.mode.startswith("I"):
        # 0..white to 0..255, rounded; convert() would clip at 255.
        values = np.asarray(image)
        darkest, brightest = int(values.min()), int(values.max())
        if darkest < 0 or brightest > MAX_16_BIT:
            raise config.UserError(
                f"{name} holds values from {darkest} to {brightest}; save it "
                f"with 16 bits, 0 to {MAX_16_BIT}."
            )
        white = depth.white if brightest <= depth.white else 0
        if not white:
            _check_brightness(name, brightest)
            white = MAX_16_BIT
        gray = (values.astype(np.uint32) * 255 + white // 2) // white
        return np.repeat(gray.astype(np.uint8)[:, :, None], 3, axis=2)
    if alpha_range(image)[1] == 0:
        raise config.UserError(
            f"{name} is fully transparent (alpha 0 everywhere), nothing of it "
            "would be seen; save it without its alpha channel."
        )
    rgb = np.array(blend_over(image, "white"))
    if depth.has_16_bits:  # of which Pillow keeps the upper 8
        _check_brightness(name, (int(rgb.max()) << 8) + 255)
    return rgb


def _check_brightness(name: str, brightest: int) -> None:
    """Checks that an image of 16 bits a value does not use far fewer.

    Scanners and cameras of 10, 12 or 14 bits often leave the upper ones empty.

    Raises:
      config.UserError: it does; it would be read as nearly black.
    """
    bits = brightest.bit_length()
    if 0 < bits <= MAX_EMPTY_BITS:
        raise config.UserError(
            f"{name} has 16 bits a value but uses {bits} (its largest is "
            f"{brightest} of {MAX_16_BIT}), so it would be read as nearly "
            f"black; multiply its values by {2 ** (16 - bits)}, the same for "
            "all images, or save it as PNG with 8 bits."
        )


@contextlib.contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[Image.Image]:
    """Opens an image, header only, and turns damage into a UserError."""
    try:
        with files.open_regular(path, "rb") as stream:
            if not os.fstat(stream.fileno()).st_size:
                raise config.UserError(
                    f"{path} is empty (zero bytes); copy it again or remove it."
                )
            start = stream.read(formats.SIGNATURE_BYTES)
            stream.seek(0)
            pillow.prepare_reader(formats.format_of_start(start), str(path))
            with pillow.ignored_warnings():
                image = Image.open(
                    stream, formats=pillow.names_of_read_formats()
                )
                _check_kind(path, image)
            _check_size(path, image.size)
            _check_length(path, image, stream)
            yield image
    except config.UserError:
        raise
    except Image.DecompressionBombError as error:
        raise _too_large(path, "more than Pillow opens") from error
    except Image.UnidentifiedImageError as error:
        raise config.UserError(
            f"{path} is not a {formats.format_names()} image, or its beginning "
            "is damaged; save it again as PNG or remove it."
        ) from error
    except pillow.DAMAGE as error:
        system_error = getattr(error, "strerror", None)  # Pillow sets none
        if system_error:
            raise config.UserError(
                f"{path} cannot be opened ({system_error}); check the path and "
                "its permissions."
            ) from error
        if "MAX_TEXT" in str(error):  # Pillow's name of the bound
            raise config.UserError(
                f"{path} has a text or color profile above "
                f"{PngImagePlugin.MAX_TEXT_CHUNK >> 20} MiB; save it without."
            ) from error
        raise config.UserError(
            f"{path} is damaged or truncated ({' '.join(str(error).split())}); "
            "copy it again or remove it."
        ) from error


def _check_kind(path: str | os.PathLike[str], image: Image.Image) -> None:
    """Checks that a file holds one image, of values that are read.

    Raises:
      config.UserError: it does not.
    """
    if image.mode in _UNREAD_MODES:
        raise config.UserError(
            f"{path} holds {_UNREAD_MODES[image.mode]}; save it as PNG with 8 "
            "or 16 bits."
        )
    pages = getattr(image, "n_frames", 1) if image.format == "TIFF" else 1
    if pages > 1:
        raise config.UserError(
            f"{path} holds {pages} pages; save each as a file of its own."
        )


def _check_size(path: str | os.PathLike[str], size: tuple[int, int]) -> None:
    """Checks that an image is neither too small nor too large.

    Raises:
      config.UserError: it is.
    """
    width, height = size
    if min(size) < MIN_SIDE:
        raise config.UserError(
            f"{path} is {width}x{height} pixels; an image needs at least "
            f"{MIN_SIDE} a side; remove it."
        )
    if width * height > MAX_PIXELS:
        raise _too_large(path, f"{width}x{height}")


def _check_length(
    path: str | os.PathLike[str], image: Image.Image, stream: IO[bytes]
) -> None:
    """Checks that a JPEG is not far shorter than its size allows.

    Raises:
      config.UserError: it is.
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


def _claims_too_much(path: str | os.PathLike[str]) -> config.UserError:
    return config.UserError(
        f"{path} is damaged: it holds fewer pixels than its header says; copy "
        "it again or remove it."
    )


def _too_large(path: str | os.PathLike[str], size: str) -> config.UserError:
    return config.UserError(
        f"{path} is too large ({size}); at most {MAX_PIXELS:,} pixels are "
        "read; make it smaller or remove it."
    )


def encode_png(array: np.ndarray) -> bytes:
    """Encodes uint8 [height, width], [h, w, 1] or [h, w, 3] as a PNG."""
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    return _save_png(Image.fromarray(array))


def write_png(path: str | os.PathLike[str], array: np.ndarray) -> None:
    """Writes uint8 [height, width], [h, w, 1] or [h, w, 3] as a PNG file.

    Raises:
      OSError: the file cannot be written.
    """
    files.write_bytes(path, encode_png(array))


def write_index_png(
    path: str | os.PathLike[str],
    numbers: np.ndarray,
    colors: Sequence[tuple[int, int, int]],
) -> None:
    """Writes the numbers of multiclass labels as a PNG that shows in color.

    Args:
      path: of the file.
      numbers: uint8 [height, width], 0 for background.
      colors: of the labels 1, 2, ...; the background is black.

    Raises:
      OSError: the file cannot be written.
    """
    indexed = Image.fromarray(numbers).convert("P")
    indexed.putpalette([0, 0, 0, *itertools.chain.from_iterable(colors)])
    files.write_bytes(path, _save_png(indexed))


def _save_png(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format="PNG")
    return stream.getvalue()
