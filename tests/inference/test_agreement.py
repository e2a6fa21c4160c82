"""Tests of the agreement of outlines and the expected Dice of a prediction."""

import csv
import math

import numpy as np
import pytest
from PIL import Image

from segan_tf import labels
from segan_tf.config import Config
from segan_tf.decision import Decision
from segan_tf.expected_dice import Curve
from segan_tf.inference import agreement, backends, prediction
from segan_tf.inference.predictor import Predictor
from segan_tf.styles import Styles

CURVES = {
    "thresholds": Curve((0.0, 1.0), (0.2, 0.8)),
    "views": Curve((0.0, 1.0), (0.1, 0.9)),
}


def rows(*counts, labels=1):
    """Makes a map of one column for each count of pixels."""
    return [
        np.repeat((np.arange(8) < count)[:, None, None], labels, -1)
        for count in counts
    ]


@pytest.mark.parametrize(
    ("label_maps", "expected"),
    [
        (rows(1, 2, 4), (2 / 3 + 2 / 5 + 4 / 6) / 3),
        (rows(3, 3), 1.0),
        (rows(0, 3), 0.0),
        (rows(0, 0), 0.0),  # nothing to agree on
    ],
)
def test_mean_pairwise_dice_is_that_counted_by_hand(label_maps, expected):
    found = agreement.mean_pairwise_dice(label_maps)
    assert found == pytest.approx(expected)


def test_labels_that_no_map_has_do_not_count():
    one, other = rows(2, 4, labels=3)
    one[..., 2] = other[..., 2] = False
    other[..., 1] = False
    found = agreement.mean_pairwise_dice([one, other])
    assert found == pytest.approx((4 / 6 + 0) / 2)


def test_outlines_are_drawn_at_a_ninth_of_the_odds_and_nine_times():
    # Of a threshold of 0.25, whose odds are 1 / 3: 1 / 27 and 3.
    limits = np.array([1 / 28, 0.25, 0.75])
    found = np.float32(
        np.concatenate([limits - 0.001, limits + 0.001])
    ).reshape(-1, 1, 1)
    low, own, high = agreement.outlines(
        found, multiclass=True, thresholds=[0.25]
    )
    assert np.ravel(low).tolist() == [0, 1, 1, 1, 1, 1]
    assert np.ravel(own).tolist() == [0, 0, 1, 0, 1, 1]
    assert np.ravel(high).tolist() == [0, 0, 0, 0, 0, 1]


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((256, 256), (256, 256)),
        ((257, 256), (128, 128)),
        ((600, 1000), (150, 250)),
        ((1, 1), (1, 1)),
    ],
)
def test_large_images_are_thinned_out(size, expected):
    array = np.arange(size[0] * size[1]).reshape(*size, 1)
    small = agreement.thin_out(array)
    assert small.shape == (*expected, 1)
    step = math.ceil(math.sqrt(array.size / 2**16))
    rows, columns = np.ix_(*(range(step // 2, one, step) for one in size))
    np.testing.assert_array_equal(small[..., 0], array[rows, columns, 0])


@pytest.fixture
def use(monkeypatch):
    """Returns a function that makes a map the model's, with CURVES."""

    def use(probability_map, **given):
        backend = backends.Backend(
            labels.LESION,
            "a function",
            probability_map,
            decision=Decision(expected_dice=CURVES),
            **given,
        )
        monkeypatch.setattr(backends, "open_backend", lambda *_, **__: backend)

    return use


def rings(image):
    """Predicts 0.95 in 10 rows, 0.6 in 10 more, 0.2 in 20 more."""
    found = np.zeros((*image.shape[:2], 1), np.float32)
    found[:40], found[:20], found[:10] = 0.2, 0.6, 0.95
    return found


def top(image):
    """Predicts the upper 20 rows, whatever the image."""
    found = np.zeros((*image.shape[:2], 1), np.float32)
    found[:20] = 1
    return found


IMAGE = np.zeros((60, 60, 3), np.uint8)


def test_expected_dice_is_read_from_the_agreement_of_thresholds(use):
    use(rings)
    # At 0.1, 0.5 and 0.9: 40, 20 and 10 rows.
    value = (40 / 60 + 20 / 50 + 20 / 30) / 3
    found = Predictor("any")(IMAGE).expected_dice
    assert found == pytest.approx(0.2 + 0.6 * value)


def test_expected_dice_with_tta_compares_all_views(use):
    use(top)
    # Two of four views have the upper rows, two the lower; of 12 outlines, of
    # which each has its view's at all three thresholds, 2 * 15 of 66 pairs
    # agree.
    found = Predictor("any", tta=True)(IMAGE).expected_dice
    assert found == pytest.approx(0.1 + 0.8 * 30 / 66)
    assert Predictor("any")(IMAGE).expected_dice == pytest.approx(0.8)


def test_expected_dice_with_tta_compares_the_styles_too(use):
    styles = Styles(("one", "other"), (0.5, 0.5))
    use(
        lambda image: np.ones((60, 60, 1), np.float32),
        styles=styles,
        styled_map=lambda image, style: np.full(
            (60, 60, 1), float(style[0] > 0), np.float32
        ),
    )
    # The other style finds nothing: of 18 outlines 15 agree, and the 3 empty
    # ones with each other.
    value = (15 * 14 / 2 + 3) / (18 * 17 / 2)
    found = Predictor("any", tta=True)(IMAGE).expected_dice
    assert found == pytest.approx(0.1 + 0.8 * value)


def test_model_without_curves_expects_nothing(use, monkeypatch):
    backend = backends.Backend(labels.LESION, "a function", rings)
    monkeypatch.setattr(backends, "open_backend", lambda *_, **__: backend)
    assert Predictor("any")(IMAGE).expected_dice is None


@pytest.mark.parametrize(
    ("probability_map", "expected", "warning"),
    [
        (top, "0.8000", ""),
        (rings, "0.5467", "the outline is doubtful, or this is no image like "),
        (
            lambda image: np.zeros((60, 60, 1), np.float32),
            "0.2000",
            "nothing was found",
        ),
    ],
)
def test_doubt_is_in_the_table_and_printed(
    use, tmp_path, capsys, probability_map, expected, warning
):
    use(probability_map)
    path = tmp_path / "images" / "a.png"
    path.parent.mkdir()
    Image.fromarray(IMAGE).save(path)
    prediction.predict(
        Config(model="any", input=path, output_dir=str(tmp_path / "out"))
    )
    with open(tmp_path / "out" / "predictions.csv", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert row["expected_dice"] == expected
    assert row["warning"].startswith(warning)
    assert bool(row["warning"]) == bool(warning)
    out = capsys.readouterr().out
    assert (f"warning: a: {warning}" in out) == bool(warning)
