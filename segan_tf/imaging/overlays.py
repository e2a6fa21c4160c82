"""Draws label maps over images."""

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image

Color = tuple[int, int, int]

# Sky blue and yellow of the palette of Okabe and Ito, distinguishable with
# every common color blindness: the two colors that also differ most from skin.
PREDICTED_COLOR: Color = (86, 180, 233)
TRUE_COLOR: Color = (240, 228, 66)
LEGEND = (
    ("predicted label map", PREDICTED_COLOR),
    ("true label map", TRUE_COLOR),
)
# Bluish green of the same palette, for what a model predicts when it is told
# the style of the true label map.
TOLD_COLOR: Color = (0, 158, 115)
LEGEND_WITH_STYLES = (
    ("untold", PREDICTED_COLOR),
    ("told the style", TOLD_COLOR),
    ("true label map", TRUE_COLOR),
)

# Chosen by eye: the fill leaves the structure of the lesion visible, and lines
# are as clear on a 3000-pixel image shown small as on a 256-pixel one. A dark
# rim inside each line keeps yellow clear on light skin.
_FILL_OPACITY = 0.15
_LINE_PER_LONGER_SIDE = 0.005
_RIM_PER_LINE = 0.5
_RIM_OPACITY = 0.6
_RIM_COLOR: Color = (0, 0, 0)

# All lines start at the edge of their label map and the true one is drawn
# last. Each below it is wider by this much, so that all are visible where they
# agree.
_WIDER = 1.25


def overlay(
    image: np.ndarray,
    predicted: np.ndarray,
    true: np.ndarray | None = None,
    *,
    told: np.ndarray | None = None,
) -> np.ndarray:
    """Draws label maps over an image.

    The predicted one is lightly filled and outlined, the others outlined.
    Lines are drawn inside the label maps, also along the border of the image,
    and their width grows with the image.

    Args:
      image: uint8 [h, w, 3], RGB.
      predicted: bool or uint8 [h, w], foreground where not 0.
      true: bool or uint8 [h, w], foreground where not 0, if known.
      told: bool or uint8 [h, w], foreground where not 0: the predicted one in
        the style of the true one, if the model has styles.

    Returns:
      uint8 [h, w, 3], RGB.

    Raises:
      ValueError: a label map differs from the image in size.
    """
    for label_map in (predicted, true, told):
        if label_map is not None:
            _check_same_size(label_map, image)
    canvas = Image.fromarray(image)
    line = _line_width(canvas)
    _fill(canvas, predicted != 0, PREDICTED_COLOR)
    lines = [
        (label_map != 0, color)
        for label_map, color in (
            (true, TRUE_COLOR),
            (told, TOLD_COLOR),
            (predicted, PREDICTED_COLOR),
        )
        if label_map is not None
    ]
    for number, (label_map, color) in reversed(list(enumerate(lines))):
        widths = line * (1 + number * _WIDER), line * _RIM_PER_LINE
        _draw_line(canvas, label_map, color, widths=widths)
    return np.array(canvas)


def overlay_labels(
    image: np.ndarray,
    label_map: np.ndarray,
    colors: Sequence[Color],
    *,
    filled: bool = True,
) -> np.ndarray:
    """Draws several labels over an image, lightly filled and outlined.

    Args:
      image: uint8 [h, w, 3], RGB.
      label_map: uint8 [h, w, labels], foreground where not 0.
      colors: one for each label.
      filled: whether they are filled.

    Returns:
      uint8 [h, w, 3], RGB.

    Raises:
      ValueError: the label map differs from the image in size.
    """
    _check_same_size(label_map[..., 0], image)
    canvas = Image.fromarray(image)
    line = _line_width(canvas)
    for label, color in enumerate(colors if filled else ()):
        _fill(canvas, label_map[..., label] != 0, color)
    for label, color in enumerate(colors):
        _draw_line(
            canvas,
            label_map[..., label] != 0,
            color,
            widths=(line, line * _RIM_PER_LINE),
        )
    return np.array(canvas)


def tile(
    image: np.ndarray,
    predicted: np.ndarray,
    true: np.ndarray | None = None,
    *,
    told: np.ndarray | None = None,
    tile_px: int,
) -> np.ndarray:
    """Draws an overlay at the size of a contact sheet's tile.

    Resizing comes first: it makes the lines equally clear for images of every
    size, and large images cheap. Drawing at twice the size antialiases them.

    Args:
      image: uint8 [h, w, 3], RGB.
      predicted: bool or uint8 [h, w], foreground where not 0.
      true: bool or uint8 [h, w], foreground where not 0, if known.
      told: see `overlay`.
      tile_px: the longer side of the result.

    Returns:
      uint8 [h', w', 3], RGB, in the image's proportions.
    """
    twice = _twice_shown(image, tile_px)
    drawn = overlay(
        _resize_image(image, twice),
        _resize_map(predicted, twice),
        None if true is None else _resize_map(true, twice),
        told=None if told is None else _resize_map(told, twice),
    )
    return np.array(Image.fromarray(drawn).reduce(2))


def tile_labels(
    image: np.ndarray,
    label_map: np.ndarray,
    colors: Sequence[Color],
    *,
    tile_px: int,
) -> np.ndarray:
    """Draws an overlay of several labels at the size of a tile, like `tile`.

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


def _check_same_size(label_map: np.ndarray, image: np.ndarray) -> None:
    if label_map.shape != image.shape[:2]:
        raise ValueError(
            f"label map {label_map.shape} and image {image.shape[:2]} "
            "differ in size"
        )


def _line_width(canvas: Image.Image) -> float:
    return max(1.0, _LINE_PER_LONGER_SIDE * max(canvas.size))


def _fill(canvas: Image.Image, label_map: np.ndarray, color: Color) -> None:
    """Tints the foreground of a label map, bool [h, w]."""
    opacity = label_map * np.uint8(round(255 * _FILL_OPACITY))
    canvas.paste(color, (0, 0), Image.fromarray(opacity))


def _twice_shown(image: np.ndarray, tile_px: int) -> tuple[int, int]:
    """Returns twice the (width, height) that an image has in a tile."""
    height, width = image.shape[:2]
    scale = tile_px / max(height, width)
    return 2 * max(1, round(width * scale)), 2 * max(1, round(height * scale))


def _resize_image(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    resized = Image.fromarray(image).resize(size, Image.Resampling.BICUBIC)
    return np.asarray(resized)


def _resize_map(label_map: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    gray = Image.fromarray((label_map != 0) * np.uint8(255))
    return np.asarray(gray.resize(size, Image.Resampling.BILINEAR)) >= 128


def _draw_line(
    canvas: Image.Image,
    label_map: np.ndarray,
    color: Color,
    *,
    widths: tuple[float, float],
) -> None:
    """Draws a line and its rim along the inside of a label map.

    Args:
      canvas: RGB, drawn on.
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
    found_rows, found_columns, depth = _find_edge(window, sum(widths) + 1)
    for width, ink, opacity in (
        (sum(widths), _RIM_COLOR, _RIM_OPACITY),
        (widths[0], color, 1),
    ):
        # The outermost pixels have depth 1; the last partial one is blended.
        share = np.clip(width + 1 - depth, 0, 1)
        alpha = np.zeros(window.shape, np.uint8)
        alpha[found_rows, found_columns] = (255 * opacity * share).astype(
            np.uint8
        )
        canvas.paste(ink, (left, top), Image.fromarray(alpha))


def _find_edge(
    inside: np.ndarray, limit: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Finds the pixels of a label map whose background is near.

    Beyond the array is background, too.

    Args:
      inside: bool [h, w].
      limit: the largest distance of interest, in pixels.

    Returns:
      Rows, columns and Euclidean distances to the nearest background, exact up
      to the limit; int, int and float64 [pixels].
    """
    reach = math.ceil(limit)
    padded = np.pad(inside, reach)
    numbers = np.arange(len(padded), dtype=np.int32)[:, None]
    far = np.int32(2 * len(padded))
    above = np.maximum.accumulate(np.where(padded, -far, numbers))
    below = np.minimum.accumulate(np.where(padded, far, numbers)[::-1])[::-1]
    # In its own column.
    distance = np.minimum(numbers - above, below - numbers)
    # Only pixels with background in a square around them can be near it.
    near = np.cumsum(distance <= reach, axis=1, dtype=np.int32)
    near = np.pad(near, ((0, 0), (1, 0)))
    size = 2 * reach + 1
    in_square = near[:, size:] > near[:, :-size]
    rows, columns = np.nonzero(in_square[reach:-reach] & inside)
    squared = np.full(len(rows), np.inf)
    for step in range(size):
        vertical = distance[rows + reach, columns + step].astype(float)
        np.minimum(squared, vertical**2 + (step - reach) ** 2, out=squared)
    return rows, columns, np.sqrt(squared)
