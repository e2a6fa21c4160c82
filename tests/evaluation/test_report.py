"""Tests of the written report."""

import csv
import io
import json
import math
import os

import numpy as np
import pytest
from PIL import Image

from segan_tf import files, records
from segan_tf import labels as labels_lib
from segan_tf.evaluation import report, scores
from segan_tf.metrics import per_image


def drawn(side):
    """Draws an image with a true square and a predicted one of that side."""
    image = np.full((24, 32, 3), 200, np.uint8)
    true = np.zeros((24, 32, 1), np.uint8)
    true[2:22, 2:22] = 1
    predicted = np.zeros_like(true)
    predicted[2 : 2 + side, 2 : 2 + side] = 1
    return image, predicted, true


def evaluated(sides):
    return [
        scores.score_image(
            f"lesion_{side:02d}", *drawn(side)[1:], labels_lib.LESION
        )
        for side in sides
    ]


def load(image_id):
    return drawn(int(image_id.removeprefix("lesion_")))


def results_of(sides, **metadata):
    return report.build_results(
        evaluated(sides), labels=labels_lib.LESION, metadata=metadata
    )


def write(report_dir, sides, **options):
    return report.write_report(
        report_dir,
        evaluated(sides),
        labels=labels_lib.LESION,
        metadata={"command": "main.py --mode=evaluate", "split": "test"},
        **({"load": load} | options),
    )


def test_the_report_is_three_whole_files(tmp_path):
    write(tmp_path / "made" / "here", [20, 10])
    assert sorted(os.listdir(tmp_path / "made" / "here")) == [
        "gallery.png",
        "per_image.csv",
        "results.json",
    ]


def test_the_csv_has_a_row_per_image_with_six_digits(tmp_path):
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


def test_an_id_with_a_comma_stays_one_cell(tmp_path):
    score = scores.score_image('a, "b"', *drawn(20)[1:], labels_lib.LESION)
    report.write_report(
        tmp_path,
        [score],
        labels=labels_lib.LESION,
        metadata={},
        load=lambda _: drawn(20),
    )
    text = (tmp_path / "per_image.csv").read_text()
    assert next(csv.DictReader(io.StringIO(text)))["id"] == 'a, "b"'


def test_results_hold_the_run_the_means_and_the_pooled_numbers(tmp_path):
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


def test_results_are_strict_json_when_a_metric_is_undefined(tmp_path):
    write(tmp_path, [0])

    def refuse(name):
        raise AssertionError(name)

    results = json.loads(
        (tmp_path / "results.json").read_text(), parse_constant=refuse
    )
    assert results["metrics"]["assd_px"]["mean"] is None
    assert results["metrics"]["assd_px"]["undefined"] == 1


def test_the_gallery_loads_only_what_it_shows(tmp_path):
    loaded = []

    def counting_load(image_id):
        loaded.append(image_id)
        return load(image_id)

    # Dice rises with the side up to 20: 20 is best, 1 worst.
    write(tmp_path, range(1, 21), load=counting_load)
    best = [f"lesion_{side:02d}" for side in (20, 19, 18, 17, 16)]
    # 20 images, 5 in the middle: (20 - 5) // 2 = 7 above, 8 below.
    median = [f"lesion_{side:02d}" for side in (13, 12, 11, 10, 9)]
    worst = [f"lesion_{side:02d}" for side in (1, 2, 3, 4, 5)]
    assert loaded == best + median + worst


@pytest.mark.parametrize(
    ("count", "sizes"),
    [(1, [1]), (2, [2]), (3, [1, 1, 1]), (7, [2, 2, 2]), (40, [5, 5, 5])],
)
def test_the_gallery_never_shows_an_image_twice(count, sizes):
    rows = [{"id": f"{n}", "dice": 0.5} for n in range(count)]
    groups = report._gallery_groups(rows, most=5)
    assert [len(group) for _, group in groups] == sizes
    shown = [row["id"] for _, group in groups for row in group]
    assert len(set(shown)) == len(shown)


def test_the_gallery_is_a_picture_with_three_rows(tmp_path):
    write(tmp_path, [20, 15, 10])
    with Image.open(tmp_path / "gallery.png") as gallery:
        gallery.load()
        assert gallery.mode == "RGB"
        assert gallery.height > 3 * 300


def test_a_failing_picture_leaves_no_results_behind(tmp_path):
    def failing_load(image_id):
        raise OSError(f"cannot read {image_id}")

    with pytest.raises(OSError, match="cannot read lesion_20"):
        write(tmp_path, [20], load=failing_load)
    assert not (tmp_path / "results.json").exists()


def test_an_evaluation_of_no_image_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no images to report"):
        write(tmp_path / "report", [])
    assert not (tmp_path / "report").exists()


def test_the_table_shows_mean_interval_and_median_of_each_metric():
    results = results_of([20, 10], split="test")
    dice = results["metrics"]["dice"]
    lines = report.format_table(results).splitlines()
    assert lines[0].split() == [
        "metric",
        "mean",
        "95",
        "%",
        "interval",
        "median",
    ]
    # Two images of Dice 1 and 0.4.
    assert (dice["low"], dice["high"]) == (pytest.approx(0.4), 1.0)
    assert lines[1].split() == [
        "dice",
        "0.7000",
        "0.4000",
        "to",
        "1.0000",
        "0.7000",
    ]
    assert [line.split()[0] for line in lines[1:9]] == list(per_image.NAMES)
    assert lines[9] == "over 2 images of the test split"
    assert lines[10].endswith("dice 0.7692, iou 0.6250")  # 1000/1300, 500/800
    assert max(len(line) for line in lines) <= 80


def test_the_table_says_what_was_left_out():
    text = report.format_table(results_of([20, 0, 0]))
    assert "being empty: hausdorff95_px 2, assd_px 2" in text


def test_the_table_reads_results_back_from_json(tmp_path):
    results = results_of([0])
    assert math.isnan(results["metrics"]["assd_px"]["mean"])
    files.write_json(tmp_path / "results.json", results)
    read = json.loads((tmp_path / "results.json").read_text())
    assert report.format_table(read) == report.format_table(results)
    assert "undefined to undefined" in report.format_table(read)
    assert "over 1 image" in report.format_table(read)


TWO = labels_lib.Labels(("left part", "right"))


def several(image_id):
    """Draws two labels; of "b" the right one is nowhere."""
    image = np.full((24, 32, 3), 200, np.uint8)
    true = np.zeros((24, 32, 2), np.uint8)
    true[2:22, 2:12, 0] = 1
    if image_id != "b":
        true[2:22, 12:22, 1] = 1
    predicted = true.copy()
    if image_id == "a":  # half of the right one is taken for the left one
        predicted[2:12, 12:22] = [1, 0]
    return image, predicted, true


def report_of_several(report_dir, labels=TWO):
    scored = [
        scores.score_image(name, *several(name)[1:], labels) for name in "abc"
    ]
    return report.write_report(
        report_dir, scored, labels=labels, metadata={}, load=several
    )


def test_each_of_several_labels_has_its_metrics(tmp_path):
    report_of_several(tmp_path)
    results = json.loads((tmp_path / "results.json").read_text())
    # Image a: left 2 * 200 / (200 + 300), right 2 * 100 / (200 + 100).
    left, right = 400 / 500, 200 / 300
    of = results["labels"]
    assert list(of) == ["left part", "right"]
    assert of["left part"]["metrics"]["dice"]["mean"] == pytest.approx(
        (left + 1 + 1) / 3
    )
    # Where no map has the label it is right: 1. Where it is: two images.
    dice = of["right"]["metrics"]["dice"]
    assert dice["mean"] == pytest.approx((right + 1 + 1) / 3)
    assert of["right"]["present"] == {
        "image_count": 2,
        "dice": pytest.approx((right + 1) / 2),
        "iou": pytest.approx((100 / 200 + 1) / 2),
    }
    assert results["metrics"]["dice"]["mean"] == pytest.approx(
        ((left + right) / 2 + 1 + 1) / 3
    )
    assert of["right"]["pooled"]["dice"] == pytest.approx(
        2 * 300 / (2 * 300 + 100)
    )


def test_confusion_matrix_tells_what_was_taken_for_what(tmp_path):
    matrix = report_of_several(tmp_path)["confusion_matrix"]
    assert matrix["names"] == ["background", "left part", "right"]
    background = 3 * 24 * 32 - 3 * 200 - 2 * 200
    assert np.array(matrix["pixels"]).tolist() == [
        [background, 0, 0],
        [0, 3 * 200, 0],
        [0, 100, 300],
    ]


def test_overlapping_labels_have_no_confusion_matrix(tmp_path):
    labels = labels_lib.Labels(TWO.names, multiclass=False)
    assert "confusion_matrix" not in report_of_several(tmp_path, labels)


def test_csv_has_a_column_for_each_label_and_metric(tmp_path):
    report_of_several(tmp_path)
    text = (tmp_path / "per_image.csv").read_text()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert {"dice", "dice_left_part", "iou_right"} < set(rows[0])
    assert rows[0]["dice_right"] == f"{200 / 300:.6f}"
    assert rows[1]["right_fraction_true"] == "0.000000"


def test_table_has_a_line_for_each_label(tmp_path):
    lines = report.format_table(report_of_several(tmp_path)).splitlines()
    at = lines.index("above are the means over the labels; each label:")
    assert lines[at + 2].split()[:3] == ["left", "part", "0.9333"]
    assert lines[at + 3].endswith("dice 0.8333 in 2 images")
    assert max(len(line) for line in lines) <= 80


def test_gallery_shows_true_and_predicted_labels_in_their_colors(tmp_path):
    report_of_several(tmp_path)
    with Image.open(tmp_path / "gallery.png") as gallery:
        pixels = np.asarray(gallery.convert("RGB")).reshape(-1, 3)
    for color in TWO.colors:
        assert (pixels == color).all(axis=1).sum() > 100
