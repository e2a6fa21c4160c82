"""Reads and writes images.

All images are read here, so that a file looks the same to training,
evaluation and prediction, and a bad file gives a one-line error. To read
another format, set `is_read` in its row of FORMATS.
"""

import contextlib
import dataclasses
import io
import itertools
import os
from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image

from segan_tf import config, files
from segan_tf.imaging import orientation, pillow


@dataclasses.dataclass(frozen=True)
class ImageFormat:
    """A file format of images.

    Attributes:
      name: what Pillow calls it, also used in messages.
      endings: of its file names, in lower case.
      is_read: whether files of the format are read. The others are known so
        that a folder of TIFF files is not taken for an empty one.
    """

    name: str
    endings: tuple[str, ...]
    is_read: bool = False


FORMATS: tuple[ImageFormat, ...] = (
    ImageFormat("JPEG", (".jpg", ".jpeg"), is_read=True),
    ImageFormat("PNG", (".png",), is_read=True),
    ImageFormat("BMP", (".bmp",), is_read=True),
    ImageFormat("TIFF", (".tif", ".tiff")),
    ImageFormat("GIF", (".gif",)),
    ImageFormat("WEBP", (".webp",)),
    ImageFormat("JPEG2000", (".jp2",)),
    ImageFormat("HEIC", (".heic",)),
    ImageFormat("DICOM", (".dcm",)),
)

# Three times the largest image of the ISIC archive (6748x4499); as RGB it takes
# 300 MB. A header that claims more is damaged or an attack, so the pixels are
# not decoded.
MAX_PIXELS = 100_000_000
# Pixels a side. The segmentor halves the image four times.
MIN_SIDE = 16
# The largest value of a 16-bit gray image.
MAX_16_BIT = 65535

_EXPECTED_IMAGE = (
    "an image must be a uint8 array [height, width, 3] of RGB, a PIL image or "
    "a path"
)


def format_names(last: str = "or") -> str:
    """Lists the formats that are read: "JPEG, PNG or BMP"."""
    *names, end = (known.name for known in FORMATS if known.is_read)
    return f"{', '.join(names)} {last} {end}" if names else end


def is_image(path: str | os.PathLike[str]) -> bool:
    """Tells by its name whether a file is an image that is read here.

    Hidden files are not: archives packed on a Mac hold a `._name.jpg` for
    each image.
    """
    return _has_format(path, is_read=True)


def is_unread_image(path: str | os.PathLike[str]) -> bool:
    """Tells by its name whether a file is an image that is not read here."""
    return _has_format(path, is_read=False)


def _has_format(path: str | os.PathLike[str], *, is_read: bool) -> bool:
    name = os.path.basename(os.fspath(path))
    endings = itertools.chain.from_iterable(
        known.endings for known in FORMATS if known.is_read == is_read
    )
    return not name.startswith(".") and name.lower().endswith(tuple(endings))


def image_id(path: str | os.PathLike[str]) -> str:
    """Returns an image's id: its file name without folder and ending."""
    return os.path.splitext(os.path.basename(os.fspath(path)))[0]


def find_images(path: str) -> list[str]:
    """Lists the images to segment: a single file, or those in a folder.

    Raises:
      config.UserError: there is no such file, or no image in the folder.
    """
    if os.path.isfile(path):
        return [path]
    if not os.path.isdir(path):
        raise config.UserError(
            f"--input ({path}) is neither an image nor a folder; give one."
        )
    names = sorted(name for name in os.listdir(path) if is_image(name))
    if not names:
        raise config.UserError(
            f"--input ({path}) holds no {format_names()} image; give another "
            "folder."
        )
    return [os.path.join(path, name) for name in names]


def image_size_of(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Reads an image's (width, height) after it is turned upright.

    Only the header is read, so a truncated image is not noticed.

    Raises:
      config.UserError: not an image, empty, too small or too large.
    """
    with _opened(path) as image:
        return orientation.upright_size(image)


def decode(path: str | os.PathLike[str]) -> Image.Image:
    """Decodes an image in its own mode and turns it upright.

    Raises:
      config.UserError: not an image, empty, damaged, truncated, too small or
        too large.
    """
    with _opened(path) as image:
        return orientation.turn_upright(image)


def read_image(path: str | os.PathLike[str]) -> np.ndarray:
    """Reads an image as RGB.

    The image is turned upright by its EXIF orientation, 16-bit gray is scaled
    to 8 bits, and transparent pixels are blended over white.

    Returns:
      uint8 [height, width, 3], 0 to 255.

    Raises:
      config.UserError: as `decode`.
    """
    return _to_rgb(decode(path))


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
      config.UserError: the file cannot be read.
    """
    if isinstance(image, str | os.PathLike):
        return read_image(image)
    if isinstance(image, Image.Image):
        return _to_rgb(orientation.turn_upright(image))
    if not isinstance(image, np.ndarray):
        raise TypeError(f"{_EXPECTED_IMAGE}, not {type(image).__name__}.")
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise TypeError(
            f"{_EXPECTED_IMAGE}, not {image.dtype} {list(image.shape)}."
        )
    return image


def blend_over(image: Image.Image, background: str) -> Image.Image:
    """Converts to RGB, with transparent pixels blended over a background."""
    if not (image.mode.endswith("A") or "transparency" in image.info):
        return image.convert("RGB")
    image = image.convert("RGBA")
    canvas = Image.new("RGBA", image.size, background)
    return Image.alpha_composite(canvas, image).convert("RGB")


def _to_rgb(image: Image.Image) -> np.ndarray:
    if image.mode.startswith("I"):
        # 0..65535 to 0..255, rounded; convert() would clip at 255.
        gray = np.asarray(image).astype(np.uint32)
        gray = (gray * 255 + MAX_16_BIT // 2) // MAX_16_BIT
        return np.repeat(gray.astype(np.uint8)[:, :, None], 3, axis=2)
    return np.array(blend_over(image, "white"))


@contextlib.contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[Image.Image]:
    """Opens an image, header only, and turns damage into a UserError."""
    formats = [known.name for known in FORMATS if known.is_read]
    try:
        with open(path, "rb") as stream:
            if not stream.peek(1):
                raise config.UserError(
                    f"{path} is empty (zero bytes); copy it again or remove it."
                )
            with pillow.ignored_warnings():
                image = Image.open(stream, formats=formats)
            _check_size(path, image.size)
            yield image
    except config.UserError:
        raise
    except Image.DecompressionBombError as error:
        raise _too_large(path, "more than Pillow opens") from error
    except Image.UnidentifiedImageError as error:
        raise config.UserError(
            f"{path} is not a {format_names()} image, or its beginning is "
            "damaged; save it again as PNG or remove it."
        ) from error
    except pillow.DAMAGE as error:
        system_error = getattr(error, "strerror", None)  # Pillow sets none
        if system_error:
            raise config.UserError(
                f"{path} cannot be opened ({system_error}); check the path and "
                "its permissions."
            ) from error
        raise config.UserError(
            f"{path} is damaged or truncated ({error}); copy it again or "
            "remove it."
        ) from error


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
      config.UserError: the file cannot be written.
    """
    with files.reported_write_errors(path):
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
      config.UserError: the file cannot be written.
    """
    indexed = Image.fromarray(numbers).convert("P")
    indexed.putpalette([0, 0, 0, *itertools.chain.from_iterable(colors)])
    with files.reported_write_errors(path):
        files.write_bytes(path, _save_png(indexed))


def _save_png(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format="PNG")
    return stream.getvalue()
