"""Tests of overlays and contact sheets."""

import numpy as np
import pytest

from segan_tf.imaging import overlays

SKIN = (224, 180, 150)


def skin(height, width):
    return np.full((height, width, 3), SKIN, np.uint8)


def box(height, width, *, top, bottom, left, right):
    label_map = np.zeros((height, width), np.uint8)
    label_map[top:bottom, left:right] = 1
    return label_map


def is_color(picture, color):
    return (picture == np.array(color, np.uint8)).all(axis=-1)


def test_empty_label_maps_leave_the_image_as_it_is():
    image, empty = skin(20, 30), np.zeros((20, 30), np.uint8)
    assert (overlays.overlay(image, empty, empty) == image).all()


def test_the_image_itself_is_not_drawn_on():
    image = skin(20, 30)
    drawn = overlays.overlay(image, np.ones((20, 30), np.uint8))
    assert (image == SKIN).all()
    assert not np.shares_memory(image, drawn)
    assert drawn.dtype == np.uint8
    assert drawn.shape == (20, 30, 3)


def test_the_predicted_label_map_is_outlined_and_lightly_filled():
    predicted = box(60, 80, top=10, bottom=50, left=20, right=60)
    drawn = overlays.overlay(skin(60, 80), predicted)
    edge = is_color(drawn, overlays.PREDICTED_COLOR)
    # One pixel at this size: the square's outermost ring, no pixel beyond.
    ring = predicted.copy()
    ring[11:49, 21:59] = 0
    assert (edge == ring).all()
    middle = drawn[30, 40].astype(int)
    fill = 0.15 * np.array(overlays.PREDICTED_COLOR) + 0.85 * np.array(SKIN)
    assert np.abs(middle - fill).max() <= 1
    assert is_color(drawn, SKIN)[predicted == 0].all()


def test_the_true_label_map_is_outlined_but_not_filled():
    true = box(60, 80, top=10, bottom=50, left=20, right=60)
    drawn = overlays.overlay(skin(60, 80), np.zeros_like(true), true)
    assert is_color(drawn, overlays.TRUE_COLOR)[10, 20:60].all()
    assert (drawn[30, 40] == SKIN).all()


def test_both_outlines_are_seen_where_the_label_maps_agree():
    same = box(400, 400, top=100, bottom=300, left=100, right=300)
    drawn = overlays.overlay(skin(400, 400), same, same)
    column = drawn[100:200, 200]
    assert is_color(column, overlays.TRUE_COLOR).sum() >= 2
    assert is_color(column, overlays.PREDICTED_COLOR).sum() >= 1


def test_lines_grow_with_the_picture():
    def thickness(side):
        predicted = box(
            side, side, top=side // 4, bottom=side, left=0, right=side
        )
        drawn = overlays.overlay(skin(side, side), predicted)
        column = drawn[:, side // 2][: side // 2]
        return is_color(column, overlays.PREDICTED_COLOR).sum()

    assert thickness(100) == 1
    assert thickness(1000) == 0.005 * 1000


def test_the_line_is_closed_along_the_edge_of_the_picture():
    drawn = overlays.overlay(skin(10, 12), np.ones((10, 12), np.uint8))
    edge = is_color(drawn, overlays.PREDICTED_COLOR)
    assert edge[0].all()
    assert edge[-1].all()
    assert edge[:, 0].all()
    assert edge[:, -1].all()


def test_a_picture_of_one_pixel_is_drawn():
    drawn = overlays.overlay(skin(1, 1), np.ones((1, 1), bool))
    assert tuple(drawn[0, 0]) == overlays.PREDICTED_COLOR


@pytest.mark.parametrize("which", ["predicted", "true"])
def test_a_label_map_of_another_size_is_refused(which):
    maps = {name: np.zeros((20, 30), bool) for name in ("predicted", "true")}
    maps[which] = maps[which].T
    with pytest.raises(ValueError, match=r"\(30, 20\).*\(20, 30\).*size"):
        overlays.overlay(skin(20, 30), **maps)


@pytest.mark.parametrize(
    ("size", "shown"),
    [((40, 80), (50, 100)), ((900, 300), (100, 33)), ((1, 400), (1, 100))],
)
def test_a_tile_keeps_the_proportions_of_its_image(size, shown):
    label_map = np.ones(size, np.uint8)
    drawn = overlays.tile(skin(*size), label_map, label_map, tile_px=100)
    assert drawn.shape == (*shown, 3)


def test_a_tile_shows_a_lesion_where_it_is():
    predicted = box(900, 600, top=300, bottom=600, left=200, right=400)
    drawn = overlays.tile(skin(900, 600), predicted, tile_px=90)
    marked = ~is_color(drawn, SKIN)
    assert marked[31:59, 21:39].all()
    assert not marked[:29].any()
    assert not marked[61:].any()
    assert not marked[:, :19].any()
    assert not marked[:, 41:].any()


def green(height, width):
    return np.full((height, width, 3), (0, 200, 0), np.uint8)


def dark(picture):
    return (np.asarray(picture) < 128).all(axis=-1)


def sheet(tiles, **options):
    defaults = {"columns": 2, "tile_px": 100, "title": "T", "legend": ()}
    return overlays.sheet(tiles, **(defaults | options))


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
def test_tiles_of_other_shapes_are_shrunk_and_centerd(size, inset):
    def found(picture):
        page = np.asarray(sheet([(picture, "a")], columns=1))
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
    font = overlays._font(12)
    shown = overlays._shortened("ISIC_0000000000000007", font, 100)
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
