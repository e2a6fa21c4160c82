"""Tests of the table of results for the terminal."""

import json
import math

import pytest
import scored_images

from segan_tf import files, records
from segan_tf import labels as labels_lib
from segan_tf.evaluation import results as results_lib
from segan_tf.evaluation import table
from segan_tf.metrics import per_image


def test_each_metric_has_mean_interval_and_median():
    results = scored_images.squares_results([20, 10], split="test")
    dice = results["metrics"]["dice"]
    lines = table.format_table(results).splitlines()
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


def test_undefined_metrics_are_counted():
    text = table.format_table(scored_images.squares_results([20, 0, 0]))
    assert "being empty: hausdorff95_px 2, assd_px 2" in text


def test_results_read_from_json_give_the_same_table(tmp_path):
    results = scored_images.squares_results([0])
    assert math.isnan(results["metrics"]["assd_px"]["mean"])
    files.write_json(tmp_path / "results.json", results)
    read = json.loads((tmp_path / "results.json").read_text())
    assert table.format_table(read) == table.format_table(results)
    assert "undefined to undefined" in table.format_table(read)
    assert "over 1 image" in table.format_table(read)


def test_each_of_several_labels_has_a_line():
    labels = scored_images.TWO_LABELS
    results = results_lib.build_results(
        scored_images.score_bars(), labels=labels, metadata={}
    )
    lines = table.format_table(results).splitlines()
    assert lines[1].split()[:2] == ["dice", "0.8833"]  # (2.8/3 + 1.667/2) / 2
    # ((0.8 + 0.667) / 2 + 1 + 1) / 3 and ((2/3 + 1/2) / 2 + 1 + 1) / 3
    at = lines.index(
        "by the ISIC rule (absent and not predicted is 1): dice 0.9111, "
        "iou 0.8611;"
    )
    rows = [line.split() for line in lines[at + 2 :]]
    assert rows[0][:3] == ["label", "images", "dice"]
    assert rows[0][-3:] == ["undefined", "ISIC", "dice"]
    assert rows[1][:4] == ["left", "part", "3", "0.9333"]
    assert rows[2][:3] == ["right", "2", "0.8333"]
    assert rows[2][-2:] == ["0", "0.8889"]
    assert max(len(line) for line in lines) <= 80


def test_results_of_earlier_versions_have_a_table(tmp_path):
    """Format 2 had the ISIC rule's means, and no others, in metrics."""
    results = results_lib.build_results(
        scored_images.score_bars(),
        labels=scored_images.TWO_LABELS,
        metadata={},
    )
    del results["isic_metrics"]
    for of_label in results["labels"].values():
        of_label["metrics"]["dice"]["mean"] = of_label.pop("isic")["dice"]
    files.write_json(tmp_path / "results.json", {"format": 2, **results})
    lines = table.format_table(
        records.read(tmp_path / "results.json")
    ).splitlines()
    at = next(i for i, line in enumerate(lines) if "by the ISIC rule" in line)
    assert lines[at + 4].split() == [
        *("right", "2", "0.8333", "0.7500", "5.0000", "0", "0.8889"),
    ]


def test_told_has_a_line_over_all_and_for_each_style():
    sides = [("T1", 10, 20), ("T1", 20, 20), ("generous", 20, 20)]
    results = results_lib.build_results(
        scored_images.score_told_squares(sides),
        labels=labels_lib.LESION,
        metadata={},
    )
    lines = table.format_table(results).splitlines()
    at = next(i for i, line in enumerate(lines) if "above is untold" in line)
    # Dice 0.4, 1 and 1 untold, IoU 0.25, 1 and 1; all 1 when told.
    assert [" ".join(line.split()) for line in lines[at + 1 : at + 5]] == [
        "style images dice told 95 % of the gain iou told",
        "all 3 0.8000 1.0000 +0.0000 to +0.6000 0.7500 1.0000",
        "T1 2 0.7000 1.0000 +0.0000 to +0.6000 0.6250 1.0000",
        "generous 1 1.0000 1.0000 +0.0000 to +0.0000 1.0000 1.0000",
    ]
    assert max(len(line) for line in lines) <= 80
