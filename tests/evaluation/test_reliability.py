"""Tests of how well the expected Dice fits."""

import io

import numpy as np
import pytest
from PIL import Image

from segan_tf import expected_dice
from segan_tf.evaluation import reliability


def make_rows(expected, dice, name="dice"):
    return [
        {"id": str(i), "expected_dice": e, name: d}
        for i, (e, d) in enumerate(zip(expected, dice, strict=True))
    ]


def test_images_are_binned_by_their_expected_dice():
    expected = np.linspace(0.5, 0.975, 20)
    rows = make_rows(expected[::-1], expected[::-1] - 0.1)
    found = reliability.summarize(rows)
    assert [one["image_count"] for one in found["bins"]] == [2] * 10
    assert found["bins"][0]["expected"] == pytest.approx(0.5125)
    assert found["bins"][0]["dice"] == pytest.approx(0.4125)
    assert found["mean_absolute_error"] == pytest.approx(0.1)
    assert found["rank_correlation"] == pytest.approx(1)


def test_several_labels_are_measured_by_the_isic_rule():
    rows = make_rows([0.5, 0.9], [0.6, 0.8], name="isic_dice")
    rows = [{**row, "dice": np.nan} for row in rows]
    found = reliability.summarize(rows)
    assert found["mean_absolute_error"] == pytest.approx(0.1)
    assert [one["dice"] for one in found["bins"]] == [0.6, 0.8]


def test_plot_has_a_dot_where_an_image_is():
    content = reliability.draw_plot(make_rows([0.25], [1.0]))
    with Image.open(io.BytesIO(content)) as image:
        pixels = np.array(image)
    rows, columns = np.nonzero(np.all(pixels == (0, 114, 178), axis=-1))
    assert rows.mean() == pytest.approx(48, abs=1)  # the top
    assert columns.mean() == pytest.approx(48 + 384 / 4, abs=1)


def test_line_names_every_measure():
    dice = np.linspace(0.1, 1, 10)
    found = expected_dice.measure(dice, dice)
    assert reliability.format_line(found) == (
        "expected dice: off by 0.0000 (one number for all: 0.2500), rank "
        "correlation 1.00, finds 100 % of the worst tenth"
    )
