"""Tests of the gallery of best, median and worst images."""

import io

import numpy as np
import pytest
import scored_images
from PIL import Image

from segan_tf import labels as labels_lib
from segan_tf.evaluation import gallery


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
