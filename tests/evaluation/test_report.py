"""Tests of the files and results of an evaluation."""

import csv
import io
import json
import math
import os

import numpy as np
import pytest
import scored_images

from segan_tf import labels as labels_lib
from segan_tf import records
from segan_tf.evaluation import gallery, report, scores
from segan_tf.evaluation import results as results_lib
from segan_tf.metrics import per_image


def write(report_dir, sides, **options):
    return report.write_report(
        report_dir,
        scored_images.score_squares(sides),
        labels=labels_lib.LESION,
        metadata={"command": "main.py --mode=evaluate", "split": "test"},
        **({"load": scored_images.load_squares} | options),
    )


def test_report_has_three_files(tmp_path):
    write(tmp_path / "made" / "here", [20, 10])
    assert sorted(os.listdir(tmp_path / "made" / "here")) == [
        "gallery.png",
        "per_image.csv",
        "results.json",
    ]


def test_csv_has_a_row_per_image_with_six_digits(tmp_path):
    write(tmp_path, [20, 10, 0])
    text = (tmp_path / "per_image.csv").read_text()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert list(rows[0]) == [
        "id",
        *per_image.NAMES,
        "lesion_fraction_true",
        "lesion_fraction_predicted",
    ]
    assert [row["id"] for row in rows] == [
        "lesion_20",
        "lesion_10",
        "lesion_00",
    ]
    # 10x10 inside 20x20: Dice 2 * 100 / (100 + 400), IoU 100 / 400.
    assert rows[1]["dice"] == "0.400000"
    assert rows[1]["iou"] == "0.250000"
    assert rows[1]["lesion_fraction_true"] == f"{400 / (24 * 32):.6f}"
    assert rows[2]["hausdorff95_px"] == "nan"


def test_id_with_a_comma_stays_in_one_cell(tmp_path):
    score = scores.score_image(
        'a, "b"', *scored_images.draw_squares(20)[1:], labels=labels_lib.LESION
    )
    report.write_report(
        tmp_path,
        [score],
        labels=labels_lib.LESION,
        metadata={},
        load=lambda _: scored_images.draw_squares(20),
    )
    text = (tmp_path / "per_image.csv").read_text()
    assert next(csv.DictReader(io.StringIO(text)))["id"] == 'a, "b"'


def test_results_have_metadata_means_and_pooled_metrics(tmp_path):
    returned = write(tmp_path, [20, 10])
    stored = json.loads((tmp_path / "results.json").read_text())
    assert stored["format"] == records.FORMATS["results.json"]
    results = records.read(tmp_path / "results.json")
    assert results == returned
    assert results["run"] == {
        "command": "main.py --mode=evaluate",
        "split": "test",
    }
    assert results["image_count"] == 2
    assert list(results["metrics"]) == list(per_image.NAMES)
    assert results["metrics"]["dice"]["mean"] == pytest.approx((1 + 0.4) / 2)
    # 400 + 100 of the 800 true pixels found, none wrong.
    assert results["pooled"] == {
        "dice": pytest.approx(2 * 500 / (2 * 500 + 300)),
        "iou": pytest.approx(500 / 800),
    }


def test_results_are_valid_json_when_a_metric_is_undefined(tmp_path):
    write(tmp_path, [0])

    def fail(name):
        raise AssertionError(name)

    results = json.loads(
        (tmp_path / "results.json").read_text(), parse_constant=fail
    )
    assert results["metrics"]["assd_px"]["mean"] is None
    assert results["metrics"]["assd_px"]["undefined"] == 1


def test_unreadable_image_leaves_no_results(tmp_path):
    def failing_load(image_id):
        raise OSError(f"cannot read {image_id}")

    with pytest.raises(OSError, match="cannot read lesion_20"):
        write(tmp_path, [20], load=failing_load)
    assert not (tmp_path / "results.json").exists()


def test_evaluating_no_image_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="no images to report"):
        write(tmp_path / "report", [])
    assert not (tmp_path / "report").exists()


# Told T1, the model predicts 20x20 pixels, which are all true, instead of
# 10x10: Dice 1 instead of 0.4 and IoU 1 instead of 0.25.
TOLD = [("T1", 10, 20), ("T1", 20, 20), ("T1+T2", 20, 10), ("", 10, 10)]


def results_of_told():
    return results_lib.build_results(
        scored_images.score_told_squares(TOLD),
        labels=labels_lib.LESION,
        metadata={},
    )


def test_headline_of_a_model_with_styles_is_untold():
    results = results_of_told()
    plain = scored_images.squares_results([10, 20, 20, 10])
    assert results["metrics"] == plain["metrics"]
    assert results["pooled"] == plain["pooled"]
    assert set(results) - set(plain) == {"styles"}


def test_told_is_over_all_images_and_counts_unknown_styles_untold():
    told = results_of_told()["styles"]["told"]
    assert told["metrics"]["dice"]["mean"] == pytest.approx(
        (1 + 1 + 0.4 + 0.4) / 4
    )
    assert told["pooled"]["iou"] == pytest.approx((2 * 400 + 2 * 100) / 1600)


def test_gain_of_a_style_is_told_minus_untold_of_its_images():
    by_style = results_of_told()["styles"]["by_style"]
    assert list(by_style) == ["T1", "T1+T2", "unknown"]
    assert [of["image_count"] for of in by_style.values()] == [2, 1, 1]
    of_t1 = by_style["T1"]
    assert of_t1["untold"]["iou"]["mean"] == pytest.approx((0.25 + 1) / 2)
    assert of_t1["told"]["iou"]["mean"] == 1
    gain = of_t1["gain"]["dice"]
    assert gain["mean"] == pytest.approx((0.6 + 0) / 2)
    # Resamples hold 0, 1 or 2 times the image that gains.
    assert (gain["low"], gain["high"]) == (0, pytest.approx(0.6))
    assert by_style["T1+T2"]["gain"]["dice"]["mean"] == pytest.approx(-0.6)
    assert by_style["unknown"]["gain"]["dice"]["mean"] == 0


def test_gain_over_all_is_drawn_in_pairs():
    gain = results_of_told()["styles"]["gain"]["dice"]
    assert gain["mean"] == pytest.approx((0.6 + 0 - 0.6 + 0) / 4)


def test_csv_names_the_style_and_has_each_metric_told(tmp_path):
    scored = scored_images.score_told_squares(TOLD)
    report.write_report(
        tmp_path,
        scored,
        labels=labels_lib.LESION,
        metadata={},
        load=lambda _: scored_images.draw_squares(10),
    )
    with open(tmp_path / "per_image.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    names = ["style", *(f"told_{name}" for name in per_image.NAMES)]
    assert list(rows[0])[-len(names) :] == names
    assert [row["style"] for row in rows] == ["T1", "T1", "T1+T2", ""]
    assert (rows[0]["dice"], rows[0]["told_dice"]) == ("0.400000", "1.000000")


def test_title_of_the_gallery_says_what_is_told(tmp_path, monkeypatch):
    titles = []
    monkeypatch.setattr(
        gallery,
        "build_gallery",
        lambda *_, title, **__: titles.append(title) or b"",
    )
    report.write_report(
        tmp_path,
        scored_images.score_told_squares([("T1", 10, 20)]),
        labels=labels_lib.LESION,
        metadata={},
        load=lambda _: None,
    )
    assert titles == [
        "1 image: untold mean Dice 0.400, IoU 0.250; told the style mean Dice "
        "1.000, IoU 1.000"
    ]


def test_several_labels_are_told_by_the_rules_of_the_headline():
    labels = scored_images.TWO_LABELS
    untold = scored_images.score_bars()
    true = scored_images.load_bars("c")[2]
    told = scores.score_image("a", true, true, labels=labels)
    scored = [
        score.with_told(told if score.row["id"] == "a" else score, "T1")
        for score in untold
    ]
    results = results_lib.build_results(scored, labels=labels, metadata={})
    left, right = 400 / 500, 200 / 300
    assert results["metrics"]["dice"]["mean"] == pytest.approx(
        ((left + 1 + 1) / 3 + (right + 1) / 2) / 2
    )
    of_styles = results["styles"]
    assert of_styles["told"]["metrics"]["dice"]["mean"] == 1
    assert of_styles["told"]["labels"]["right"]["present"]["dice"] == 1
    # Image b, which has no right label, says nothing about it.
    assert of_styles["gain"]["dice"]["mean"] == pytest.approx(
        ((1 - left) / 3 + (1 - right) / 2) / 2
    )
    assert scored[0].row["told_dice_right"] == 1


def report_of_several(report_dir, labels=scored_images.TWO_LABELS):
    return report.write_report(
        report_dir,
        scored_images.score_bars(labels),
        labels=labels,
        metadata={},
        load=scored_images.load_bars,
    )


def test_each_of_several_labels_has_metrics(tmp_path):
    report_of_several(tmp_path)
    results = json.loads((tmp_path / "results.json").read_text())
    # Image a: left 2 * 200 / (200 + 300), right 2 * 100 / (200 + 100).
    left, right = 400 / 500, 200 / 300
    of = results["labels"]
    assert list(of) == ["left part", "right"]
    assert of["left part"]["metrics"]["dice"]["mean"] == pytest.approx(
        (left + 1 + 1) / 3
    )
    # Image b has no right label, and none is predicted.
    dice = of["right"]["metrics"]["dice"]
    assert dice["mean"] == pytest.approx((right + 1) / 2)
    assert (dice["count"], dice["undefined"]) == (2, 0)
    assert of["right"]["present"] == {
        "image_count": 2,
        "dice": pytest.approx((right + 1) / 2),
        "iou": pytest.approx((100 / 200 + 1) / 2),
    }
    # By the ISIC rule it counts as 1 there.
    assert of["right"]["isic"] == {
        "image_count": 3,
        "dice": pytest.approx((right + 1 + 1) / 3),
        "iou": pytest.approx((100 / 200 + 1 + 1) / 3),
    }
    assert of["right"]["pooled"]["dice"] == pytest.approx(
        2 * 300 / (2 * 300 + 100)
    )


def test_mean_of_several_labels_is_over_the_images_that_have_them(tmp_path):
    report_of_several(tmp_path)
    results = records.read(tmp_path / "results.json")
    left, right = 400 / 500, 200 / 300
    dice = results["metrics"]["dice"]
    assert dice["mean"] == pytest.approx(
        ((left + 1 + 1) / 3 + (right + 1) / 2) / 2
    )
    assert dice["median"] == pytest.approx((1 + (right + 1) / 2) / 2)
    assert dice["count"] == 3 + 2
    assert dice["low"] < dice["mean"] < dice["high"] <= 1
    assert results["isic_metrics"]["dice"]["mean"] == pytest.approx(
        ((left + right) / 2 + 1 + 1) / 3
    )


def test_label_that_is_never_predicted_is_not_right_where_it_is_absent(
    tmp_path,
):
    def load_without_right(image_id):
        image, predicted, true = scored_images.load_bars(image_id)
        predicted = true.copy()
        predicted[..., 1] = 0
        return image, predicted, true

    labels = scored_images.TWO_LABELS
    scored = [
        scores.score_image(name, *load_without_right(name)[1:], labels=labels)
        for name in "abb"  # "b" has no right label
    ]
    report.write_report(
        tmp_path, scored, labels=labels, metadata={}, load=load_without_right
    )
    results = records.read(tmp_path / "results.json")
    assert results["metrics"]["dice"]["mean"] == pytest.approx((1 + 0) / 2)
    assert results["isic_metrics"]["dice"]["mean"] == pytest.approx(
        ((1 + 0) / 2 + 1 + 1) / 3
    )
    # The label left has a distance, 0, in three images; right has none where
    # it is not predicted.
    distance = results["metrics"]["hausdorff95_px"]
    assert (distance["mean"], distance["count"]) == (0, 3)
    assert distance["undefined"] == 1
    of_right = results["labels"]["right"]["metrics"]["hausdorff95_px"]
    assert (of_right["mean"], of_right["undefined"]) == (None, 1)
    with open(tmp_path / "per_image.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["hausdorff95_px_right"] for row in rows] == ["", "", ""]
    assert [row["dice"] for row in rows] == ["0.500000", "1.000000", "1.000000"]
    assert rows[1]["isic_dice"] == "1.000000"


def test_label_that_no_image_has_is_left_out_of_the_mean(tmp_path):
    labels = scored_images.TWO_LABELS
    scored = [
        scores.score_image(
            "b", *scored_images.load_bars("b")[1:], labels=labels
        )
    ]
    results = results_lib.build_results(scored, labels=labels, metadata={})
    assert results["metrics"]["dice"]["mean"] == 1
    assert results["metrics"]["dice"]["low"] == 1
    assert results["pooled"]["dice"] == 1
    right = results["labels"]["right"]
    assert right["present"]["image_count"] == 0
    assert math.isnan(right["metrics"]["dice"]["mean"])


def test_image_without_any_label_has_only_isic_metrics():
    nothing = np.zeros((4, 4, 2), np.uint8)
    row = scores.score_image(
        "a", nothing, nothing, labels=scored_images.TWO_LABELS
    ).row
    assert math.isnan(row["dice"])
    assert row["isic_dice"] == row["dice_left_part"] == 1


def test_confusion_matrix_counts_pixels_by_true_and_predicted_label(tmp_path):
    matrix = report_of_several(tmp_path)["confusion_matrix"]
    assert matrix["names"] == ["background", "left part", "right"]
    background = 3 * 24 * 32 - 3 * 200 - 2 * 200
    assert np.array(matrix["pixels"]).tolist() == [
        [background, 0, 0],
        [0, 3 * 200, 0],
        [0, 100, 300],
    ]


def test_multilabel_results_have_no_confusion_matrix(tmp_path):
    labels = labels_lib.Labels(scored_images.TWO_LABELS.names, multiclass=False)
    assert "confusion_matrix" not in report_of_several(tmp_path, labels)


def test_csv_has_a_column_for_each_label_and_metric(tmp_path):
    report_of_several(tmp_path)
    text = (tmp_path / "per_image.csv").read_text()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert {"dice", "dice_left_part", "iou_right"} < set(rows[0])
    assert rows[0]["dice_right"] == f"{200 / 300:.6f}"
    assert rows[1]["right_fraction_true"] == "0.000000"
