"""Tests that a run's decision is fitted, kept and used by every mode."""

import json
import os
import shutil

import numpy as np
import pytest
import running

from segan_tf import decision, run_dir
from segan_tf.datasets import pairs
from segan_tf.decision import Decision
from segan_tf.imaging import images
from segan_tf.inference.predictor import Predictor

pytestmark = pytest.mark.any_edition

DRAWN_AT = 0.35


@pytest.fixture
def run_copy(model_dir, tmp_path):
    """Returns a copy of the trained run that may be changed."""
    return shutil.copytree(model_dir, tmp_path / "run")


@pytest.fixture
def own_pairs(model_dir, tmp_path):
    """Writes pairs of the model's own maps, drawn at DRAWN_AT."""
    folder = tmp_path / "pairs"
    for name in ("images", "label_maps"):
        (folder / name).mkdir(parents=True)
    predictor = Predictor(model_dir)
    drawn = os.path.join(model_dir, "drawn_lesions")
    for pair in pairs.find_pairs(drawn).pairs:
        shutil.copy(pair.image_path, folder / "images")
        found = predictor.probability_map(images.read_image(pair.image_path))
        label_map = np.uint8(255 * (found > DRAWN_AT))
        images.write_png(folder / "label_maps" / f"{pair.id}.png", label_map)
    return folder


def run(mode, *args):
    result = running.run(f"--mode={mode}", *args)
    assert result.status == 0, result.err
    return result.out


def test_calibrated_run_predicts_with_its_decision(
    run_copy, own_pairs, tmp_path
):
    out = run("calibrate", f"--model_dir={run_copy}", f"--data_dir={own_pairs}")
    assert "threshold 0.35 instead of threshold 0.5: Dice " in out
    path = os.path.join(run_copy, "decision.json")
    assert out.endswith(f"written to {path}\n")
    assert decision.read(run_copy) == Decision((DRAWN_AT,))

    out = run(
        "predict",
        f"--model_dir={run_copy}",
        f"--input={own_pairs / 'images'}",
        f"--output_dir={tmp_path / 'out'}",
    )
    assert out.splitlines()[1] == "deciding with threshold 0.35"
    for name in os.listdir(own_pairs / "label_maps"):
        stem = name.removesuffix(".png")
        found = images.read_image(tmp_path / "out" / f"{stem}_label_map.png")
        expected = images.read_image(own_pairs / "label_maps" / name)
        np.testing.assert_array_equal(found, expected)


def test_decision_that_is_given_replaces_that_of_the_run(run_copy, tmp_path):
    decision.write_file(Decision((0.4,)), decision.path_in(run_copy))
    given = tmp_path / "clinic.json"
    decision.write_file(Decision((0.3,)), given)
    assert run("evaluate", f"--model_dir={run_copy}").startswith(
        "deciding with threshold 0.4\n"
    )
    out = run("evaluate", f"--model_dir={run_copy}", f"--decision={given}")
    assert out.startswith("deciding with threshold 0.3\n")
    folders = sorted(run_copy.glob("evaluation_test_*"))
    texts = {
        json.loads((folder / "results.json").read_text())["run"]["decision"]
        for folder in folders
    }
    assert texts == {"threshold 0.3", "threshold 0.4"}
    # The results of the run without a decision are not replaced.
    assert not (run_copy / "evaluation_test").exists()


def test_export_carries_the_decision_of_the_run(run_copy, tmp_path, unmeasured):
    decision.write_file(Decision((0.4,)), decision.path_in(run_copy))
    out = run(
        "export",
        f"--model_dir={run_copy}",
        f"--export_dir={tmp_path / 'out'}",
        "--quantizations=none",
    )
    assert out.startswith("exporting with threshold 0.4\n")
    contract = json.loads((tmp_path / "out" / "segan_none.json").read_text())
    assert contract["thresholds"] == [0.4]
    (version,) = (tmp_path / "out" / "saved_model").iterdir()
    assert Predictor(version).decision == Decision((0.4,))


def test_decision_of_another_model_is_one_line(run_copy, tmp_path):
    decision.write_file(Decision((0.4, 0.5)), tmp_path / "other.json")
    error = running.error_of(
        "--mode=evaluate",
        f"--model_dir={run_copy}",
        f"--decision={tmp_path / 'other.json'}",
    )
    assert "is for a model with 2 labels, and " in error
    assert error.endswith("has 1; calibrate it with --mode=calibrate.")


def test_run_that_starts_over_has_no_decision_of_the_old_one(run_copy):
    decision.write_file(Decision((0.4,)), decision.path_in(run_copy))
    result = running.run(
        "--mode=train", f"--model_dir={run_copy}", "--noresume", *running.TINY
    )
    assert result.status == 0, result.err
    assert run_dir.has_flags(str(run_copy))
    assert decision.read(run_copy) == Decision()
