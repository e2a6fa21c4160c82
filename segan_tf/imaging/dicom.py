"""Reads DICOM images with pydicom, which the extra dicom installs.

Pixels are read as they are stored: DICOM knows no EXIF orientation, and a
segmentation refers to the stored rows and columns. Errors and ids hold no names
of patients.
"""

import contextlib
import importlib
import logging
import os
import re
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

from segan_tf import errors, files
from segan_tf.errors import UserError
from segan_tf.imaging import size_limits

# Part 5, 9.1; an id also becomes a file name.
_UID = re.compile(r"[0-9.]{1,64}")
_GRAY = ("MONOCHROME1", "MONOCHROME2")
_COLOR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
_PALETTE = "PALETTE COLOR"
_UNREAD_KINDS = ("ARGB", "CMYK", "HSV", "YBR_PARTIAL_420", "YBR_PARTIAL_422")
_WARNING_MODULES = rf"pydicom\.|{re.escape(__name__)}"  # that pydicom blames
_TABLES = ("ModalityLUTSequence", "VOILUTSequence")


def read_uid(path: str | os.PathLike[str]) -> str:
    """Reads the SOP instance UID, which is the id of a DICOM image.

    Raises:
      UserError: it has none, or pydicom is missing.
    """
    # Values are decoded when they are asked for.
    with _named_damage(path):
        header = _read(path, tags=["SOPInstanceUID"])
        uid = str(header.get("SOPInstanceUID", ""))
    if not _UID.fullmatch(uid):
        raise UserError(
            f"{path} has no valid SOP instance UID; export it again from its "
            "archive or remove it."
        )
    return uid


def read_header(path: str | os.PathLike[str]) -> Any:
    """Reads all but the pixels of an image, as a `pydicom.Dataset`.

    Raises:
      UserError: it holds no single image, or pydicom is missing.
    """
    with _named_damage(path):
        header = _read(path, with_pixels=False)
        _check_image(path, header)
    return header


def size_of(header: Any) -> tuple[int, int]:
    """Returns an image's (width, height)."""
    return int(header.Columns), int(header.Rows)


def pixel_spacing(header: Any) -> tuple[float, float] | None:
    """Returns the distances of rows and of columns in mm, if they are known."""
    try:
        spacing = header.get("PixelSpacing")
        for group in header.get("SharedFunctionalGroupsSequence", ()):
            for measures in group.get("PixelMeasuresSequence", ()):
                spacing = spacing or measures.get("PixelSpacing")
        rows, columns = (float(value) for value in spacing or ())
    except (ValueError, TypeError, NotImplementedError):  # absent or damaged
        return None
    return (rows, columns) if rows > 0 and columns > 0 else None


def decode(path: str | os.PathLike[str]) -> Image.Image:
    """Decodes an image as 8-bit gray or RGB.

    Gray is scaled by the image's window, else by its bits a value.

    Raises:
      UserError: it holds no single image, is damaged or of an unread kind, or
        a package is missing.
    """
    with _named_damage(path):
        dataset = _read(path)
        _check_image(path, dataset)
        _check_kind(path, dataset)
        pixels = importlib.import_module("pydicom.pixels")
        values = pixels.pixel_array(dataset)  # YBR as RGB
        kind = dataset.PhotometricInterpretation
        if kind in _GRAY:
            values = _scale_gray(pixels, values, dataset)
        elif kind == _PALETTE:
            values = pixels.apply_color_lut(values, dataset)
            values = _scale(values, 0, np.iinfo(values.dtype).max)
        else:
            values = _scale(values, 0, (1 << dataset.BitsStored) - 1)
        return Image.fromarray(values)


def _scale_gray(pixels: Any, values: np.ndarray, dataset: Any) -> np.ndarray:
    """Scales gray to uint8 [height, width], 0 for black."""
    low, high = 0, (1 << dataset.BitsStored) - 1
    if dataset.get("PixelRepresentation"):  # signed
        low, high = -(high + 1) // 2, high // 2
    if dataset.get("WindowWidth") is not None:
        values = pixels.apply_rescale(values, dataset)
        values = pixels.apply_windowing(values, dataset)
        slope = float(dataset.get("RescaleSlope", 1))
        shift = float(dataset.get("RescaleIntercept", 0))
        ends = sorted((low * slope + shift, high * slope + shift))
        gray = _scale(values, *ends)
    else:
        gray = _scale(values, low, high)
    is_inverse = dataset.PhotometricInterpretation == "MONOCHROME1"
    return 255 - gray if is_inverse else gray


def _scale(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Maps low..high to 0..255, rounded."""
    if values.dtype == np.uint8 and (low, high) == (0, 255):
        return values
    scaled = (values.astype(np.float32) - low) * (255 / (high - low))
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)


def _check_image(path: str | os.PathLike[str], header: Any) -> None:
    """Checks that a file holds one image of a size that is read.

    Raises:
      UserError: it does not.
    """
    if not (header.get("Rows") and header.get("Columns") and size_of(header)):
        kind = _name_of(header.get("SOPClassUID"))
        raise UserError(f"{path} holds no image ({kind}); remove it.")
    frames = int(header.get("NumberOfFrames") or 1)
    if frames != 1:
        raise UserError(
            f"{path} holds {frames} frames; save each as a file of its own."
        )
    size_limits.check(path, size_of(header))


def _check_kind(path: str | os.PathLike[str], dataset: Any) -> None:
    """Checks that the pixels of an image can be read.

    Raises:
      UserError: they are of an unread kind, or a package is missing.
    """
    kind = dataset.get("PhotometricInterpretation")
    if kind not in (*_GRAY, *_COLOR, _PALETTE):
        kind = kind if kind in _UNREAD_KINDS else "unknown"
        raise UserError(
            f"{path} has the photometric interpretation {kind}; save it as RGB."
        )
    if any(name in dataset for name in _TABLES):
        raise UserError(
            f"{path} has a lookup table of gray values, which is not read; "
            "save it as PNG."
        )
    syntax = dataset.file_meta.TransferSyntaxUID
    pixels = importlib.import_module("pydicom.pixels")
    try:
        is_readable = pixels.get_decoder(syntax).is_available
    except NotImplementedError as error:
        raise UserError(
            f"{path} has the transfer syntax {_name_of(syntax)}, which is not "
            "read; convert it to JPEG 2000 or no compression."
        ) from error
    if not is_readable:
        raise errors.missing_extra(
            f"{path} ({_name_of(syntax)})",
            "pylibjpeg with its plug-ins",
            "dicom",
        )


def _name_of(uid: Any) -> str:
    """Names a UID of the standard; others may be any text of a damaged file."""
    name = getattr(uid, "name", uid)
    return str(name) if name != uid else "unknown"


def _read(
    path: str | os.PathLike[str],
    *,
    with_pixels: bool = True,
    tags: list[str] | None = None,
) -> Any:
    """Reads a file, or only some of its tags."""
    pydicom = _import_pydicom(path)
    with _named_damage(path), files.open_regular(path, "rb") as file:
        return pydicom.dcmread(
            file,
            stop_before_pixels=not with_pixels or bool(tags),
            specific_tags=tags,
        )


def _import_pydicom(path: str | os.PathLike[str]) -> Any:
    pydicom = errors.import_extra(
        "pydicom", what=f"{path} (DICOM)", extra="dicom"
    )
    # Its warnings and log lines quote values, names of patients among them.
    warnings.filterwarnings("ignore", module=_WARNING_MODULES)
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)
    return pydicom


@contextlib.contextmanager
def _named_damage(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turns what pydicom raises on damaged files into a UserError.

    It raises errors of many kinds, whose texts may quote values.
    """
    try:
        yield
    except (UserError, MemoryError):
        raise
    except OSError as error:
        if error.strerror:
            raise UserError(
                f"{path} cannot be opened ({error.strerror}); check the path "
                "and its permissions."
            ) from error
        raise _damaged(path, error) from error
    except Exception as error:
        raise _damaged(path, error) from error


def _damaged(path: str | os.PathLike[str], error: Exception) -> UserError:
    return UserError(
        f"{path} is damaged or truncated, or no DICOM image "
        f"({type(error).__name__}); export it again or remove it."
    )
