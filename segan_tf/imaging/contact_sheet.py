"""Contact sheets: images with captions in a grid, under a title and legend."""

import functools
import unicodedata
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from segan_tf.imaging.overlays import LEGEND, Color

_PAPER: Color = (255, 255, 255)
_TILE_GROUND: Color = (236, 236, 236)
_INK: Color = (34, 34, 34)
_FAINT_INK: Color = (96, 96, 96)

# What the font has no letter for and Unicode does not decompose.
_SPELLED = {
    "ß": "ss",
    "ẞ": "SS",
    "æ": "ae",
    "Æ": "AE",
    "œ": "oe",
    "Œ": "OE",
    "ø": "o",
    "Ø": "O",
    "ł": "l",
    "Ł": "L",
    "đ": "d",
    "Đ": "D",
    "ð": "d",
    "Ð": "D",
    "þ": "th",
    "Þ": "Th",
    "\u0131": "i",
    "\u2013": "-",
    "\u2014": "-",
    "\u2019": "'",
    "\u03bc": "u",
}

_Legend = Sequence[tuple[str, Color]]


def sheet(
    tiles: Sequence[tuple[np.ndarray, str]],
    *,
    columns: int,
    tile_px: int,
    title: str,
    legend: _Legend = LEGEND,
    row_titles: Sequence[str] = (),
) -> Image.Image:
    """Draws a contact sheet.

    Args:
      tiles: uint8 [h, w, 3] images with their captions (one or more
        lines), row by row; larger images are shrunk to a tile.
      columns: number of tiles in a row.
      tile_px: side of the square that holds a tile, in pixels.
      title: at the top.
      legend: names with their colors, to the right of the title.
      row_titles: one above each row, if given.

    Returns:
      An RGB image.
    """
    title = spell(title)
    tiles = [(image, spell(caption)) for image, caption in tiles]
    legend = [(spell(name), color) for name, color in legend]
    row_titles = [spell(row_title) for row_title in row_titles]
    layout = _Layout(
        [caption for _, caption in tiles],
        columns=columns,
        tile_px=tile_px,
        titled_rows=bool(row_titles),
    )
    width = max(layout.width, layout.heading_width(title, legend))
    page = Image.new("RGB", (width, layout.height), _PAPER)
    draw = ImageDraw.Draw(page)
    _draw_heading(draw, layout, title, legend=legend, width=width)
    for row, row_title in enumerate(row_titles):
        draw.text(
            (layout.gap, layout.row_top(row)),
            row_title,
            font=layout.row_font,
            fill=_INK,
        )
    for index, (image, caption) in enumerate(tiles):
        left, top = layout.tile_corner(index)
        _paste_tile(page, image, corner=(left, top), tile_px=tile_px)
        _draw_caption(draw, layout, caption, corner=(left, top + tile_px))
    return page


class _Layout:
    """The dimensions of a sheet, all in proportion to its tiles."""

    def __init__(
        self,
        captions: Sequence[str],
        *,
        columns: int,
        tile_px: int,
        titled_rows: bool,
    ) -> None:
        self.gap = max(6, tile_px // 18)
        self.columns = columns
        self.tile_px = tile_px
        self.title_font = _font(max(18, tile_px // 11))
        self.row_font = _font(max(14, tile_px // 14))
        self.font = _font(max(12, tile_px // 18))
        self.caption_lines = max(
            (caption.count("\n") + 1 for caption in captions), default=0
        )
        self.heading = 2 * self.gap + _line_height(self.title_font)
        self.row_heading = (
            _line_height(self.row_font) + self.gap // 2 if titled_rows else 0
        )
        self.row_height = (
            self.row_heading
            + tile_px
            + self.caption_lines * _line_height(self.font)
            + self.gap
            + self.gap // 2
        )
        rows = -(-len(captions) // columns)
        self.width = columns * (tile_px + self.gap) + self.gap
        self.height = self.heading + rows * self.row_height + self.gap

    def row_top(self, row: int) -> int:
        return self.heading + row * self.row_height

    def tile_corner(self, index: int) -> tuple[int, int]:
        row, column = divmod(index, self.columns)
        left = self.gap + column * (self.tile_px + self.gap)
        return left, self.row_top(row) + self.row_heading

    def heading_width(self, title: str, legend: _Legend) -> int:
        marks = sum(self.legend_width(name) for name, _ in legend)
        return round(3 * self.gap + self.title_font.getlength(title) + marks)

    def legend_width(self, name: str) -> float:
        swatch = _line_height(self.font)
        return swatch * 1.5 + self.font.getlength(name) + 1.5 * self.gap


def _draw_heading(
    draw: ImageDraw.ImageDraw,
    layout: _Layout,
    title: str,
    *,
    legend: _Legend,
    width: int,
) -> None:
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
    page: Image.Image,
    image: np.ndarray,
    *,
    corner: tuple[int, int],
    tile_px: int,
) -> None:
    left, top = corner
    page.paste(_TILE_GROUND, (left, top, left + tile_px, top + tile_px))
    shown = Image.fromarray(image)
    shown.thumbnail((tile_px, tile_px), Image.Resampling.BICUBIC)
    page.paste(
        shown,
        (
            left + (tile_px - shown.width) // 2,
            top + (tile_px - shown.height) // 2,
        ),
    )


def _draw_caption(
    draw: ImageDraw.ImageDraw,
    layout: _Layout,
    caption: str,
    *,
    corner: tuple[int, int],
) -> None:
    left, top = corner
    for number, line in enumerate(caption.split("\n")):
        draw.text(
            (left, top + layout.gap // 4 + number * _line_height(layout.font)),
            shorten(line, layout.font, layout.tile_px),
            font=layout.font,
            fill=_FAINT_INK if number else _INK,
        )


def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size=size)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise RuntimeError("Pillow was built without FreeType; reinstall it.")
    return font


def _line_height(font: ImageFont.FreeTypeFont) -> int:
    return round(1.3 * sum(font.getmetrics()))


def spell(text: str) -> str:
    """Spells text with the letters that Pillow's font has.

    Accents are dropped ("Läsion" is shown as "Lasion"), and other letters that
    it does not have are shown by their Unicode number, as U+6F22.
    """
    return "".join(map(_spell_letter, text))


@functools.cache
def _spell_letter(letter: str) -> str:
    if letter == "\n" or _is_drawn(letter):
        return letter
    parts = [
        part
        for part in unicodedata.normalize("NFKD", letter)
        if not unicodedata.combining(part)
    ]
    spelled = "".join(_SPELLED.get(part, part) for part in parts)
    if all(map(_is_drawn, spelled)):
        return spelled
    return f"U+{ord(letter):04X} "


def _is_drawn(letter: str) -> bool:
    """Tells whether the font has a letter, rather than a box in its place."""
    font = _font(20)
    no_letter = font.getmask("\uffff")
    mask = font.getmask(letter)
    return letter == " " or (mask.size, bytes(mask)) != (
        no_letter.size,
        bytes(no_letter),
    )


def shorten(text: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    """Cuts the middle out of text that is too wide: ids differ at the end.

    Args:
      text: one line.
      font: of the text.
      width: in pixels.
    """
    kept = len(text)
    shown = text
    while kept > 2 and font.getlength(shown) > width:
        kept -= 1
        head = kept // 2
        shown = f"{text[:head]}...{text[len(text) - (kept - head) :]}"
    return shown
