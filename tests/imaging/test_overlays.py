"""Tests of overlays."""

import numpy as np
import pytest
from scipy import ndimage

from segan_tf.imaging import overlays

SKIN = (224, 180, 150)


def skin(height, width):
    return np.full((height, width, 3), SKIN, np.uint8)


def box(height, width, *, top, bottom, left, right):
    label_map = np.zeros((height, width), np.uint8)
    label_map[top:bottom, left:right] = 1
    return label_map


def is_color(image, color):
    return (image == np.array(color, np.uint8)).all(axis=-1)


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


def test_both_outlines_are_visible_where_the_label_maps_agree():
    same = box(400, 400, top=100, bottom=300, left=100, right=300)
    drawn = overlays.overlay(skin(400, 400), same, same)
    column = drawn[100:200, 200]
    assert is_color(column, overlays.TRUE_COLOR).sum() >= 2
    assert is_color(column, overlays.PREDICTED_COLOR).sum() >= 1


def test_three_outlines_are_visible_where_the_label_maps_agree():
    same = box(400, 400, top=100, bottom=300, left=100, right=300)
    drawn = overlays.overlay(skin(400, 400), same, same, told=same)
    column = drawn[100:200, 200]
    for color in (
        overlays.TRUE_COLOR,
        overlays.TOLD_COLOR,
        overlays.PREDICTED_COLOR,
    ):
        assert is_color(column, color).sum() >= 1


def test_line_width_grows_with_the_image():
    def thickness(side):
        predicted = box(
            side, side, top=side // 4, bottom=side, left=0, right=side
        )
        drawn = overlays.overlay(skin(side, side), predicted)
        column = drawn[:, side // 2][: side // 2]
        return is_color(column, overlays.PREDICTED_COLOR).sum()

    assert thickness(100) == 1
    assert thickness(1000) == 0.005 * 1000


def test_the_line_is_closed_along_the_border_of_the_image():
    drawn = overlays.overlay(skin(10, 12), np.ones((10, 12), np.uint8))
    edge = is_color(drawn, overlays.PREDICTED_COLOR)
    assert edge[0].all()
    assert edge[-1].all()
    assert edge[:, 0].all()
    assert edge[:, -1].all()


def test_an_image_of_one_pixel_is_drawn():
    drawn = overlays.overlay(skin(1, 1), np.ones((1, 1), bool))
    assert tuple(drawn[0, 0]) == overlays.PREDICTED_COLOR


@pytest.mark.parametrize("which", ["predicted", "true"])
def test_a_label_map_of_another_size_is_an_error(which):
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


@pytest.mark.parametrize("seed", range(20))
def test_line_follows_the_euclidean_distance(seed):
    rng = np.random.default_rng(seed)
    rough = ndimage.gaussian_filter(rng.random((50, 70)), 2)
    label_map = rough > np.quantile(rough, rng.uniform(0, 0.9))
    image = np.zeros((*label_map.shape, 3), np.uint8)
    # A line of 70 * 0.005, at least 1 pixel, and a rim of half of that.
    depth = ndimage.distance_transform_edt(np.pad(label_map, 1))[1:-1, 1:-1]
    drawn = overlays.overlay(image, label_map)
    line = tuple(drawn[label_map & (depth == 1)][0])
    assert line == overlays.PREDICTED_COLOR
    on_line = (drawn == overlays.PREDICTED_COLOR).all(axis=-1)
    np.testing.assert_array_equal(on_line, label_map & (depth <= 1))
