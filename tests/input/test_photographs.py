"""Tests of what makes training pairs look like everyday photographs."""

import numpy as np
import pytest
import scipy.ndimage
import tensorflow as tf

from segan_tf.input import augmentation, photographs

WORKING_SIZE = 64
SIZE = 48
NO_CHANGE = (1 / 2, 1 / 2, 0, 0)
# An L, unlike its mirror image: rows 24 to 39, columns 16 to 39.
ROWS, COLUMNS = (24, 40), (16, 40)


def draw_pair(rows=ROWS, columns=COLUMNS):
    """Draws a dark L on white, and its label map."""
    label_map = np.zeros((WORKING_SIZE, WORKING_SIZE, 1), np.uint8)
    label_map[slice(*rows), slice(*columns)] = 1
    label_map[rows[0] : rows[0] + 4, columns[0] + 8 : columns[1]] = 0
    return np.repeat(200 - 150 * label_map, 3, axis=-1), label_map


def zoom_out(image, label_map, draw, size=SIZE):
    pair = photographs.zoom_out(
        tf.constant(image),
        tf.constant(label_map),
        tf.constant(draw, tf.float32),
        size=size,
    )
    return pair[0].numpy(), pair[1].numpy()[..., 0]


def extent(label_map):
    """Returns the first row and column of the label, and its size."""
    rows, columns = (np.flatnonzero(label_map.any(axis)) for axis in (1, 0))
    return rows[0], columns[0], np.ptp(rows) + 1, np.ptp(columns) + 1


def change_light(image, draw):
    image = tf.constant(image, tf.float32)
    return photographs.change_light(image, tf.constant(draw)).numpy()


@pytest.mark.parametrize(
    ("draw", "top", "left"),
    [
        # 1.6 times smaller: 64 / 1.6 = 40 pixels of 64, 24 beyond them. The
        # label has 24 of 64 before and after it in its column, 15 of 40, and
        # 16 before and 24 after it in its row, 10 and 15 of 40. So of the 24,
        # 24 - 15 = 9 to 15 go above, and 9 to 10 to the left.
        ((1, 0, 0), 9 + 15, 9 + 10),
        ((1, 0.999, 0.999), 15 + 15, 10 + 10),
        ((1, 0.5, 0), 12 + 15, 9 + 10),
    ],
)
def test_label_map_shrinks_and_moves_by_what_was_drawn(draw, top, left):
    image, label_map = zoom_out(*draw_pair(), draw, size=64)
    # 16 and 24 pixels over 1.6.
    assert extent(label_map) == (top, left, 10, 15)
    assert set(np.unique(label_map)) == {0, 1}
    assert image.shape == (64, 64, 3)
    assert image.dtype == np.float32


def test_amount_is_limited_by_the_label_s_margins():
    # Margins of 3 and 3 of 64 in the row: 64 / (1 + 6 / 64) = 58.5.
    pair = draw_pair(columns=(3, 61))
    _, label_map = zoom_out(*pair, (1, 0, 0), size=64)
    _, left, height, width = extent(label_map)
    assert width == round(58 * 59 / 64)
    assert height == round(16 * 59 / 64)
    assert left >= 3
    assert left + width <= 64 - 2
    _, label_map = zoom_out(*draw_pair(columns=(0, 64)), (1, 0, 0), size=64)
    assert extent(label_map) == (24, 0, 16, 64)


def test_label_is_never_doubled_and_image_moves_alike():
    rng = np.random.default_rng(0)
    sizes = []
    for _ in range(60):
        (top, left), (height, width) = rng.integers(0, 40, 2), (16, 24)
        pair = draw_pair((top, top + height), (left, left + width))
        image, label_map = zoom_out(*pair, rng.uniform(size=3))
        assert scipy.ndimage.label(label_map)[1] == 1
        dark = image[..., 0] < 125
        assert np.mean(dark != label_map) < 0.03
        sizes.append(label_map.sum() / (pair[1].sum() * (48 / 64) ** 2))
    assert 1 / 1.6**2 - 0.06 < min(sizes) < 0.55
    assert 0.95 < max(sizes) < 1.06


def test_pair_without_labels_is_zoomed_out_too():
    image = np.zeros((WORKING_SIZE, WORKING_SIZE, 3), np.uint8) + 100
    image[:, 31:33] = 220
    label_map = np.zeros((WORKING_SIZE, WORKING_SIZE, 1), np.uint8)
    image, label_map = zoom_out(image, label_map, (1, 0, 0), size=64)
    np.testing.assert_array_equal(label_map, 0)
    # The line, 20 of 40, is 24 * 0 = 0 from the left.
    assert np.argmax(image[0, :, 0]) in (19, 20)


@pytest.mark.parametrize(("corner", "smaller"), [(80, False), (180, True)])
def test_dark_corners_are_not_mirrored(corner, smaller):
    image, label_map = draw_pair()
    image[-8:, :8] = corner  # of 200, so below 0.75 of the mean, or not
    _, label_map = zoom_out(image, label_map, (1, 0, 0), size=64)
    assert (extent(label_map)[2] == 10) == smaller
    assert (extent(label_map)[2] == 16) == (not smaller)


def test_draw_in_the_middle_leaves_the_light_as_it_is():
    image = np.random.default_rng(0).uniform(0, 255, (8, 8, 3))
    same = change_light(image, NO_CHANGE)
    np.testing.assert_allclose(same, image, atol=1e-3)


@pytest.mark.parametrize(("drawn", "exponent"), [(1.0, 1.3), (0.0, 1 / 1.3)])
def test_gamma_is_an_exponent(drawn, exponent):
    changed = change_light(np.full((4, 4, 3), 51.0), (drawn, *NO_CHANGE[1:]))
    np.testing.assert_allclose(changed, 255 * 0.2**exponent, rtol=1e-5)


@pytest.mark.parametrize(
    ("drawn", "color"),
    [
        (1.0, (100 * 1.12, 100, 100 / 1.12)),
        (0.0, (100 / 1.12, 100, 100 * 1.12)),
    ],
)
def test_light_is_warm_or_cold(drawn, color):
    changed = change_light(np.full((4, 4, 3), 100.0), (0.5, drawn, 0, 0))
    expected = np.broadcast_to(color, (4, 4, 3))
    np.testing.assert_allclose(changed, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("direction", "corners"),
    [
        # Upper left, upper right, lower left, lower right.
        (0.0, (70, 130, 70, 130)),
        (0.25, (70, 70, 130, 130)),
        (0.125, (70, 100, 100, 130)),  # 45 degrees
        (0.5, (130, 70, 130, 70)),
    ],
)
def test_gradient_is_linear_from_side_to_side(direction, corners):
    image = np.full((5, 5, 3), 100.0)
    changed = change_light(image, (0.5, 0.5, 1, direction))
    found = changed[[0, 0, -1, -1], [0, -1, 0, -1]]
    expected = np.repeat(np.float32(corners)[:, None], 3, axis=1)
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    np.testing.assert_allclose(changed[2, 2], 100, rtol=1e-4)
    np.testing.assert_allclose(np.diff(changed, 2, axis=0), 0, atol=1e-3)
    np.testing.assert_allclose(np.diff(changed, 2, axis=1), 0, atol=1e-3)


def test_half_a_gradient_is_half_as_steep():
    changed = change_light(np.full((5, 5, 3), 100.0), (0.5, 0.5, 0.5, 0))
    expected = [85, 92.5, 100, 107.5, 115]
    np.testing.assert_allclose(changed[0, :, 0], expected, rtol=1e-4)


def test_light_stays_within_0_and_255():
    changed = change_light(np.full((5, 5, 3), 250.0), (0.0, 1.0, 1, 0))
    assert changed.max() == 255


def augment_many(rate, *, count=300, strong=False):
    """Augments one pair with the seeds [0, 0] to [0, count - 1]."""
    image, label_map = (tf.constant(part) for part in draw_pair())

    def augment(place):
        return augmentation.augment_pair(
            image,
            label_map,
            tf.stack([tf.constant(0, tf.int64), place]),
            image_size=SIZE,
            strong=strong,
            photo_rate=rate,
        )

    dataset = tf.data.Dataset.range(count).map(augment, 2, deterministic=True)
    images, label_maps = dataset.batch(count).get_single_element()
    return images.numpy(), label_maps.numpy()


@pytest.mark.parametrize("strong", [False, True])
def test_share_of_the_pairs_changes_and_the_others_stay(strong):
    without, with_some = (
        augment_many(rate, strong=strong) for rate in (0.0, 0.2)
    )
    changed = np.any(without[0] != with_some[0], axis=(1, 2, 3))
    # 60 of 300, with a deviation of sqrt(300 * 0.2 * 0.8) = 7.
    assert abs(changed.sum() - 60) < 3 * 7
    np.testing.assert_array_equal(without[1][~changed], with_some[1][~changed])
    again = augment_many(0.2, strong=strong)
    np.testing.assert_array_equal(again[0], with_some[0])


def test_changed_pairs_have_a_gradient_a_cast_and_a_smaller_label():
    images, label_maps = augment_many(1.0)
    skin = np.where(label_maps > 0, np.nan, images)
    left, right = (
        np.nanmean(skin[:, :, part], (1, 2))
        for part in (slice(0, 8), slice(-8, None))
    )
    # The most is 0.7 and 1.3, less as direction and amount are drawn.
    ratios = (left / right)[:, 1]
    assert 0.54 < ratios.min() < 0.7
    assert 1.4 < ratios.max() < 1.86
    red, _, blue = np.moveaxis(np.nanmean(skin, (1, 2)), -1, 0)
    assert 1 / 1.12**2 - 0.01 < (red / blue).min() < 0.85
    assert 1.18 < (red / blue).max() < 1.12**2 + 0.01
    # None is cropped: from the resized label's size down to 1 / 1.6 of it.
    sizes = label_maps.sum((1, 2, 3)) / (draw_pair()[1].sum() * (48 / 64) ** 2)
    assert 1 / 1.6**2 - 0.06 < sizes.min() < 0.5
    assert 0.9 < sizes.max() < 1.06
