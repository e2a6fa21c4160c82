"""Tests of finding near-duplicates, on drawn photographs of lesions."""

import io

import numpy as np
import pytest
from PIL import Image, ImageFilter

from segan_tf.datasets import near_duplicates


def draw_photograph(seed, side=256):
    """Draws a dark blob in the middle with fine detail of its own."""
    rng = np.random.default_rng(seed)
    grid = np.linspace(-1, 1, side)
    distance = np.hypot(*np.meshgrid(grid, grid))
    pores = Image.fromarray(
        rng.integers(0, 256, (side // 4, side // 4), dtype=np.uint8)
    ).resize((side, side))
    detail = np.asarray(pores.filter(ImageFilter.GaussianBlur(1)), np.float32)
    gray = 200 - 100 * np.exp(-4 * distance**2) + 0.2 * (detail - 128)
    tint = np.array([1.0, 0.85, 0.8])
    return np.clip(gray[:, :, None] * tint, 0, 255).astype(np.uint8)


def saved_as_jpeg(image):
    """Returns the image as it comes back from a strong JPEG."""
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, format="JPEG", quality=60)
    return np.array(Image.open(stream))


def find(*photographs):
    """Returns the places of the near-duplicates among images."""
    thumbnails = [
        near_duplicates.make_thumbnail(image) for image in photographs
    ]
    found = near_duplicates.find_near_duplicates(thumbnails)
    return [(copy.first, copy.second) for copy in found]


@pytest.mark.parametrize(
    "change",
    [
        lambda image: image,
        saved_as_jpeg,
        lambda image: np.array(Image.fromarray(image).resize((150, 100))),
        lambda image: (image * (0.9, 0.7, 0.6)).astype(np.uint8),
        lambda image: np.roll(image, (6, -6), axis=(0, 1)),
    ],
    ids=["same", "jpeg", "resized", "other colors", "shifted"],
)
def test_changed_copy_is_found(change):
    original = draw_photograph(0)
    others = [draw_photograph(seed) for seed in (1, 2)]
    assert find(others[0], original, others[1], change(original)) == [(1, 3)]


def test_similar_lesions_pass_the_hash_and_fail_the_detail():
    photographs = [draw_photograph(seed) for seed in range(4)]
    thumbnails = [
        near_duplicates.make_thumbnail(image) for image in photographs
    ]
    assert len(list(near_duplicates.propose(thumbnails))) == 4 * 3 / 2
    assert near_duplicates.find_near_duplicates(thumbnails) == []


def test_hash_proposes_no_other_composition():
    dark_spot = near_duplicates.make_thumbnail(draw_photograph(0))
    assert list(near_duplicates.propose([dark_spot, 255 - dark_spot])) == []


def test_identical_images_have_similarity_one():
    thumbnail = near_duplicates.make_thumbnail(draw_photograph(0))
    (copy,) = near_duplicates.find_near_duplicates([thumbnail, thumbnail])
    assert copy.similarity == pytest.approx(1, abs=1e-4)


def test_blocks_of_rows_miss_no_pair(monkeypatch):
    monkeypatch.setattr(near_duplicates, "ROWS_PER_BLOCK", 2)
    first, second = draw_photograph(0), draw_photograph(1)
    assert find(first, second, first, second, first) == [
        (0, 2),
        (0, 4),
        (1, 3),
        (2, 4),
    ]


def test_flat_images_and_empty_lists_give_nothing():
    flat = np.full((64, 64, 3), 120, np.uint8)
    assert find(flat, flat) == []
    assert find() == []
