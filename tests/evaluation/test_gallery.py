"""Tests of the gallery of best, median and worst images."""

import io

import numpy as np
import pytest
import scored_images
from PIL import Image

from segan_tf import labels as labels_lib
from segan_tf.evaluation import gallery
from segan_tf.imaging import overlays


def build(scored, labels=labels_lib.LESION, load=scored_images.load_squares):
    """Builds a gallery and reads it back."""
    png = gallery.build_gallery(
        [score.row for score in scored], title="title", labels=labels, load=load
    )
    with Image.open(io.BytesIO(png)) as page:
        page.load()
        assert (page.format, page.mode) == ("PNG", "RGB")
        return page


def test_only_images_that_are_shown_are_loaded():
    loaded = []

    def counting_load(image_id):
        loaded.append(image_id)
        return scored_images.load_squares(image_id)

    # Dice rises with the side up to 20: 20 is best, 1 worst.
    build(scored_images.score_squares(range(1, 21)), load=counting_load)
    best = [f"lesion_{side:02d}" for side in (20, 19, 18, 17, 16)]
    # 20 images, 5 in the middle: (20 - 5) // 2 = 7 above, 8 below.
    median = [f"lesion_{side:02d}" for side in (13, 12, 11, 10, 9)]
    worst = [f"lesion_{side:02d}" for side in (1, 2, 3, 4, 5)]
    assert loaded == best + median + worst


@pytest.mark.parametrize(
    ("count", "sizes"),
    [(1, [1]), (2, [2]), (3, [1, 1, 1]), (7, [2, 2, 2]), (40, [5, 5, 5])],
)
def test_no_image_is_shown_twice(count, sizes):
    rows = [{"id": f"{n}", "dice": 0.5} for n in range(count)]
    groups = gallery.choose_images(rows, most=5)
    assert [len(group) for _, group in groups] == sizes
    shown = [row["id"] for _, group in groups for row in group]
    assert len(set(shown)) == len(shown)


def test_gallery_has_three_rows():
    page = build(scored_images.score_squares([20, 15, 10]))
    assert page.height > 3 * 300


def test_true_and_predicted_labels_have_their_colors():
    labels = scored_images.TWO_LABELS
    page = build(scored_images.score_bars(), labels, scored_images.load_bars)
    pixels = np.asarray(page).reshape(-1, 3)
    for color in labels.colors:
        assert (pixels == color).all(axis=1).sum() > 100


def count_pixels(page, color):
    return (np.asarray(page).reshape(-1, 3) == color).all(axis=1).sum()


def load_told(image_id):
    """Draws a square of 10 pixels, told one of 15, and a true one of 20."""
    told = scored_images.draw_squares(15)[1]
    return (*scored_images.draw_squares(10), told)


def test_outline_of_the_told_style_is_drawn():
    scored = scored_images.score_told_squares([("T1", 10, 15)])
    with_told = build(scored, load=load_told)
    without = build(scored, load=lambda name: load_told(name)[:3])
    told = overlays.TOLD_COLOR
    # Both have the color in the legend.
    assert count_pixels(with_told, told) > count_pixels(without, told) + 300


def test_several_labels_have_a_third_tile_for_the_told_style():
    labels = scored_images.TWO_LABELS
    scored = [
        score.with_told(score, "T1") for score in scored_images.score_bars()
    ]
    empty = np.zeros((24, 32, 2), np.uint8)

    def load(image_id):
        image, predicted, _ = scored_images.load_bars(image_id)
        return image, empty, empty, predicted

    plain = build(scored_images.score_bars(), labels, scored_images.load_bars)
    told = build(scored, labels, load)
    # Three images, one in each row, with a gap of 300 // 18 pixels.
    assert (plain.width, told.width) == (2 * 316 + 16, 3 * 316 + 16)
    told_tiles = told.crop((2 * 316, 0, told.width, told.height))
    assert count_pixels(told_tiles, labels.colors[0]) > 100
