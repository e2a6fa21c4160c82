"""Reads and writes images.

All images are read here, so that a file looks the same to training,
evaluation and prediction, and a bad file gives a one-line error.
"""

import dataclasses
import io
import itertools
import os
from collections.abc import Sequence

import numpy as np
from PIL import Image

from segan_tf import files
from segan_tf.imaging import (
    bit_depth,
    dicom,
    formats,
    orientation,
    pillow_files,
    rgb,
)

_EXPECTED_IMAGE = (
    "an image must be a uint8 array [height, width, 3] of RGB, a PIL image or "
    "a path"
)


def image_id(path: str | os.PathLike[str]) -> str:
    """Returns an image's id: its file name without folder and ending.

    That of a DICOM file is its SOP instance UID, since its name may be that of
    a patient.

    Raises:
      UserError: a DICOM file has none, or pydicom is missing.
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
      UserError: not an image, empty, too small or too large.
    """
    if formats.is_dicom(path):
        return Header(dicom.size_of(dicom.read_header(path)), orientation=1)
    with pillow_files.opened(path) as image:
        return Header(
            orientation.upright_size(image),
            orientation.read_orientation(image),
        )


def image_size_of(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Reads an image's (width, height) after it is turned upright.

    Raises:
      UserError: as `read_header`.
    """
    return read_header(path).size


def decode(path: str | os.PathLike[str]) -> Image.Image:
    """Decodes an image in its own mode and turns it upright.

    Raises:
      UserError: not an image, empty, damaged, truncated, shorter than
        its header says, too small or too large.
    """
    return _decode(path)[0]


def _decode(
    path: str | os.PathLike[str],
) -> tuple[Image.Image, bit_depth.BitDepth]:
    if formats.is_dicom(path):
        return dicom.decode(path), bit_depth.FULL
    return pillow_files.decode(path)


def read_image(path: str | os.PathLike[str]) -> np.ndarray:
    """Reads an image as RGB.

    The image is turned upright by its EXIF orientation, gray of more than 8
    bits is scaled to 8, by the real number of bits where the file states it,
    and transparent pixels are blended over white. Of an animation the first
    frame is read.

    Returns:
      uint8 [height, width, 3], 0 to 255.

    Raises:
      UserError: as `decode`; or nothing of the image would be seen,
        since it is fully transparent or uses few of its 16 bits.
    """
    image, depth = _decode(path)
    return rgb.to_rgb(image, str(path), depth=depth)


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
      UserError: the file cannot be read, or nothing of the image would
        be seen, as in `read_image`.
    """
    if isinstance(image, str | os.PathLike):
        return read_image(image)
    if isinstance(image, Image.Image):
        return rgb.to_rgb(orientation.turn_upright(image), "the image")
    if not isinstance(image, np.ndarray):
        raise TypeError(f"{_EXPECTED_IMAGE}, not {type(image).__name__}.")
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise TypeError(
            f"{_EXPECTED_IMAGE}, not {image.dtype} {list(image.shape)}."
        )
    return image


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
