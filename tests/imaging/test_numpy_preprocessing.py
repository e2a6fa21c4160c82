"""Tests that NumPy resizes and decides as TensorFlow does."""

import platform

import numpy as np
import pytest

from segan_tf.imaging import numpy_preprocessing, preprocessing

# Elsewhere TensorFlow is compiled with fused multiply-adds, which round once.
exact = pytest.mark.skipif(
    platform.machine() != "x86_64", reason="equal to the last bit on x86-64"
)
# Smaller and larger than the model, and both at once.
SIZES = [(192, 192), (16, 700), (40, 97), (256, 256), (767, 1022), (1500, 2000)]


@exact
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("side", [96, 192])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_image_is_resized_to_the_same_bits(size, side, dtype):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (*size, 3)).astype(dtype)
    expected = preprocessing.resize_image(image, side, side).numpy()
    found = numpy_preprocessing.resize_image(image, side, side)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


@exact
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("labels", [1, 3])
def test_probability_map_is_resized_to_the_same_bits(size, labels):
    maps = np.random.default_rng(0).random((96, 96, labels), np.float32)
    expected = preprocessing.resize_probability_map(maps, *size).numpy()
    found = numpy_preprocessing.resize_probability_map(maps, *size)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


def test_shrunk_image_averages_every_pixel():
    # The triangle of half-width 12 weighs pixel i by 12 - |i - 5.5|.
    line = np.zeros((1, 12, 3), np.uint8)
    line[0, :3] = 255
    resized = numpy_preprocessing.resize_image(line, 1, 1)
    expected = 255 * (6.5 + 7.5 + 8.5) / 108
    np.testing.assert_allclose(resized[0, 0, 0], expected, rtol=1e-5)


def test_enlarged_map_is_interpolated_bilinearly():
    maps = np.float32([[[0.0], [1.0]]])
    resized = numpy_preprocessing.resize_probability_map(maps, 1, 4)
    assert resized[0, :, 0].tolist() == [0, 1 / 4, 3 / 4, 1]


@pytest.mark.parametrize("labels", [1, 2, 3, 9])
@pytest.mark.parametrize("multiclass", [True, False])
@pytest.mark.parametrize("is_fitted", [True, False])
def test_labels_are_decided_alike(labels, multiclass, is_fitted):
    rng = np.random.default_rng(labels)
    # In steps of 1/8: many are at a threshold, and many scores are equal. The
    # sum over many multiclass labels is exact, whatever its order.
    maps = rng.integers(0, 9, (60, 50, labels)).astype(np.float32) / 8
    if multiclass and labels > 1:
        maps /= 16
    fitted = rng.integers(1, 8, labels) / 8 if is_fitted else ()
    given = {"multiclass": multiclass, "thresholds": tuple(fitted)}
    expected = preprocessing.decide_label_map(maps, **given).numpy()
    found = numpy_preprocessing.decide_label_map(maps, **given)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, expected)


def test_wrong_number_of_thresholds_is_an_error():
    with pytest.raises(ValueError, match="2 thresholds for 1 labels"):
        numpy_preprocessing.decide_label_map(
            np.zeros((1, 1, 1)), multiclass=True, thresholds=(0.5, 0.4)
        )
