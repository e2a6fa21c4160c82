"""Tests of contact sheets."""

import numpy as np
import pytest
from PIL import ImageFont

from segan_tf.imaging import contact_sheet, overlays


def is_color(image, color):
    return (image == np.array(color, np.uint8)).all(axis=-1)


def green(height, width):
    return np.full((height, width, 3), (0, 200, 0), np.uint8)


def dark(image):
    return (np.asarray(image) < 128).all(axis=-1)


def sheet(tiles, **options):
    defaults = {"columns": 2, "tile_px": 100, "title": "T", "legend": ()}
    return contact_sheet.sheet(tiles, **(defaults | options))


def test_a_sheet_lays_tiles_out_row_by_row():
    page = sheet([(green(100, 100), "a")] * 3, columns=2)
    found = is_color(np.asarray(page), (0, 200, 0))
    assert found.sum() == 3 * 100 * 100
    columns, rows = found.any(axis=0).sum(), found.any(axis=1).sum()
    assert (columns, rows) == (2 * 100, 2 * 100)
    # The third starts a new row, on the left.
    below = found[np.flatnonzero(found.any(axis=1))[-1]]
    assert below[: page.width // 2].sum() == 100
    assert below[page.width // 2 :].sum() == 0


@pytest.mark.parametrize(
    ("size", "inset"), [((400, 200), (0, 25)), ((200, 400), (25, 0))]
)
def test_tiles_of_other_shapes_are_shrunk_and_centered(size, inset):
    def found(image):
        page = np.asarray(sheet([(image, "a")], columns=1))
        return np.argwhere(is_color(page, (0, 200, 0)))

    square, other = found(green(100, 100)), found(green(*size))
    first, last = other.min(axis=0), other.max(axis=0)
    assert tuple(first - square.min(axis=0)) == inset
    assert tuple(square.max(axis=0) - last) == inset


def test_every_caption_line_and_row_title_is_written():
    def ink(caption, **options):
        return dark(sheet([(green(100, 100), caption)], **options)).sum()

    plain = ink("")
    assert ink("first") > plain
    assert ink("first\nsecond") > ink("first")
    assert ink("", row_titles=["Best"]) > plain
    assert ink("", title="A longer title") > plain


def test_a_long_caption_stays_under_its_own_tile():
    tiles = [(green(100, 100), "ISIC_" + "0" * 60), (green(100, 100), "")]
    page = np.asarray(sheet(tiles, columns=2))
    rows, columns = np.nonzero(is_color(page, (0, 200, 0)))
    first_tile_ends = np.unique(columns)[99]
    caption = dark(page[rows.max() + 1 :])
    assert caption[:, : first_tile_ends + 1].any()
    assert not caption[:, first_tile_ends + 1 :].any()


def test_a_shortened_caption_keeps_its_start_and_its_end():
    font = ImageFont.load_default(size=12)
    shown = contact_sheet.shorten("ISIC_0000000000000007", font, 100)
    assert shown.startswith("ISIC")
    assert shown.endswith("07")
    assert "..." in shown
    assert font.getlength(shown) <= 100


def test_the_legend_shows_each_color_and_the_title_is_not_cut():
    page = sheet(
        [(green(30, 30), "a")],
        columns=1,
        tile_px=30,
        title="A title much wider than the only tile",
        legend=overlays.LEGEND,
    )
    pixels = np.asarray(page)
    for _, color in overlays.LEGEND:
        assert is_color(pixels, color).sum() > 50
    # Paper, not ink, at the right edge.
    assert is_color(pixels[:, -1], (255, 255, 255)).all()


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        ("left ventricle 0.91", "left ventricle 0.91"),
        ("L\u00e4sion", "Lasion"),
        ("La\u0308sion", "Lasion"),
        ("Stra\u00dfe", "Strasse"),
        ("\u0141\u00f3d\u017a", "Lodz"),
        ("3 \u00b5m", "3 um"),
        ("\u6f22", "U+6F22 "),
    ],
)
def test_text_is_spelled_with_letters_that_the_font_has(text, spelled):
    assert contact_sheet.spell(text) == spelled


def test_letters_without_a_glyph_do_not_become_equal_boxes():
    def draw(name):
        legend = [(name, (0, 0, 0))]
        options = {"columns": 1, "tile_px": 100, "title": "", "legend": legend}
        return np.array(contact_sheet.sheet([], **options))

    assert np.array_equal(draw("\u00f6"), draw("o"))
    assert not np.array_equal(draw("\u6f22"), draw("\u5b57"))
