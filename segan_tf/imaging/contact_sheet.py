"""Lays images with captions out as a contact sheet."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from segan_tf.imaging.overlays import LEGEND, Color

_PAPER: Color = (255, 255, 255)
_TILE_GROUND: Color = (236, 236, 236)
_INK: Color = (34, 34, 34)
_FAINT_INK: Color = (96, 96, 96)


def sheet(
    tiles: Sequence[tuple[np.ndarray, str]],
    *,
    columns: int,
    tile_px: int,
    title: str,
    legend: Sequence[tuple[str, Color]] = LEGEND,
    row_titles: Sequence[str] = (),
) -> Image.Image:
    """Lays images out as a contact sheet.

    Args:
      tiles: uint8 [h, w, 3] images with their captions (one or more
        lines), row by row; larger ones are shrunk to a tile.
      columns: tiles in a row.
      tile_px: the side of the square that holds a tile.
      title: stands on top.
      legend: names with their colors, beside the title.
      row_titles: one above each row; none if left out.

    Returns:
      An RGB image.
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

    def __init__(self, tiles, columns: int, tile_px: int, titled: bool) -> None:
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
    for name, color in legend:
        draw.rectangle(
            (left, middle - swatch // 2, left + swatch, middle + swatch // 2),
            fill=color,
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
