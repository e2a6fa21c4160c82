"""Tests of the per-image metrics, by the rules of the ISIC challenge."""

import math

import numpy as np
import pytest

from segan_tf.metrics import per_image

EMPTY = np.zeros((4, 5), np.uint8)
FULL = np.ones((4, 5), np.uint8)


def row(*values):
    return np.array([values], np.uint8)


def square(size, *, top, left, side):
    label_map = np.zeros((size, size), np.uint8)
    label_map[top : top + side, left : left + side] = 1
    return label_map


def with_iou(shared, union):
    """Draws two label maps, one inside the other, of that IoU."""
    return row(*[1] * shared, *[0] * (union - shared), 0), row(*[1] * union, 0)


def test_confusion_counts_every_pixel_once():
    # 2x2 squares that share one corner pixel, in a 5x5 image.
    predicted = square(5, top=0, left=0, side=2)
    true = square(5, top=1, left=1, side=2)
    assert per_image.confusion(predicted, true) == per_image.Confusion(
        true_positives=1,
        false_positives=4 - 1,
        false_negatives=4 - 1,
        true_negatives=25 - (4 + 4 - 1),
    )


def test_confusion_accepts_bool_and_uint8():
    predicted, true = row(1, 1, 0, 0), row(1, 0, 1, 0)
    expected = per_image.Confusion(1, 1, 1, 1)
    assert per_image.confusion(predicted, true) == expected
    assert per_image.confusion(predicted.astype(bool), true) == expected


def test_metrics_of_a_worked_example():
    counts = per_image.Confusion(
        true_positives=3,
        false_positives=1,
        false_negatives=2,
        true_negatives=9,
    )
    assert per_image.dice(counts) == 2 * 3 / (2 * 3 + 1 + 2)
    assert per_image.iou(counts) == 3 / (3 + 1 + 2)
    assert per_image.sensitivity(counts) == 3 / (3 + 2)
    assert per_image.specificity(counts) == 9 / (9 + 1)
    assert per_image.accuracy(counts) == (3 + 9) / (3 + 1 + 2 + 9)
    assert per_image.thresholded_jaccard(counts) == 0  # 0.5 < 0.65


def test_two_empty_label_maps_score_perfectly():
    assert per_image.image_metrics(EMPTY, EMPTY) == {
        "dice": 1.0,
        "iou": 1.0,
        "sensitivity": 1.0,
        "specificity": 20 / 20,
        "accuracy": 20 / 20,
        "thresholded_jaccard": 1.0,
        "hausdorff95_px": 0.0,
        "assd_px": 0.0,
    }


def test_two_full_label_maps_score_perfectly():
    # Specificity is undefined without background and counts 1.
    values = per_image.image_metrics(FULL, FULL)
    assert tuple(values) == per_image.NAMES
    assert set(values.values()) == {0.0, 1.0}
    assert values["specificity"] == 1.0
    assert values["assd_px"] == 0.0


def test_empty_prediction_of_a_lesion_scores_zero():
    true = square(5, top=1, left=1, side=2)
    values = per_image.image_metrics(np.zeros_like(true), true)
    assert values["dice"] == values["iou"] == values["sensitivity"] == 0
    assert values["thresholded_jaccard"] == 0
    assert values["specificity"] == 21 / 21
    assert values["accuracy"] == 21 / 25
    assert math.isnan(values["hausdorff95_px"])
    assert math.isnan(values["assd_px"])


def test_prediction_without_a_lesion_scores_zero():
    predicted = square(5, top=1, left=1, side=2)
    values = per_image.image_metrics(predicted, np.zeros_like(predicted))
    assert values["dice"] == values["iou"] == 0
    assert values["sensitivity"] == 1  # undefined: nothing to find
    assert values["specificity"] == 21 / 25
    assert math.isnan(values["hausdorff95_px"])
    assert math.isnan(values["assd_px"])


@pytest.mark.parametrize(
    ("shared", "union", "expected"),
    [
        (13, 20, 13 / 20),  # the threshold itself counts
        (65, 100, 65 / 100),
        (1300, 2000, 1300 / 2000),
        (649, 1000, 0.0),
        (12, 20, 0.0),
        (20, 20, 1.0),
    ],
)
def test_thresholded_jaccard_is_zero_below_065(shared, union, expected):
    predicted, true = with_iou(shared, union)
    counts = per_image.confusion(predicted, true)
    assert per_image.thresholded_jaccard(counts) == expected


def test_different_sizes_are_an_error():
    other = np.zeros((5, 4), np.uint8)
    for measure in (
        per_image.confusion,
        per_image.image_metrics,
        per_image.hausdorff95,
        per_image.assd,
    ):
        with pytest.raises(ValueError, match=r"\(4, 5\).*\(5, 4\).*own size"):
            measure(EMPTY, other)


@pytest.mark.parametrize(
    "label_map",
    [FULL * np.uint8(255), FULL * np.uint8(2), FULL * 0.5, FULL.astype(int)],
    ids=["0/255", "index map", "probabilities", "int64"],
)
def test_label_maps_that_are_not_binary_are_an_error(label_map):
    with pytest.raises(ValueError, match="bool or uint8 with values 0 and 1"):
        per_image.confusion(label_map, FULL)


def test_several_labels_are_an_error():
    with pytest.raises(ValueError, match="pass one label"):
        per_image.confusion(EMPTY[..., None], EMPTY[..., None])


def test_surface_distances_of_a_worked_example():
    predicted, true = row(1, 0, 0, 0), row(1, 0, 0, 1)
    # From the predicted border: {0}. From the true one: {0, 3}.
    expected = max(0, 0 + 0.95 * 3)
    assert per_image.hausdorff95(predicted, true) == pytest.approx(expected)
    assert per_image.hausdorff95(true, predicted) == pytest.approx(expected)
    assert per_image.assd(predicted, true) == (0 + 0 + 3) / (1 + 2)


def test_distance_of_single_pixels_is_euclidean():
    predicted = square(9, top=1, left=2, side=1)
    true = square(9, top=4, left=6, side=1)
    assert per_image.hausdorff95(predicted, true) == math.hypot(3, 4)
    assert per_image.assd(predicted, true) == math.hypot(3, 4)


def test_distances_of_nested_squares_are_between_their_borders():
    # 3x3 inside 5x5: the 8 inner border pixels are 1 away; of the 16 outer
    # ones, the corners sqrt(2) and the 12 others 1.
    outer = square(9, top=2, left=2, side=5)
    inner = square(9, top=3, left=3, side=3)
    # Of the 16 sorted distances the 95th percentile is number 0.95 * 15 =
    # 14.25, one of the four corners.
    assert per_image.hausdorff95(inner, outer) == pytest.approx(math.sqrt(2))
    assert per_image.assd(inner, outer) == pytest.approx(
        (8 * 1 + 12 * 1 + 4 * math.sqrt(2)) / (8 + 16)
    )


def border_pixels(label_map):
    """Finds the border by looking at every pixel's four neighbors."""
    height, width = label_map.shape

    def foreground(y, x):
        return 0 <= y < height and 0 <= x < width and label_map[y, x]

    return [
        (y, x)
        for y in range(height)
        for x in range(width)
        if label_map[y, x]
        and not all(
            foreground(y + dy, x + dx)
            for dy, dx in ((0, 1), (1, 0), (0, -1), (-1, 0))
        )
    ]


def nearest(sources, targets):
    return [min(math.dist(a, b) for b in targets) for a in sources]


@pytest.mark.parametrize("seed", range(12))
def test_surface_distances_equal_those_of_every_pair_of_pixels(seed):
    generator = np.random.default_rng(seed)
    height, width = generator.integers(3, 15, size=2)
    # Dense maps too, so that some foreground is not border.
    share = generator.choice([0.1, 0.5, 0.9], size=2)
    predicted, true = (
        generator.random((height, width)) < part for part in share
    )
    predicted[0, 0] = true[-1, -1] = True
    a, b = border_pixels(predicted), border_pixels(true)
    there, back = nearest(a, b), nearest(b, a)
    assert per_image.hausdorff95(predicted, true) == pytest.approx(
        max(np.percentile(there, 95), np.percentile(back, 95))
    )
    assert per_image.assd(predicted, true) == pytest.approx(
        sum(there + back) / len(there + back)
    )


def test_padding_does_not_change_surface_distances():
    generator = np.random.default_rng(3)
    predicted, true = generator.random((2, 20, 30)) < 0.7
    wide = [np.pad(label_map, 40) for label_map in (predicted, true)]
    for measure in (per_image.hausdorff95, per_image.assd):
        assert measure(*wide) == measure(predicted, true)


def test_image_metrics_are_the_single_metrics():
    generator = np.random.default_rng(5)
    predicted, true = generator.random((2, 12, 17)) < 0.6
    counts = per_image.confusion(predicted, true)
    assert per_image.image_metrics(predicted, true) == {
        "dice": per_image.dice(counts),
        "iou": per_image.iou(counts),
        "sensitivity": per_image.sensitivity(counts),
        "specificity": per_image.specificity(counts),
        "accuracy": per_image.accuracy(counts),
        "thresholded_jaccard": per_image.thresholded_jaccard(counts),
        "hausdorff95_px": per_image.hausdorff95(predicted, true),
        "assd_px": per_image.assd(predicted, true),
    }


def test_pooled_metrics_add_the_pixels_of_all_images():
    pooled = per_image.pooled(
        iter([per_image.Confusion(3, 1, 0, 5), per_image.Confusion(1, 0, 3, 9)])
    )
    assert pooled == {
        "dice": 2 * (3 + 1) / (2 * (3 + 1) + (1 + 0) + (0 + 3)),
        "iou": (3 + 1) / ((3 + 1) + (1 + 0) + (0 + 3)),
    }


def test_pooling_no_images_is_an_error():
    with pytest.raises(ValueError, match="no images to pool"):
        per_image.pooled([])
