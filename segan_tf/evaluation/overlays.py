"""Draws label maps over images, and sheets of many such pictures."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

Colour = tuple[int, int, int]

# Okabe and Ito's palette, told apart with every common colour blindness:
# sky blue and yellow, the pair that also differs most from skin.
PREDICTED_COLOUR: Colour = (86, 180, 233)
TRUE_COLOUR: Colour = (240, 228, 66)
LEGEND = (
    ("predicted label map", PREDICTED_COLOUR),
    ("true label map", TRUE_COLOUR),
)

# Chosen by eye: the fill leaves the lesion's own structure visible, and a
# line is as clear on a 3000-pixel picture shown small as on a 256-pixel one.
# A dark rim inside each line keeps yellow clear on light skin.
_FILL_OPACITY = 0.15
_LINE_PER_LONGER_SIDE = 0.005
_RIM_PER_LINE = 0.5
_RIM_OPACITY = 0.6
_RIM_COLOUR: Colour = (0, 0, 0)

# Both lines start at their label map's edge and the true one lies on top, so
# the predicted one is wider: both are seen where the label maps agree.
_PREDICTED_WIDER = 2.25

_PAPER: Colour = (255, 255, 255)
_TILE_GROUND: Colour = (236, 236, 236)
_INK: Colour = (34, 34, 34)
_FAINT_INK: Colour = (96, 96, 96)


def overlay(
    image: np.ndarray, predicted: np.ndarray, true: np.ndarray | None = None
) -> np.ndarray:
    """Draws label maps over an image.

    The predicted one is lightly filled and outlined, the true one outlined.
    Lines run inside the label maps, along the picture's edge too, and scale
    with the picture.

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
            _refuse_other_size(label_map, image)
    picture = Image.fromarray(image)
    line = _line_width(picture)
    _fill(picture, predicted != 0, PREDICTED_COLOUR)
    rim = line * _RIM_PER_LINE
    wide = line if true is None else line * _PREDICTED_WIDER
    _draw_line(picture, predicted != 0, PREDICTED_COLOUR, widths=(wide, rim))
    if true is not None:
        _draw_line(picture, true != 0, TRUE_COLOUR, widths=(line, rim))
    return np.array(picture)


def overlay_labels(
    image: np.ndarray, label_map: np.ndarray, colours: Sequence[Colour]
) -> np.ndarray:
    """Draws several labels over an image, filled and outlined.

    Args:
        image: uint8 [h, w, 3], RGB.
        label_map: uint8 [h, w, labels], foreground where not 0.
        colours: one for each label.

    Returns:
        uint8 [h, w, 3], RGB.

    Raises:
        ValueError: the label map's size is not the image's.
    """
    _refuse_other_size(label_map[..., 0], image)
    picture = Image.fromarray(image)
    line = _line_width(picture)
    for label, colour in enumerate(colours):
        _fill(picture, label_map[..., label] != 0, colour)
    for label, colour in enumerate(colours):
        _draw_line(
            picture,
            label_map[..., label] != 0,
            colour,
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
    colours: Sequence[Colour],
    *,
    tile_px: int,
) -> np.ndarray:
    """Draws an overlay of several labels at the size it is shown, as `tile`.

    Args:
        image: uint8 [h, w, 3], RGB.
        label_map: uint8 [h, w, labels], foreground where not 0.
        colours: one for each label.
        tile_px: the longer side of the result.

    Returns:
        uint8 [h', w', 3], RGB, in the image's proportions.
    """
    twice = _twice_shown(image, tile_px)
    planes = np.moveaxis(label_map, -1, 0)
    drawn = overlay_labels(
        _resize_image(image, twice),
        np.stack([_resize_map(plane, twice) for plane in planes], axis=-1),
        colours,
    )
    return np.array(Image.fromarray(drawn).reduce(2))


def sheet(
    tiles: Sequence[tuple[np.ndarray, str]],
    *,
    columns: int,
    tile_px: int,
    title: str,
    legend: Sequence[tuple[str, Colour]] = LEGEND,
    row_titles: Sequence[str] = (),
) -> Image.Image:
    """Lays pictures out as a contact sheet.

    Args:
        tiles: uint8 [h, w, 3] pictures with their captions (one or more
            lines), row by row; larger ones are shrunk to a tile.
        columns: tiles in a row.
        tile_px: the side of the square that holds a tile.
        title: stands on top.
        legend: names with their colours, beside the title.
        row_titles: one above each row; none if left out.

    Returns:
        An RGB picture.
    """
    layout = _Layout(tiles, columns, tile_px, bool(row_titles))
    width = max(layout.width, layout.heading_width(title, legend))
    page = Image.new("RGB", (width, layout.height), _PAPER)
    draw = ImageDraw.Draw(page)
    _draw_heading(draw, layout, title, legend, width=width)
    for row, row_title in enumerate(row_titles):
        draw.text(
            (layout.gap, layout.row_top(row)),
            row_title,
            font=layout.row_font,
            fill=_INK,
        )
    for index, (picture, caption) in enumerate(tiles):
        left, top = layout.tile_corner(index)
        _paste_tile(page, picture, (left, top), tile_px)
        _draw_caption(draw, layout, caption, (left, top + tile_px))
    return page


class _Layout:
    """Holds a sheet's measures, all in proportion to its tiles."""

    def __init__(self, tiles, columns: int, tile_px: int, titled: bool):
        self.gap = max(6, tile_px // 18)
        self.columns = columns
        self.tile_px = tile_px
        self.title_font = _font(max(18, tile_px // 11))
        self.row_font = _font(max(14, tile_px // 14))
        self.font = _font(max(12, tile_px // 18))
        self.caption_lines = max(
            (caption.count("\n") + 1 for _, caption in tiles), default=0
        )
        self.heading = 2 * self.gap + _line_height(self.title_font)
        self.row_heading = (
            _line_height(self.row_font) + self.gap // 2 if titled else 0
        )
        self.row_height = (
            self.row_heading
            + tile_px
            + self.caption_lines * _line_height(self.font)
            + self.gap
            + self.gap // 2
        )
        rows = -(-len(tiles) // columns)
        self.width = columns * (tile_px + self.gap) + self.gap
        self.height = self.heading + rows * self.row_height + self.gap

    def row_top(self, row: int) -> int:
        return self.heading + row * self.row_height

    def tile_corner(self, index: int) -> tuple[int, int]:
        row, column = divmod(index, self.columns)
        left = self.gap + column * (self.tile_px + self.gap)
        return left, self.row_top(row) + self.row_heading

    def heading_width(self, title, legend) -> int:
        marks = sum(self.legend_width(name) for name, _ in legend)
        return round(3 * self.gap + self.title_font.getlength(title) + marks)

    def legend_width(self, name: str) -> float:
        swatch = _line_height(self.font)
        return swatch * 1.5 + self.font.getlength(name) + 1.5 * self.gap


def _draw_heading(draw, layout: _Layout, title, legend, *, width: int) -> None:
    middle = layout.heading // 2
    draw.text(
        (layout.gap, middle),
        title,
        font=layout.title_font,
        fill=_INK,
        anchor="lm",
    )
    swatch = _line_height(layout.font)
    marks = sum(layout.legend_width(name) for name, _ in legend)
    left = width - marks + layout.gap / 2
    for name, colour in legend:
        draw.rectangle(
            (left, middle - swatch // 2, left + swatch, middle + swatch // 2),
            fill=colour,
            outline=_FAINT_INK,
        )
        draw.text(
            (left + 1.5 * swatch, middle),
            name,
            font=layout.font,
            fill=_INK,
            anchor="lm",
        )
        left += layout.legend_width(name)


def _paste_tile(
    page: Image.Image, picture: np.ndarray, corner, tile_px: int
) -> None:
    left, top = corner
    page.paste(_TILE_GROUND, (left, top, left + tile_px, top + tile_px))
    shown = Image.fromarray(picture)
    shown.thumbnail((tile_px, tile_px), Image.Resampling.BICUBIC)
    page.paste(
        shown,
        (
            left + (tile_px - shown.width) // 2,
            top + (tile_px - shown.height) // 2,
        ),
    )


def _draw_caption(draw, layout: _Layout, caption: str, corner) -> None:
    left, top = corner
    for number, line in enumerate(caption.split("\n")):
        draw.text(
            (left, top + layout.gap // 4 + number * _line_height(layout.font)),
            _shortened(line, layout.font, layout.tile_px),
            font=layout.font,
            fill=_FAINT_INK if number else _INK,
        )


def _refuse_other_size(label_map: np.ndarray, image: np.ndarray) -> None:
    if label_map.shape != image.shape[:2]:
        raise ValueError(
            f"label map {label_map.shape} and image {image.shape[:2]} "
            "differ in size"
        )


def _line_width(picture: Image.Image) -> float:
    return max(1.0, _LINE_PER_LONGER_SIDE * max(picture.size))


def _fill(picture: Image.Image, label_map: np.ndarray, colour: Colour) -> None:
    """Tints what bool [h, w] marks."""
    opacity = label_map * np.uint8(round(255 * _FILL_OPACITY))
    picture.paste(colour, (0, 0), Image.fromarray(opacity))


def _twice_shown(image: np.ndarray, tile_px: int) -> tuple[int, int]:
    """Returns twice the (width, height) that an image has in a tile."""
    height, width = image.shape[:2]
    scale = tile_px / max(height, width)
    return 2 * max(1, round(width * scale)), 2 * max(1, round(height * scale))


def _resize_image(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    picture = Image.fromarray(image)
    return np.asarray(picture.resize(size, Image.Resampling.BICUBIC))


def _resize_map(label_map: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    grey = Image.fromarray((label_map != 0) * np.uint8(255))
    return np.asarray(grey.resize(size, Image.Resampling.BILINEAR)) >= 128


def _draw_line(
    picture: Image.Image, label_map: np.ndarray, colour: Colour, *, widths
) -> None:
    """Draws a line and its rim along the inside of a label map.

    Args:
        picture: RGB, drawn on.
        label_map: bool [h, w].
        colour: of the line.
        widths: of the line and of its rim, in pixels.
    """
    rows = np.flatnonzero(label_map.any(axis=1))
    columns = np.flatnonzero(label_map.any(axis=0))
    if not rows.size:
        return
    left, top = int(columns[0]), int(rows[0])
    window = label_map[top : rows[-1] + 1, left : columns[-1] + 1]
    # What lies outside the window is background, beyond the picture too.
    depth = ndimage.distance_transform_edt(np.pad(window, 1))[1:-1, 1:-1]
    for width, ink, opacity in (
        (sum(widths), _RIM_COLOUR, _RIM_OPACITY),
        (widths[0], colour, 1),
    ):
        # The outermost pixels lie at depth 1; the last partial one is blended.
        share = np.clip(width + 1 - depth, 0, 1) * window
        mask = Image.fromarray((255 * opacity * share).astype(np.uint8))
        picture.paste(ink, (left, top), mask)


def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.load_default(size=size)


def _line_height(font: ImageFont.FreeTypeFont) -> int:
    return round(1.3 * sum(font.getmetrics()))


def _shortened(text: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    """Cuts the middle out of text that is too wide: ids differ at the end."""
    kept = len(text)
    shown = text
    while kept > 2 and font.getlength(shown) > width:
        kept -= 1
        head = kept // 2
        shown = f"{text[:head]}...{text[len(text) - (kept - head) :]}"
    return shown
