"""Tests that the page's code expects the Dice that Python expects."""

import json

import page_decision
import pytest
import small_models
import tensorflow as tf

from export.tflite import contract, convert
from segan_tf import expected_dice, labels
from segan_tf.decision import Decision
from segan_tf.expected_dice import Curve
from segan_tf.imaging import preprocessing
from segan_tf.inference.predictor import Predictor

pytestmark = pytest.mark.any_edition

CURVE = Curve((0.05, 0.3, 0.95), (0.1, 0.5, 0.9))


@pytest.mark.parametrize("name", small_models.DECISIONS)
# The last two are compared at every second and every third pixel.
@pytest.mark.parametrize("size", [(45, 37), (300, 431), (66, 5001)])
def test_page_expects_what_the_predictor_does(tmp_path, name, size):
    wanted, thresholds = small_models.DECISIONS[name]
    segmentor = small_models.build_for_labels(wanted)
    decision = Decision(thresholds, expected_dice={"thresholds": CURVE})
    predictor = Predictor(segmentor, labels=wanted, decision=decision)
    (image,) = small_models.draw_images(size)
    small = preprocessing.resize_image(image, 32, 32).numpy()

    found = page_decision.expect_dice(
        tmp_path,
        small_models.segment(segmentor, small[None])[0],
        size,
        multiclass=wanted.multiclass,
        thresholds=thresholds,
        curve={"agreement": CURVE.agreement, "dice": CURVE.dice},
    )

    expected = predictor(image).expected_dice
    assert 0.1 < expected < 0.9
    assert found == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ([[0.5, 0.6], [0.3, 0.9]], 0.3),  # before the first point
        ([[-2.0, -1.0], [0.3, 0.9]], 0.9),  # behind the last one
        ([[0.0, 0.0, 1.0], [0.3, 0.5, 0.9]], 0.5),  # rises at once
    ],
)
def test_page_reads_the_ends_of_a_curve(tmp_path, points, expected):
    nothing = tf.zeros((32, 32, 1)).numpy()
    found = page_decision.expect_dice(
        tmp_path,
        nothing,
        (40, 40),
        multiclass=True,
        thresholds=[0.5],
        curve=dict(zip(("agreement", "dice"), points, strict=True)),
    )
    assert found == expected
    assert Curve(*map(tuple, points))(0.0) == expected


def test_contract_has_the_curve_and_the_limit(tmp_path):
    path = str(tmp_path / "segan_none.tflite")
    convert.export_tflite(
        small_models.build_segmentor(),
        path,
        quantization="none",
        labels=labels.LESION,
        version=1,
        decision=Decision(expected_dice={"thresholds": CURVE}),
    )
    with open(contract.path_for(path), encoding="utf-8") as file:
        found = json.load(file)["expected_dice"]
    assert found == {
        "thresholds": {
            "agreement": list(CURVE.agreement),
            "dice": list(CURVE.dice),
        },
        "low": expected_dice.LOW,
    }
    assert Predictor(path).decision.expected_dice == {"thresholds": CURVE}
