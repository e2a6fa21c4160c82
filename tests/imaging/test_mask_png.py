"""Tests of label maps as PNG files."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from segan_tf.imaging import mask_png


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (131, 18), (600, 700)])
def test_label_map_is_read_back_as_0_and_255(size):
    rng = np.random.default_rng(0)
    label_map = rng.integers(0, 2, size, np.uint8)
    encoded = mask_png.encode_mask_png(label_map)
    with Image.open(io.BytesIO(encoded)) as image:
        image.verify()
    with Image.open(io.BytesIO(encoded)) as image:
        assert image.mode == "L"
        np.testing.assert_array_equal(np.array(image), label_map * 255)
    decoded = tf.io.decode_png(encoded).numpy()
    np.testing.assert_array_equal(decoded[..., 0], label_map * 255)


def test_part_of_a_larger_array_is_encoded():
    whole = np.zeros((20, 30, 2), np.uint8)
    whole[5:, :7, 1] = 1
    encoded = mask_png.encode_mask_png(whole[..., 1])
    with Image.open(io.BytesIO(encoded)) as image:
        np.testing.assert_array_equal(np.array(image), whole[..., 1] * 255)
