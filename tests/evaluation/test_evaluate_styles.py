"""Tests of evaluating a model with styles, told and untold."""

import csv
import json
import os
import shutil

import blobs
import fake_models
import numpy as np
import pytest
import running

from segan_tf import records, styles

WIDE_AND_TIGHT = styles.Styles(("wide", "tight"), (0.5, 0.5))


def draw(image, mixture):
    """Marks every pixel in the style "wide", none in "tight" or the mean."""
    shape = (*image.shape[:2], 1)
    return np.full(shape, mixture[0] > 0.5, np.float32)


@pytest.fixture(autouse=True)
def model(monkeypatch):
    """Replaces every model by one that knows two styles."""
    fake_models.replace_styled_models(monkeypatch, draw, WIDE_AND_TIGHT)


@pytest.fixture
def data_dir(tmp_path):
    """Returns a folder of the pairs blob_000 to blob_003."""
    blobs.write_pairs(str(tmp_path / "data"), 4)
    return tmp_path / "data"


@pytest.fixture
def run_copy(model_dir, tmp_path):
    """Returns a copy of the trained run that may be changed."""
    return shutil.copytree(model_dir, tmp_path / "run")


def write_styles(path, *rows):
    path.write_text("\n".join(["id,style", *rows, ""]))
    return path


def evaluate(*flags):
    """Evaluates; returns what is printed, the results and the rows by id."""
    result = running.run("--mode=evaluate", *flags)
    assert result.status == 0, result.err
    folder = result.out.splitlines()[-1].rpartition(" are in ")[2]
    with open(os.path.join(folder, "results.json"), encoding="utf-8") as file:
        results = json.load(file)
    with open(os.path.join(folder, "per_image.csv"), encoding="utf-8") as file:
        rows = {row["id"]: row for row in csv.DictReader(file)}
    return result.out, results, rows


def evaluate_folder(run_copy, data_dir, *flags):
    """Evaluates on all pairs of a folder."""
    return evaluate(
        f"--model_dir={run_copy}",
        f"--data_dir={data_dir}",
        "--split=all",
        *flags,
    )


def test_each_pair_is_scored_untold_and_in_its_style(run_copy, data_dir):
    write_styles(data_dir / "styles.csv", "blob_000,wide", "blob_001,tight")
    out, results, rows = evaluate_folder(run_copy, data_dir)
    for row in rows.values():
        assert float(row["dice"]) == 0
    share = float(rows["blob_000"]["lesion_fraction_true"])
    assert float(rows["blob_000"]["told_iou"]) == pytest.approx(share, abs=1e-6)
    assert float(rows["blob_001"]["told_iou"]) == 0
    assert [row["style"] for row in rows.values()] == ["wide", "tight", "", ""]
    assert results["metrics"]["iou"]["mean"] == 0
    told = results["styles"]["told"]["metrics"]["iou"]["mean"]
    assert told == pytest.approx(share / 4, abs=1e-6)
    assert "when the model is told the style of each label map" in out


def test_pairs_without_known_styles_are_scored_untold_alone(run_copy, data_dir):
    out, results, rows = evaluate_folder(run_copy, data_dir)
    assert "styles" not in results
    assert "style" not in rows["blob_000"]
    assert "note: the style of no pair is known" in out


@pytest.fixture
def recorded(run_copy):
    """Records that all pairs of the run are wide."""
    ids = [
        n for of in records.read(run_copy / "splits.json").values() for n in of
    ]
    styles.write(
        styles.AssignedStyles(WIDE_AND_TIGHT, dict.fromkeys(ids, "wide")),
        str(run_copy),
    )
    return run_copy


def test_run_is_told_the_styles_that_it_recorded(recorded):
    out, _, rows = evaluate(f"--model_dir={recorded}")
    assert {row["style"] for row in rows.values()} == {"wide"}
    assert out.endswith(f" are in {recorded}/evaluation_test\n")


def test_moved_pairs_keep_the_recorded_styles(recorded, tmp_path):
    (recorded / "drawn_lesions").rename(tmp_path / "moved")
    out, _, rows = evaluate(
        f"--model_dir={recorded}", f"--data_dir={tmp_path / 'moved'}"
    )
    assert {row["style"] for row in rows.values()} == {"wide"}
    assert out.endswith(f" are in {recorded}/evaluation_test\n")


def test_other_pairs_of_the_same_names_do_not(recorded, data_dir):
    names = [f"{name}.png" for name in ("blob_000", "drawn_0000")]
    for part in ("images", "label_maps"):
        os.rename(*(data_dir / part / name for name in names))
    out, results, _ = evaluate_folder(recorded, data_dir)
    assert "styles" not in results
    assert "note: the style of no pair is known" in out


def test_styles_of_a_run_may_be_left_out_or_replaced(recorded, tmp_path):
    out, results, _ = evaluate(f"--model_dir={recorded}", "--styles=none")
    assert "styles" not in results
    assert "/evaluation_test_" in out.splitlines()[-1]
    ids = records.read(recorded / "splits.json")["test"]
    path = write_styles(tmp_path / "a.csv", *(f"{name},tight" for name in ids))
    out, results, _ = evaluate(f"--model_dir={recorded}", f"--styles={path}")
    assert list(results["styles"]["by_style"]) == ["tight"]
    assert "/evaluation_test_" in out.splitlines()[-1]


def test_list_of_the_recorded_styles_is_the_runs_own_evaluation(
    recorded, tmp_path
):
    ids = records.read(recorded / "splits.json")["test"]
    path = write_styles(tmp_path / "a.csv", *(f"{name},wide" for name in ids))
    out, _, _ = evaluate(f"--model_dir={recorded}", f"--styles={path}")
    assert out.endswith(f" are in {recorded}/evaluation_test\n")


def test_style_that_the_model_does_not_know_is_one_line(run_copy, data_dir):
    write_styles(data_dir / "styles.csv", "blob_000,wide", "blob_001,loose")
    error = running.error_of(
        "--mode=evaluate", f"--model_dir={run_copy}", f"--data_dir={data_dir}"
    )
    assert "styles.csv) has the style loose, and the model knows wide" in error


def test_styles_for_a_model_without_are_one_line(
    run_copy, data_dir, monkeypatch
):
    fake_models.replace_models(monkeypatch, fake_models.constant(0))
    path = write_styles(data_dir / "styles.csv", "blob_000,wide")
    given = (f"--model_dir={run_copy}", f"--data_dir={data_dir}", "--split=all")
    error = running.error_of("--mode=evaluate", *given, f"--styles={path}")
    assert f"--styles ({path}) has no effect on a model that was" in error
    _, results, rows = evaluate(*given)  # found by itself, it is no mistake
    assert "styles" not in results
    assert "style" not in rows["blob_000"]
