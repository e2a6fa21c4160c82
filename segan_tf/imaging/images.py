"""Reads and writes images.

Every image comes in through here, so that one file looks the same to
training, evaluation and prediction, and a bad file gets one clear line.
"""

import contextlib
import io
import itertools
import os
import struct
import threading
import warnings
import zlib
from collections.abc import Sequence

import numpy as np
from PIL import Image

from segan_tf import config, files

# Of an image: three times the largest image of the ISIC archive (6748x4499);
# as RGB it takes 300 MB. A header that claims more is a damaged file or an
# attack, and is refused before anything is decoded.
MAX_PIXELS = 100_000_000

FORMATS = ("JPEG", "PNG", "BMP")
IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".bmp")
# Pixels a side. A segmentor with four halvings has nothing to see below.
MIN_SIDE = 16
# The largest value of a 16-bit gray image.
MAX_16_BIT = 65535

_ORIENTATION_TAG = 0x0112
# EXIF 2.32, table 6: how a stored image is turned to stand upright.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDES_SWAPPED = (5, 6, 7, 8)
# What Pillow raises on damaged files, as seen on cut and altered ones.
_DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    LookupError,
    OverflowError,
    struct.error,
    zlib.error,
)
# Python's warning filters belong to the whole process: one thread at a time
# may set them aside.
_warnings_lock = threading.Lock()


def is_image(path: str | os.PathLike) -> bool:
    """Tells by its name whether a file is one of the images read here.

    Hidden files are none: archives packed on a Mac bring a `._name.jpg`
    beside each image.
    """
    name = os.path.basename(os.fspath(path))
    return not name.startswith(".") and name.lower().endswith(IMAGE_ENDINGS)


def image_id(path: str | os.PathLike) -> str:
    """Returns an image's id: its file name without folder and ending."""
    return os.path.splitext(os.path.basename(os.fspath(path)))[0]


def image_size_of(path: str | os.PathLike) -> tuple[int, int]:
    """Reads an image's (width, height) as it stands upright.

    Only the header is read: an image cut off further on is not noticed.

    Raises:
      config.UserError: not an image, empty, too small or too large.
    """
    with _opened(path) as image:
        width, height = image.size
        if _orientation(image) in _SIDES_SWAPPED:
            return height, width
        return width, height


def read_image(path: str | os.PathLike) -> np.ndarray:
    """Reads an image as RGB.

    The camera's orientation tag is applied, 16-bit gray is scaled to 8 bits,
    and what is transparent lies over white.

    Returns:
      uint8 [height, width, 3], 0 to 255.

    Raises:
      config.UserError: not an image, empty, damaged, cut off, too small
        or too large.
    """
    return _to_rgb(decode(path))


def as_rgb(image: np.ndarray | Image.Image | str | os.PathLike) -> np.ndarray:
    """Makes RGB of an image in memory, or reads it as `read_image` does.

    Args:
      image: uint8 [height, width, 3] RGB, a PIL image, or a path.

    Returns:
      uint8 [height, width, 3], 0 to 255.

    Raises:
      TypeError: it is an array of another dtype or shape.
      config.UserError: the file cannot be read.
    """
    if isinstance(image, str | os.PathLike):
        return read_image(image)
    if isinstance(image, Image.Image):
        return _to_rgb(_turn_upright(image))
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise TypeError(
            "an image is uint8 [height, width, 3] RGB, not "
            f"{image.dtype} {list(image.shape)}"
        )
    return image


def find_images(path: str) -> list[str]:
    """Lists the images to segment: a file, or those of a folder.

    Raises:
      UserError: there is no such file, or no image in the folder.
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
            f"--input ({path}) holds no JPEG, PNG or BMP image."
        )
    return [os.path.join(path, name) for name in names]


def _to_rgb(image: Image.Image) -> np.ndarray:
    if image.mode.startswith("I"):
        # 0..65535 to 0..255, rounded; convert() would clip at 255.
        gray = np.asarray(image).astype(np.uint32)
        gray = (gray * 255 + MAX_16_BIT // 2) // MAX_16_BIT
        return np.repeat(gray.astype(np.uint8)[:, :, None], 3, axis=2)
    return np.array(over(image, "white"))


def encode(array: np.ndarray) -> bytes:
    """Encodes uint8 [height, width], [h, w, 1] or [h, w, 3] as a PNG."""
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, format="PNG")
    return stream.getvalue()


def write_png(path: str | os.PathLike, array: np.ndarray) -> None:
    """Writes uint8 [height, width], [h, w, 1] or [h, w, 3] as a PNG file.

    Raises:
      config.UserError: the file cannot be written.
    """
    write_bytes(path, encode(array))


def write_index_png(
    path: str | os.PathLike,
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
    picture = Image.fromarray(numbers).convert("P")
    picture.putpalette([0, 0, 0, *itertools.chain.from_iterable(colors)])
    stream = io.BytesIO()
    picture.save(stream, format="PNG")
    write_bytes(path, stream.getvalue())


def write_bytes(path: str | os.PathLike, data: bytes) -> None:
    """Writes a file whole or not at all: beside it first, then renamed.

    Raises:
      config.UserError: the file cannot be written.
    """
    try:
        files.write_bytes(path, data)
    except OSError as error:
        raise not_written(path, error) from error


def not_written(path: str | os.PathLike, error: OSError) -> config.UserError:
    """Says that a file cannot be written, and why."""
    return config.UserError(
        f"{path} cannot be written ({error.strerror}); check the folder, its "
        "permissions and the space left."
    )


@contextlib.contextmanager
def _opened(path: str | os.PathLike):
    """Opens an image, header only, and turns damage into a UserError."""
    try:
        with open(path, "rb") as stream:
            if not stream.peek(1):
                raise config.UserError(
                    f"{path} is empty (zero bytes); copy it anew or remove it."
                )
            with _quiet():
                image = Image.open(stream, formats=FORMATS)
            _check_size(path, image.size)
            yield image
    except config.UserError:
        raise
    except Image.DecompressionBombError as error:
        raise _too_large(path, "more than Pillow opens") from error
    except Image.UnidentifiedImageError as error:
        raise config.UserError(
            f"{path} is not a JPEG, PNG or BMP image, or its beginning is "
            "damaged; save it anew as PNG or remove it."
        ) from error
    except _DAMAGE as error:
        if getattr(error, "strerror", None):  # The system's word, not Pillow's.
            raise config.UserError(
                f"{path} cannot be opened ({error.strerror}); check it."
            ) from error
        raise config.UserError(
            f"{path} is damaged or truncated ({error}); copy it anew or "
            "remove it."
        ) from error


@contextlib.contextmanager
def _quiet():
    """Keeps Pillow's warnings about a header from the user.

    They tell of large images (`_check_size` decides on those) and of odd
    tags, which change nothing in the pixels.
    """
    with _warnings_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _check_size(path: str | os.PathLike, size: tuple[int, int]) -> None:
    """Refuses images too small to segment or too large to decode."""
    width, height = size
    if min(size) < MIN_SIDE:
        raise config.UserError(
            f"{path} is {width}x{height} pixels; an image needs at least "
            f"{MIN_SIDE} a side; remove it."
        )
    if width * height > MAX_PIXELS:
        raise _too_large(path, f"{width}x{height}")


def _too_large(path: str | os.PathLike, size: str) -> config.UserError:
    """Says that an image has too many pixels."""
    return config.UserError(
        f"{path} is too large ({size}); at most {MAX_PIXELS:,} pixels "
        "are read; make it smaller or remove it."
    )


def _orientation(image: Image.Image) -> int:
    """Returns the EXIF orientation, 1 (upright) where there is none.

    Read from the header alone: Pillow's own getexif decodes a whole PNG to
    look for a tag behind the pixels.
    """
    tags = Image.Exif()
    # A damaged tag says nothing about the pixels: taken as upright.
    with contextlib.suppress(*_DAMAGE), _quiet():
        tags.load(image.info.get("exif"))
        return tags.get(_ORIENTATION_TAG, 1)
    return 1


def decode(path: str | os.PathLike) -> Image.Image:
    """Decodes a whole image, in its own mode, and turns it upright.

    Raises:
      config.UserError: as `read_image`.
    """
    with _opened(path) as image:
        return _turn_upright(image)


def _turn_upright(image: Image.Image) -> Image.Image:
    orientation = _orientation(image)
    image.load()
    if orientation in _UPRIGHT:
        return image.transpose(_UPRIGHT[orientation])
    return image


def over(image: Image.Image, background: str) -> Image.Image:
    """Converts to RGB; what is transparent shows the background."""
    if not (image.mode.endswith("A") or "transparency" in image.info):
        return image.convert("RGB")
    image = image.convert("RGBA")
    ground = Image.new("RGBA", image.size, background)
    return Image.alpha_composite(ground, image).convert("RGB")
