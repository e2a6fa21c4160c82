"""Draws label maps over images."""

from collections.abc import Sequence

import numpy as np
from PIL import Image
from scipy import ndimage

Color = tuple[int, int, int]

# Okabe and Ito's palette, told apart with every common color blindness:
# sky blue and yellow, the pair that also differs most from skin.
PREDICTED_COLOR: Color = (86, 180, 233)
TRUE_COLOR: Color = (240, 228, 66)
LEGEND = (
    ("predicted label map", PREDICTED_COLOR),
    ("true label map", TRUE_COLOR),
)

# Chosen by eye: the fill leaves the lesion's own structure visible, and a
# line is as clear on a 3000-pixel image shown small as on a 256-pixel one.
# A dark rim inside each line keeps yellow clear on light skin.
_FILL_OPACITY = 0.15
_LINE_PER_LONGER_SIDE = 0.005
_RIM_PER_LINE = 0.5
_RIM_OPACITY = 0.6
_RIM_COLOR: Color = (0, 0, 0)

# Both lines start at their label map's edge and the true one lies on top, so
# the predicted one is wider: both are seen where the label maps agree.
_PREDICTED_WIDER = 2.25


def overlay(
    image: np.ndarray, predicted: np.ndarray, true: np.ndarray | None = None
) -> np.ndarray:
    """Draws label maps over an image.

    The predicted one is lightly filled and outlined, the true one outlined.
    Lines run inside the label maps, along the image's edge too, and scale
    with the image.

    Args:
      image: uint8 [h, w, 3], RGB.
      predicted: bool or uint8 [h, w], foreground where not 0.
      true: bool or uint8 [h, w], foreground where not 0, if known.

    Returns:
      uint8 [h, w, 3], RGB.

    Raises:
      ValueError: a label map's size is not the image's.
    """
    for label_map in (predicted, true):
        if label_map is not None:
            _check_other_size(label_map, image)
    picture = Image.fromarray(image)
    line = _line_width(picture)
    _fill(picture, predicted != 0, PREDICTED_COLOR)
    rim = line * _RIM_PER_LINE
    wide = line if true is None else line * _PREDICTED_WIDER
    _draw_line(picture, predicted != 0, PREDICTED_COLOR, widths=(wide, rim))
    if true is not None:
        _draw_line(picture, true != 0, TRUE_COLOR, widths=(line, rim))
    return np.array(picture)


def overlay_labels(
    image: np.ndarray, label_map: np.ndarray, colors: Sequence[Color]
) -> np.ndarray:
    """Draws several labels over an image, filled and outlined.

    Args:
      image: uint8 [h, w, 3], RGB.
      label_map: uint8 [h, w, labels], foreground where not 0.
      colors: one for each label.

    Returns:
      uint8 [h, w, 3], RGB.

    Raises:
      ValueError: the label map's size is not the image's.
    """
    _check_other_size(label_map[..., 0], image)
    picture = Image.fromarray(image)
    line = _line_width(picture)
    for label, color in enumerate(colors):
        _fill(picture, label_map[..., label] != 0, color)
    for label, color in enumerate(colors):
        _draw_line(
            picture,
            label_map[..., label] != 0,
            color,
            widths=(line, line * _RIM_PER_LINE),
        )
    return np.array(picture)


def tile(
    image: np.ndarray,
    predicted: np.ndarray,
    true: np.ndarray | None = None,
    *,
    tile_px: int,
) -> np.ndarray:
    """Draws an overlay at the size it is shown in a sheet.

    Resizing first keeps the lines equally clear for images of every size and
    a large image cheap; drawing at twice the size smooths them.

    Args:
      image: uint8 [h, w, 3], RGB.
      predicted: bool or uint8 [h, w], foreground where not 0.
      true: bool or uint8 [h, w], foreground where not 0, if known.
      tile_px: the longer side of the result.

    Returns:
      uint8 [h', w', 3], RGB, in the image's proportions.
    """
    twice = _twice_shown(image, tile_px)
    drawn = overlay(
        _resize_image(image, twice),
        _resize_map(predicted, twice),
        None if true is None else _resize_map(true, twice),
    )
    return np.array(Image.fromarray(drawn).reduce(2))


def tile_labels(
    image: np.ndarray,
    label_map: np.ndarray,
    colors: Sequence[Color],
    *,
    tile_px: int,
) -> np.ndarray:
    """Draws an overlay of several labels at the size it is shown, as `tile`.

    Args:
      image: uint8 [h, w, 3], RGB.
      label_map: uint8 [h, w, labels], foreground where not 0.
      colors: one for each label.
      tile_px: the longer side of the result.

    Returns:
      uint8 [h', w', 3], RGB, in the image's proportions.
    """
    twice = _twice_shown(image, tile_px)
    planes = np.moveaxis(label_map, -1, 0)
    drawn = overlay_labels(
        _resize_image(image, twice),
        np.stack([_resize_map(plane, twice) for plane in planes], axis=-1),
        colors,
    )
    return np.array(Image.fromarray(drawn).reduce(2))


def _check_other_size(label_map: np.ndarray, image: np.ndarray) -> None:
    if label_map.shape != image.shape[:2]:
        raise ValueError(
            f"label map {label_map.shape} and image {image.shape[:2]} "
            "differ in size"
        )


def _line_width(picture: Image.Image) -> float:
    return max(1.0, _LINE_PER_LONGER_SIDE * max(picture.size))


def _fill(picture: Image.Image, label_map: np.ndarray, color: Color) -> None:
    """Tints what bool [h, w] marks."""
    opacity = label_map * np.uint8(round(255 * _FILL_OPACITY))
    picture.paste(color, (0, 0), Image.fromarray(opacity))


def _twice_shown(image: np.ndarray, tile_px: int) -> tuple[int, int]:
    """Returns twice the (width, height) that an image has in a tile."""
    height, width = image.shape[:2]
    scale = tile_px / max(height, width)
    return 2 * max(1, round(width * scale)), 2 * max(1, round(height * scale))


def _resize_image(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    picture = Image.fromarray(image)
    return np.asarray(picture.resize(size, Image.Resampling.BICUBIC))


def _resize_map(label_map: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    gray = Image.fromarray((label_map != 0) * np.uint8(255))
    return np.asarray(gray.resize(size, Image.Resampling.BILINEAR)) >= 128


def _draw_line(
    picture: Image.Image, label_map: np.ndarray, color: Color, *, widths
) -> None:
    """Draws a line and its rim along the inside of a label map.

    Args:
      image: RGB, drawn on.
      label_map: bool [h, w].
      color: of the line.
      widths: of the line and of its rim, in pixels.
    """
    rows = np.flatnonzero(label_map.any(axis=1))
    columns = np.flatnonzero(label_map.any(axis=0))
    if not rows.size:
        return
    left, top = int(columns[0]), int(rows[0])
    window = label_map[top : rows[-1] + 1, left : columns[-1] + 1]
    # What lies outside the window is background, beyond the image too.
    depth = ndimage.distance_transform_edt(np.pad(window, 1))[1:-1, 1:-1]
    for width, ink, opacity in (
        (sum(widths), _RIM_COLOR, _RIM_OPACITY),
        (widths[0], color, 1),
    ):
        # The outermost pixels lie at depth 1; the last partial one is blended.
        share = np.clip(width + 1 - depth, 0, 1) * window
        mask = Image.fromarray((255 * opacity * share).astype(np.uint8))
        picture.paste(ink, (left, top), mask)
