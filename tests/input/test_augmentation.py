"""Tests of the random changes of a training pair.

Images are drawn so that what was done to them can be read off: a ramp tells
flips, crops and angles, an image that equals its label map tells whether both
moved alike.
"""

import numpy as np
import pytest
import scipy.ndimage
import tensorflow as tf

from segan_tf.input import augmentation, sampling_grid

SIZE = 32
WORKING_SIZE = 2 * SIZE
STRENGTHS = pytest.mark.parametrize("strong", [False, True])


def augment_many(image, label_map, count, *, strong=False):
    """Augments one pair with the seeds [0, 0] to [0, count - 1]."""

    def augment(place):
        return augmentation.augment_pair(
            tf.constant(image),
            tf.constant(label_map),
            tf.stack([tf.constant(0, tf.int64), place]),
            image_size=SIZE,
            strong=strong,
        )

    dataset = tf.data.Dataset.range(count).map(augment, 2, deterministic=True)
    images, label_maps = dataset.batch(count).get_single_element()
    return images.numpy(), label_maps.numpy()


def augment(image, label_map, seed=(0, 0), **options):
    options = {"image_size": SIZE, **options}
    seed = tf.constant(seed, tf.int64)
    return augmentation.augment_pair(image, label_map, seed, **options)


def noise_pair(labels=1):
    rng = np.random.default_rng(0)
    shape = (WORKING_SIZE, WORKING_SIZE)
    image = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
    return image, rng.integers(0, 2, (*shape, labels), dtype=np.uint8)


def ramp_pair():
    """Draws the column number in red and the row number in green."""
    row, column = np.mgrid[:WORKING_SIZE, :WORKING_SIZE].astype(np.uint8)
    image = np.stack([column, row, np.zeros_like(row)], axis=-1)
    return image, np.zeros((WORKING_SIZE, WORKING_SIZE, 1), np.uint8)


def blob_pair():
    """Draws an L, unlike its mirror image, white on black, and its map."""
    label_map = np.zeros((WORKING_SIZE, WORKING_SIZE, 1), np.uint8)
    label_map[8:56, 12:30] = 1
    label_map[38:56, 12:52] = 1
    return np.repeat(label_map * 255, 3, axis=-1), label_map


@STRENGTHS
def test_same_seed_gives_the_same_pair(strong):
    first = augment(*noise_pair(), seed=(3, 5), strong=strong)
    second = augment(*noise_pair(), seed=(3, 5), strong=strong)
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("seed", [(3, 6), (4, 5)])
def test_both_numbers_of_the_seed_matter(seed):
    first = augment(*noise_pair(), seed=(3, 5), strong=True)
    second = augment(*noise_pair(), seed=seed, strong=True)
    assert np.mean(np.abs(first[0] - second[0])) > 10


@STRENGTHS
def test_pair_has_the_image_size_and_floats(strong):
    image, label_map = augment(*noise_pair(labels=2), strong=strong)
    assert (image.shape, image.dtype) == ((SIZE, SIZE, 3), tf.float32)
    assert (label_map.shape, label_map.dtype) == ((SIZE, SIZE, 2), tf.float32)


@STRENGTHS
def test_working_size_may_be_oblong_or_already_right(strong):
    for height, width in ((SIZE, SIZE), (SIZE, 50), (70, SIZE)):
        image = np.zeros((height, width, 3), np.uint8)
        label_map = np.ones((height, width, 1), np.uint8)
        for place in range(6):
            pair = augment(image, label_map, (0, place), strong=strong)
            assert pair[0].shape == (SIZE, SIZE, 3)
            np.testing.assert_array_equal(pair[1], np.ones((SIZE, SIZE, 1)))


@STRENGTHS
def test_label_maps_stay_two_valued(strong):
    _, label_maps = augment_many(*noise_pair(), 100, strong=strong)
    for label_map in label_maps:
        assert set(np.unique(label_map)) == {0.0, 1.0}


@STRENGTHS
def test_image_stays_within_0_and_255_and_is_not_normalized(strong):
    images, _ = augment_many(*noise_pair(), 100, strong=strong)
    assert images.min() >= 0
    assert 200 < images.max() <= 255


@STRENGTHS
def test_image_and_label_map_move_together(strong):
    images, label_maps = augment_many(*blob_pair(), 300, strong=strong)
    for image, label_map in zip(images, label_maps, strict=True):
        marked = label_map[..., 0] > 0
        shade = image[..., 1]
        white = shade > (shade.min() + shade.max()) / 2  # jitter moves both
        # A resized edge may fall on either side of its pixel, no further.
        square = np.ones((3, 3))
        inside = scipy.ndimage.binary_erosion(marked, square, border_value=1)
        outside = ~scipy.ndimage.binary_dilation(marked, square)
        # At the frame a turned edge may come from the mirrored outside.
        inner = np.s_[1:-1, 1:-1]
        assert white[inner][inside[inner]].all()
        assert not white[inner][outside[inner]].any()
        assert np.mean(white != marked) < 0.06


@STRENGTHS
def test_labels_move_together(strong):
    label_map = blob_pair()[1]
    both = np.concatenate([label_map, 1 - label_map], axis=-1)
    _, label_maps = augment_many(blob_pair()[0], both, 50, strong=strong)
    np.testing.assert_array_equal(label_maps.sum(axis=-1), 1.0)


def slopes(images):
    """Returns red's slope along a row and green's along a column."""
    middle = images[:, 8:-8, 8:-8]
    across = np.diff(middle[..., 0], axis=2).mean(axis=(1, 2))
    down = np.diff(middle[..., 1], axis=1).mean(axis=(1, 2))
    return across, down


def assert_about(share, expected, count):
    """Asserts that draws came as often as expected, to four deviations."""
    deviation = np.sqrt(expected * (1 - expected) / count)
    assert abs(np.mean(share) - expected) < 4 * deviation


def test_half_are_resized_and_half_are_cropped():
    images, _ = augment_many(*ramp_pair(), 1000)
    steps = np.abs(slopes(images)[0])
    cropped = np.isclose(steps, 1, atol=1e-3)
    resized = np.isclose(steps, WORKING_SIZE / SIZE, atol=1e-3)
    assert np.all(cropped | resized)
    assert_about(cropped, 1 / 2, 1000)


def test_crops_reach_every_side():
    images, _ = augment_many(*ramp_pair(), 1000)
    images = images[np.isclose(np.abs(slopes(images)[0]), 1, atol=1e-3)]
    left, top = images[..., 0].min(axis=(1, 2)), images[..., 1].min(axis=(1, 2))
    room = WORKING_SIZE - SIZE
    for starts in (left, top):
        assert (starts.min(), starts.max()) == (0, room)
        # Uniform over 33 places, of a deviation of 33 / sqrt(12) = 9.5.
        assert abs(starts.mean() - room / 2) < 4 * 9.5 / len(starts) ** 0.5
    # Left and top are drawn apart.
    assert abs(np.corrcoef(left, top)[0, 1]) < 4 / len(left) ** 0.5


def test_shrunk_image_is_averaged():
    # Columns 0, 0, 200, 200 in turn, halved: the antialiasing triangle weighs
    # four of them 1, 3, 3, 1; a bilinear sample alone would give 0 and 200.
    columns = np.tile(np.uint8([0, 0, 200, 200]), (WORKING_SIZE, SIZE // 2))
    image = np.stack([columns] * 3, axis=-1)
    images, _ = augment_many(image, ramp_pair()[1], 50)
    resized = [x[:, 1:-1] for x in images if x[0, 1:-1].max() < 199]
    assert len(resized) > 10
    shades = [200 * (1 + 1) / 8, 200 * (3 + 3) / 8]
    for image in resized:
        row = np.sort(image[0, :, 0])
        np.testing.assert_allclose(row, np.repeat(shades, len(row) // 2), 1e-4)


def test_both_flips_come_half_of_the_time_independently():
    across, down = slopes(augment_many(*ramp_pair(), 1000)[0])
    for left in (False, True):
        for upside in (False, True):
            share = ((across < 0) == left) & ((down < 0) == upside)
            assert_about(share, 1 / 4, 1000)


def test_basic_neither_rotates_nor_changes_colors():
    images, _ = augment_many(*ramp_pair(), 100)
    assert np.all(np.abs(slopes(images)) > 0.9)  # red across, green down
    np.testing.assert_array_equal(images[..., 2], 0)
    color = np.full((WORKING_SIZE, WORKING_SIZE, 3), (100, 150, 200), np.uint8)
    images, _ = augment_many(color, ramp_pair()[1], 20)
    np.testing.assert_allclose(images - color[0, 0], 0, atol=1e-3)


def test_strong_transposes_half_of_the_time(monkeypatch):
    monkeypatch.setattr(sampling_grid, "warp", lambda x, y, places: (x, y))
    monkeypatch.setattr(augmentation, "jitter_colors", lambda x, draw: x)
    images, _ = augment_many(*ramp_pair(), 1000, strong=True)
    red_across, green_down = slopes(images)
    green_across, red_down = slopes(images[..., [1, 0, 2]])
    transposed = np.abs(red_down) > 0.9
    np.testing.assert_array_equal(np.abs(green_across) > 0.9, transposed)
    np.testing.assert_array_equal(np.abs(red_across) < 0.1, transposed)
    np.testing.assert_array_equal(np.abs(green_down) < 0.1, transposed)
    # With the two flips it gives all eight ways to lay a square, alike often.
    left = red_across + red_down < 0
    upside = green_across + green_down < 0
    ways = np.bincount(4 * transposed + 2 * left + upside, minlength=8)
    for count in ways:
        assert_about(count / 1000, 1 / 8, 1000)


def gray_ramp_pair():
    """Draws 64 plus half the column number; no jitter takes it to an end."""
    column = np.arange(WORKING_SIZE, dtype=np.uint8)
    gray = np.broadcast_to(64 + column, (WORKING_SIZE, WORKING_SIZE))
    return np.stack([gray] * 3, axis=-1), ramp_pair()[1]


def middle_slopes(images):
    """Returns green's (down, across) slope at the middle of each image."""
    middle = images[:, 11:-11, 11:-11, 1]
    down, across = np.gradient(middle, axis=(1, 2))
    return np.median(down, axis=(1, 2)), np.median(across, axis=(1, 2))


def keep_straight(monkeypatch):
    """Leaves rotation and scale, which can be read off a ramp."""
    monkeypatch.setattr(sampling_grid, "STRONG_SHEAR", 0)
    monkeypatch.setattr(sampling_grid, "STRONG_ELASTIC", 0)


def test_strong_rotates_by_quarters_and_20_degrees_to_either_side(monkeypatch):
    keep_straight(monkeypatch)
    images, _ = augment_many(*gray_ramp_pair(), 720, strong=True)
    angles = np.degrees(np.arctan2(*middle_slopes(images)))
    turned = (angles + 45) % 90 - 45  # from the nearest quarter
    quarters = np.round((angles - turned) / 90) % 4
    # 180 are expected in each quarter and each part, give or take 12.
    counts, _ = np.histogram(quarters, bins=4, range=(-0.5, 3.5))
    assert np.all(np.abs(counts - 180) < 4 * 12), counts
    counts, _ = np.histogram(turned, bins=4, range=(-20.5, 20.5))
    assert counts.sum() == 720
    assert np.all(np.abs(counts - 180) < 4 * 12), counts


def test_strong_scales_by_up_to_a_quarter_either_way(monkeypatch):
    keep_straight(monkeypatch)
    monkeypatch.setattr(augmentation, "jitter_colors", lambda x, draw: x)
    images, _ = augment_many(*gray_ramp_pair(), 400, strong=True)
    steps = np.hypot(*middle_slopes(images))
    # A resized ramp rises by 2 and a cropped one by 1, over the scale.
    scales = np.where(steps > 1.5, 2, 1) / steps
    assert 1 / 1.25 - 0.02 < scales.min() < 1 / 1.2
    assert 1.2 < scales.max() < 1.25 + 0.02
    assert abs(np.log(scales).mean()) < 0.03  # as often larger as smaller


def test_strong_changes_colors_within_bounds():
    color = np.full((WORKING_SIZE, WORKING_SIZE, 3), (40, 120, 200), np.uint8)
    images, label_maps = augment_many(color, ramp_pair()[1], 200, strong=True)
    # Warping and contrast leave an image of one color one color.
    assert np.ptp(images, axis=(1, 2)).max() < 0.01
    shades = images[:, 0, 0]
    for shade, value in zip(shades.T, (40, 120, 200), strict=True):
        # Channel gain 10 %, brightness 20 %, saturation 20 % of a distance
        # from gray that is at most (200 * 1.1 - 40 * 0.9) * 2 / 3 = 123.
        assert shade.min() > (value * 0.9 - 0.2 * 123) * 0.8
        assert shade.max() < (value * 1.1 + 0.2 * 123) * 1.2
    # Brightness alone moves the mean of the three by 0.2 / sqrt(3) = 12 %,
    # the gains of the three together by 0.1 / 3 = 3 %.
    means = shades.mean(axis=1)
    assert np.std(means / 120) > 0.09
    # Saturation moves the distance of blue from red, 160, by 12 % = 18, their
    # gains by 0.1 / sqrt(3) * hypot(40, 200) = 12: together 22.
    assert np.std((shades[:, 2] - shades[:, 0]) / means * 120) > 17
    np.testing.assert_array_equal(label_maps, 0)


def test_strong_gives_gray_a_tinge():
    gray = np.full((WORKING_SIZE, WORKING_SIZE, 3), 120, np.uint8)
    images, _ = augment_many(gray, ramp_pair()[1], 200, strong=True)
    # Gains of 0.9 to 1.1 in each channel; brightness and saturation move all
    # three alike: the ratio's deviation is 0.1 / sqrt(3) * sqrt(2) = 0.08.
    ratios = images[:, 0, 0, 0] / images[:, 0, 0, 2]
    assert 0.06 < np.std(ratios) < 0.1


def test_strong_changes_contrast(monkeypatch):
    monkeypatch.setattr(sampling_grid, "warp", lambda x, y, places: (x, y))
    image = np.full((WORKING_SIZE, WORKING_SIZE, 3), 100, np.uint8)
    image[:, ::2] = 140
    images, _ = augment_many(image, ramp_pair()[1], 400, strong=True)
    # Cropped ones keep both shades, resized ones melt them into one. Gain
    # and brightness keep the ratio of dark to bright; contrast changes it.
    ratios = [x.min() / x.max() for x in images[..., 1] if np.ptp(x) > 20]
    mean, amount = (100 + 140) / 2, augmentation.STRONG_COLOR
    low, high = (
        (mean - s * 20) / (mean + s * 20) for s in (1 + amount, 1 - amount)
    )
    assert low - 1e-3 < min(ratios) < low + 0.01
    assert high - 0.01 < max(ratios) < high + 1e-3


def orientations_seen(flip, *, strong):
    """Counts how often the corner of a labeled corner ends in each quarter."""
    image, label_map = ramp_pair()
    label_map = label_map.copy()
    label_map[:20, :20] = 1  # upper left
    image = np.repeat(label_map * 255, 3, axis=-1)

    def augment(place):
        return augmentation.augment_pair(
            tf.constant(image),
            tf.constant(label_map),
            tf.stack([tf.constant(0, tf.int64), place]),
            image_size=SIZE,
            strong=strong,
            flip=flip,
        )

    dataset = tf.data.Dataset.range(80).map(augment, 2, deterministic=True)
    _, label_maps = dataset.batch(80).get_single_element()
    maps = label_maps.numpy()[..., 0]
    half = SIZE // 2
    return {
        (top, left)
        for a_map in maps
        if a_map.any()
        for top in (0, 1)
        for left in (0, 1)
        if a_map[top * half :, left * half :][:half, :half].sum()
        > a_map.sum() / 2
    }


@STRENGTHS
def test_pair_is_mirrored_only_where_flip_says(strong):
    assert orientations_seen("none", strong=strong) == {(0, 0)}
    assert orientations_seen("horizontal", strong=strong) == {(0, 0), (0, 1)}
    assert len(orientations_seen("both", strong=strong)) == 2 * 2


@pytest.mark.parametrize("flip", ["none", "horizontal"])
def test_pair_with_an_upright_is_never_transposed(flip):
    # Columns of the ramp's red grow to one side by more than by rows: a
    # transpose would exchange the two, a rotation by 20 degrees does not.
    image, label_map = ramp_pair()
    for place in range(40):
        augmented, _ = augment(
            image, label_map, (0, place), strong=True, flip=flip
        )
        red = augmented[..., 0].numpy()
        across = np.abs(np.diff(red, axis=1)).mean()
        down = np.abs(np.diff(red, axis=0)).mean()
        assert across > down
