"""Tests of the file of a model's thresholds and style."""

import json

import pytest

from segan_tf import decision, records
from segan_tf.decision import Decision
from segan_tf.errors import UserError
from segan_tf.expected_dice import Curve
from segan_tf.styles import Styles

STYLES = Styles(("T1", "T2"), (0.75, 0.25))


def write(folder, **content):
    path = folder / decision.FILE_NAME
    path.write_text(json.dumps({"format": 1, **content}), "utf-8")
    return path


def test_folder_without_a_decision_has_the_default_one(tmp_path):
    assert decision.read(tmp_path) == Decision()
    assert Decision().thresholds_of(2) == (0.5, 0.5)


def test_decision_is_read_as_it_was_written(tmp_path):
    written = Decision((0.3, 0.7), (0.5, 0.5))
    path = tmp_path / "clinic.json"  # any name will do
    decision.write_file(written, path, fitted={"pairs": 20})
    assert decision.read_file(path) == written
    assert written.thresholds_of(2) == (0.3, 0.7)
    stored = json.loads(path.read_text("utf-8"))
    assert stored == {
        "format": records.FORMATS["decision.json"],
        "thresholds": [0.3, 0.7],
        "style": [0.5, 0.5],
        "fitted": {"pairs": 20},
    }


def test_expected_dice_is_kept_and_decides_nothing(tmp_path):
    curves = {"views": Curve((0.2, 0.6), (0.5, 0.9))}
    path = tmp_path / "decision.json"
    decision.write_file(Decision(expected_dice=curves), path)
    found = decision.read(tmp_path)
    assert found.expected_dice == curves
    assert found == decision.DEFAULT
    exported = decision.description(found, num_labels=1)
    assert decision.described(exported).expected_dice == curves


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"thresholds": [0], "style": []}, r"\[0.0\] are not in \(0, 1\)"),
        ({"thresholds": [1], "style": []}, r"\[1.0\] are not in \(0, 1\)"),
        ({"thresholds": [float("nan")], "style": []}, "not in"),
        ({"thresholds": [], "style": [0.5, 0.4]}, "do not sum to 1"),
        ({"thresholds": [], "style": [1.5, -0.5]}, "do not sum to 1"),
        ({"thresholds": 0.5, "style": []}, "understood"),
        ({"thresholds": ["x"], "style": []}, "understood"),
        ({}, "thresholds or style is missing"),
        ({"thresholds": [], "style": [], "expected_dice": 3}, "understood"),
        (
            {
                "thresholds": [],
                "style": [],
                "expected_dice": {"views": {"dice": [1]}},
            },
            "understood",
        ),
    ],
)
def test_impossible_decision_is_one_line(tmp_path, content, message):
    path = write(tmp_path, **content)
    with pytest.raises(UserError, match=message) as caught:
        decision.read(tmp_path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"nowhere\.json cannot be read"):
        decision.read_file(tmp_path / "nowhere.json")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (Decision((0.5,)), "model with 1 labels, and runs/a has 2"),
        (Decision((), (1.0,)), "model with 1 styles, and runs/a has 2"),
    ],
)
def test_decision_of_another_model_is_an_error(given, message):
    with pytest.raises(UserError, match=message):
        decision.check_fits(given, num_labels=2, styles=STYLES, model="runs/a")


@pytest.mark.parametrize(
    "given", [Decision(), Decision((0.3, 0.7), (0.0, 1.0))]
)
def test_decision_of_the_model_fits(given):
    decision.check_fits(given, num_labels=2, styles=STYLES, model="runs/a")


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (Decision(), ""),
        (Decision((0.3, 0.75)), "thresholds lesion 0.3, hair 0.75"),
        (Decision((), (0.75, 0.25)), "style mean"),
        (Decision((), (0.0, 1.0)), "style T2"),
        (Decision((), (0.5, 0.5)), "style T1+T2"),
        (Decision((), (0.9, 0.1)), "style 0.90 T1, 0.10 T2"),
    ],
)
def test_decision_is_described_in_words(given, text):
    assert decision.describe(given, ("lesion", "hair"), STYLES) == text


def test_exports_describe_every_threshold():
    assert decision.description(Decision(), num_labels=2) == {
        "thresholds": [0.5, 0.5]
    }
    exported = decision.description(Decision((0.3,), (1.0,)), num_labels=1)
    assert decision.described(exported) == Decision((0.3,))


def test_contract_of_an_earlier_export_has_one_threshold():
    earlier = {"threshold": 0.5, "label_names": ["lesion", "hair"]}
    assert decision.described(earlier) == Decision()
    earlier["threshold"] = 0.4
    assert decision.described(earlier) == Decision((0.4, 0.4))
