"""Tests of preprocessing, with values computed by hand."""

import numpy as np
import pytest
import tensorflow as tf

from segan_tf.imaging import preprocessing


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_black_and_white_normalize_to_imagenets_bounds(dtype):
    image = np.array([[[0, 0, 0], [255, 255, 255]]], dtype)

    normalized = preprocessing.normalize(image)

    black = [(0 - 0.485) / 0.229, (0 - 0.456) / 0.224, (0 - 0.406) / 0.225]
    white = [(1 - 0.485) / 0.229, (1 - 0.456) / 0.224, (1 - 0.406) / 0.225]
    assert normalized.dtype == tf.float32
    np.testing.assert_allclose(normalized, [[black, white]], rtol=1e-6)


def test_mean_color_normalizes_to_zero():
    mean_color = np.float32([[[0.485 * 255, 0.456 * 255, 0.406 * 255]]])

    normalized = preprocessing.normalize(mean_color)

    np.testing.assert_allclose(normalized, [[[0, 0, 0]]], atol=1e-6)


def test_channels_are_in_rgb_order():
    red = np.uint8([[[255, 0, 0]]])

    normalized = preprocessing.normalize(red)

    expected = [(1 - 0.485) / 0.229, -0.456 / 0.224, -0.406 / 0.225]
    np.testing.assert_allclose(normalized, [[expected]], rtol=1e-6)


def test_normalize_works_inside_a_data_pipeline():
    images = np.full((3, 2, 2, 3), 255, np.uint8)
    dataset = tf.data.Dataset.from_tensor_slices(images)

    for normalized in dataset.map(preprocessing.normalize):
        np.testing.assert_allclose(
            normalized[0, 0, 0], (1 - 0.485) / 0.229, rtol=1e-6
        )


def test_image_of_the_right_size_keeps_its_values_as_float():
    image = np.arange(2 * 2 * 3, dtype=np.uint8).reshape(2, 2, 3)

    resized = preprocessing.resize_image(image, 2, 2)

    assert resized.dtype == tf.float32
    np.testing.assert_allclose(resized, image, atol=1e-5)


def test_enlarged_image_is_interpolated_bilinearly():
    # Twice as wide: the centers of the four new pixels lie at -1/4, 1/4,
    # 3/4 and 5/4 between the old ones, those outside take the nearest.
    image = np.uint8([[[0, 0, 0], [100, 100, 100]]])

    resized = preprocessing.resize_image(image, 1, 4)

    expected = [0, 100 * 1 / 4, 100 * 3 / 4, 100]
    np.testing.assert_allclose(resized[0, :, 0], expected, atol=1e-4)


def test_shrunk_image_averages_every_pixel():
    # Three white pixels of twelve, shrunk to one: bilinear sampling without
    # antialiasing reads pixels 5 and 6 alone and gives 0. The triangle of
    # half-width 12 around the center weighs pixel i by 12 - |i - 5.5|, so
    # pixels 0, 1, 2 weigh 6.5 + 7.5 + 8.5 of 2 * (6.5 + ... + 11.5) = 108.
    line = np.zeros((1, 12, 3), np.uint8)
    line[0, :3] = 255

    resized = preprocessing.resize_image(line, 1, 1)

    expected = 255 * (6.5 + 7.5 + 8.5) / 108
    np.testing.assert_allclose(resized[0, 0, 0], expected, rtol=1e-5)


def test_batches_are_resized_like_single_images():
    images = np.random.default_rng(0).integers(
        0, 256, (2, 9, 7, 3), dtype=np.uint8
    )

    together = preprocessing.resize_image(images, 4, 5)

    for image, resized in zip(images, together, strict=True):
        alone = preprocessing.resize_image(image, 4, 5)
        np.testing.assert_array_equal(alone, resized)


@pytest.mark.parametrize("size", [(3, 5), (13, 29)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_label_map_stays_two_valued_and_keeps_its_dtype(size, dtype):
    label_map = np.random.default_rng(0).integers(0, 2, (8, 8, 2))

    resized = preprocessing.resize_label_map(label_map.astype(dtype), *size)

    assert resized.dtype == dtype
    assert resized.shape == (*size, 2)
    assert set(np.unique(resized)) == {0, 1}


def test_label_map_takes_the_pixel_under_its_center():
    # From 4 to 2 pixels: the new centers, 1 and 3, fall into pixels 1 and 3.
    label_map = np.uint8([[[5], [6], [7], [8]]])

    resized = preprocessing.resize_label_map(label_map, 1, 2)

    np.testing.assert_array_equal(resized, [[[6], [8]]])


def test_probability_map_is_enlarged_bilinearly():
    probability_map = np.float32([[[0.0], [1.0]]])

    resized = preprocessing.resize_probability_map(probability_map, 1, 4)

    expected = [0, 1 / 4, 3 / 4, 1]
    np.testing.assert_allclose(resized[0, :, 0], expected, atol=1e-6)


def decide(*probabilities, multiclass, thresholds=()):
    decided = preprocessing.decide_label_map(
        tf.constant([probabilities], tf.float32),
        multiclass=multiclass,
        thresholds=thresholds,
    )
    return decided.numpy()[0].tolist()


def test_one_label_is_set_above_one_half():
    for multiclass in (True, False):
        assert decide(0.6, multiclass=multiclass) == [1.0]
        assert decide(0.5, multiclass=multiclass) == [0.0]


def test_most_probable_of_background_and_multiclass_labels_is_set():
    assert decide(0.4, 0.35, multiclass=True) == [1.0, 0.0]  # 0.25 is left
    assert decide(0.3, 0.25, multiclass=True) == [0.0, 0.0]  # 0.45 is left


def test_each_multilabel_label_is_set_above_one_half():
    assert decide(0.6, 0.7, 0.4, multiclass=False) == [1.0, 1.0, 0.0]


def test_one_label_is_set_above_its_threshold():
    for multiclass in (True, False):
        at_03 = {"multiclass": multiclass, "thresholds": (0.3,)}
        assert decide(0.31, **at_03) == [1.0]
        assert decide(0.3, **at_03) == [0.0]


def test_each_multilabel_label_has_a_threshold_of_its_own():
    assert decide(
        0.6, 0.6, 0.6, multiclass=False, thresholds=(0.7, 0.5, 0.3)
    ) == [0.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("probabilities", "thresholds", "expected"),
    [
        # Alone against the background: above the threshold.
        ((0.31, 0.0), (0.3, 0.5), [1.0, 0.0]),  # 0.31 * 7 / 3 > 0.69
        ((0.29, 0.0), (0.3, 0.5), [0.0, 0.0]),  # 0.29 * 7 / 3 < 0.71
        # Against another label: 0.4 * 0.4 / 0.6 < 0.35 * 0.5 / 0.5.
        ((0.4, 0.35), (0.6, 0.5), [0.0, 1.0]),
        ((0.4, 0.35), (0.5, 0.5), [1.0, 0.0]),
        ((0.4, 0.35), (), [1.0, 0.0]),
    ],
)
def test_multiclass_labels_are_compared_by_their_odds(
    probabilities, thresholds, expected
):
    decided = decide(*probabilities, multiclass=True, thresholds=thresholds)
    assert decided == expected


def test_thresholds_of_another_number_of_labels_are_an_error():
    with pytest.raises(ValueError, match="1 thresholds for 2 labels"):
        decide(0.4, 0.4, multiclass=False, thresholds=(0.3,))
