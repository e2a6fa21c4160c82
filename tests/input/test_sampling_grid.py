"""Tests of the warps against numbers worked out by hand and in NumPy.

Both editions run them, so both are held to the same numbers.
"""

import numpy as np
import pytest
import scipy.ndimage
import tensorflow as tf

from segan_tf.input import sampling_grid

SIZE = 32
NOTHING = np.full(sampling_grid.NUM_DRAWS, 0.5, np.float32)
ANGLE, SHEAR, SCALE = range(3)


def noise(channels, size=SIZE):
    rng = np.random.default_rng(0)
    return rng.random((size, size, channels), np.float32)


def draw_sampling_grid(size=SIZE, **draws):
    """Draws places where the named draws differ from 1/2."""
    draw = NOTHING.copy()
    for name, value in draws.items():
        draw[globals()[name]] = value
    return sampling_grid.draw_sampling_grid(tf.constant(draw), size)


def identity(size=SIZE):
    return np.mgrid[:size, :size].astype(np.float32)


def test_sampling_is_bilinear_and_mirrored_outside_the_border():
    image = np.float32([[0, 10], [20, 40]])[..., None]
    places = np.float32([[[0.25, 0], [1.5, -1.25]], [[0.5, -0.5], [0, 1]]])

    warped, _ = sampling_grid.warp(image, image, places)

    # 3/4 of (0 + 10) / 2 and 1/4 of (20 + 40) / 2; half a pixel before the
    # first one it is met by its own mirror image; half a pixel after the last
    # one likewise; 1.25 before the first is a quarter within the mirror.
    expected = [[3 / 4 * 5 + 1 / 4 * 30, 0], [20, 3 / 4 * 10 + 1 / 4 * 40]]
    np.testing.assert_allclose(warped[..., 0], expected, atol=1e-5)


def test_label_map_takes_the_nearest_pixel():
    label_map = np.float32([[1, 0], [0, 1]])[..., None]
    places = np.float32([[[0.49, 0.51], [-0.7, 1.4]], [[0, 0], [0.2, 2.4]]])

    _, warped = sampling_grid.warp(label_map, label_map, places)

    np.testing.assert_array_equal(warped[..., 0], [[1, 0], [1, 1]])


def test_random_grid_agrees_with_scipy():
    image, rng = noise(3), np.random.default_rng(1)
    places = identity() + rng.normal(0, 5, (2, SIZE, SIZE)).astype("f")
    label_map = np.round(noise(2))

    warped, warped_map = sampling_grid.warp(image, label_map, places)

    for channel in range(3):
        expected = scipy.ndimage.map_coordinates(
            image[..., channel], places, order=1, mode="reflect"
        )
        np.testing.assert_allclose(warped[..., channel], expected, atol=1e-5)
    nearest = np.floor(places + 0.5)
    for label in range(2):
        expected = scipy.ndimage.map_coordinates(
            label_map[..., label], nearest, order=0, mode="reflect"
        )
        np.testing.assert_array_equal(warped_map[..., label], expected)


def test_graph_and_eager_code_agree():
    image, label_map = noise(3), np.round(noise(1))
    places = draw_sampling_grid(ANGLE=0.9, SHEAR=0.2, SCALE=0.8)

    graph = tf.function(sampling_grid.warp)(image, label_map, places)

    for one, other in zip(
        graph, sampling_grid.warp(image, label_map, places), strict=True
    ):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_draws_of_one_half_change_nothing():
    places = draw_sampling_grid()
    np.testing.assert_allclose(places, identity(), atol=1e-5)
    image, label_map = noise(3), np.round(noise(1))
    warped, warped_map = sampling_grid.warp(image, label_map, places)
    np.testing.assert_allclose(warped, image, atol=1e-4)
    np.testing.assert_array_equal(warped_map, label_map)


@pytest.mark.parametrize(("turn", "quarters"), [(0, 0), (0.25, 1), (0.5, 2)])
def test_quarter_turns_move_every_pixel_onto_another(
    turn, quarters, monkeypatch
):
    monkeypatch.setattr(sampling_grid, "STRONG_ROTATION", 180)
    image, label_map = noise(3), np.round(noise(1))
    # From -180 to 180 degrees.
    places = draw_sampling_grid(ANGLE=turn + 1 / 2)

    turned, turned_map = sampling_grid.warp(image, label_map, places)

    np.testing.assert_allclose(turned, np.rot90(image, quarters), atol=1e-4)
    np.testing.assert_array_equal(turned_map, np.rot90(label_map, quarters))


def test_rotation_shear_and_scale_are_those_drawn():
    size = 33  # its middle is a pixel
    places = draw_sampling_grid(size, ANGLE=1, SHEAR=0, SCALE=1)

    # In NumPy: columns and rows from the middle; shear, then the rotation by
    # 20 degrees against the clock that takes what lay there, then the scale.
    shear = np.array([[1, -np.tan(np.radians(5))], [0, 1]])
    cos, sin = np.cos(np.radians(20)), np.sin(np.radians(20))
    turn = np.array([[cos, -sin], [sin, cos]]) / 1.25
    row, column = identity(size).reshape(2, -1) - 16
    column, row = turn @ shear @ [column, row] + 16
    np.testing.assert_allclose(
        np.reshape(places, (2, -1)), [row, column], atol=1e-4
    )


def test_elastic_knots_move_their_surroundings_and_no_more():
    draw = NOTHING.copy()
    knots = draw[3:].reshape(5, 5, 2)
    knots[2, 2] = 1, 0.5  # the middle one, down by 1 % of the side
    size = 65
    places = sampling_grid.draw_sampling_grid(tf.constant(draw), size)
    moved = places.numpy() - identity(size)

    np.testing.assert_allclose(moved[1], 0, atol=1e-4)
    # Bicubic: all of it at the knot, none at the next one, a little overshoot
    # beyond.
    assert moved[0][32, 32] == pytest.approx(0.01 * size, abs=1e-3)
    assert abs(moved[0][32, 32 + 13]) < 1e-3
    assert np.abs(moved[0][:, :6]).max() < 0.05


def test_every_draw_matters():
    for place in range(sampling_grid.NUM_DRAWS):
        draw = NOTHING.copy()
        draw[place] = 0.9
        moved = (
            sampling_grid.draw_sampling_grid(tf.constant(draw), SIZE)
            - identity()
        )
        assert np.abs(moved).max() > 0.1, place
