"""Tests of evaluating a model on a split, at the size of the images."""

import csv
import json
import os
import shutil

import fake_models
import numpy as np
import pytest
import running
from PIL import Image

from segan_tf import config, decision, run_lock
from segan_tf import labels as labels_lib
from segan_tf.datasets import pairs
from segan_tf.evaluation import evaluate, gallery
from segan_tf.imaging import images
from segan_tf.metrics import per_image
from segan_tf.synthetic import lesions


def folder_of(out):
    """Returns the folder that the output of an evaluation names."""
    return out.splitlines()[-1].rpartition(" are in ")[2]


def run_evaluation(*args):
    """Evaluates, and returns what is printed and what results.json holds."""
    result = running.run("--mode=evaluate", *args)
    assert result.status == 0, result.err
    folder = folder_of(result.out)
    with open(os.path.join(folder, "results.json"), encoding="utf-8") as file:
        return result.out, json.load(file)


# A model that finds no lesion anywhere.
nothing = fake_models.constant(0)


def contents(folder):
    """Returns every file of a folder by its path."""
    return {
        path: path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


@pytest.fixture
def run_copy(model_dir, tmp_path):
    """Returns a copy of the trained run that may be changed."""
    return shutil.copytree(model_dir, tmp_path / "run")


@pytest.fixture
def other_data(tmp_path):
    """Returns a folder of 8 pairs that no training has seen."""
    folder = str(tmp_path / "other")
    lesions.draw_folder(folder, count=8, seed=1)
    for part, ending in (("images", ".jpg"), ("label_maps", ".png")):
        for index in range(8):
            os.rename(
                os.path.join(folder, part, f"drawn_{index:04d}{ending}"),
                os.path.join(folder, part, f"new_{index}{ending}"),
            )
    return folder


@pytest.fixture
def half_and_quarter(tmp_path):
    """Returns a pair of 64x32 pixels whose left quarter is lesion."""
    label_map = np.zeros((32, 64), np.uint8)
    label_map[:, :16] = 255
    paths = [str(tmp_path / name) for name in ("a.png", "a_mask.png")]
    images.write_png(paths[0], np.zeros((32, 64, 3), np.uint8))
    images.write_png(paths[1], label_map)
    return pairs.Pair("a", paths[0], (paths[1],))


def test_the_recorded_test_split_is_scored(run_copy):
    out, results = run_evaluation(f"--model_dir={run_copy}")
    folder = run_copy / "evaluation_test"
    with open(folder / "per_image.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    ids = json.loads((run_copy / "splits.json").read_text())["test"]
    assert [row["id"] for row in rows] == ids
    assert results["image_count"] == len(ids) == 16 // 4
    for name in per_image.NAMES:
        mean = sum(float(row[name]) for row in rows) / 4
        assert results["metrics"][name]["mean"] == pytest.approx(mean, abs=1e-5)
    dice = results["metrics"]["dice"]["mean"]
    assert f"{dice:.4f}" in out.splitlines()[1]
    assert "over 4 images of the test split" in out
    with Image.open(folder / "gallery.png") as gallery:
        assert gallery.format == "PNG"
        gallery.verify()


def test_results_describe_model_command_and_data(run_copy):
    run = run_evaluation(f"--model_dir={run_copy}")[1]["run"]
    assert run["model"] == str(run_copy / "checkpoints" / "best" / "ckpt-2")
    assert run["command"] == f"main.py --mode=evaluate --model_dir={run_copy}"
    assert (run["split"], run["unreadable"]) == ("test", [])
    assert run["data"]["num_drawn"] == 16
    assert run["training"]["last_step"] == 2
    assert {"versions", "commit", "hardware", "date", "seconds"} < set(run)


def test_split_all_scores_every_pair(run_copy, monkeypatch):
    fake_models.replace_models(monkeypatch, nothing)
    out, results = run_evaluation(f"--model_dir={run_copy}", "--split=all")
    assert results["image_count"] == 11 + 1 + 4
    assert "over 16 images of the all split" in out
    assert (run_copy / "evaluation_all" / "gallery.png").exists()


def test_exported_model_scores_the_same_as_its_checkpoint(run_copy, export_dir):
    model = os.path.join(export_dir, "segan_none.tflite")
    _, expected = run_evaluation(f"--model_dir={run_copy}")
    _, actual = run_evaluation(f"--model_dir={run_copy}", f"--model={model}")
    assert actual["run"]["model"] == model
    for name in ("dice", "iou", "accuracy"):
        assert actual["metrics"][name]["mean"] == pytest.approx(
            expected["metrics"][name]["mean"], abs=1e-3
        )


def test_run_can_be_evaluated_on_other_data(run_copy, other_data):
    out, results = run_evaluation(
        f"--model_dir={run_copy}", f"--data_dir={other_data}", "--split=all"
    )
    assert results["image_count"] == 8
    assert results["run"]["data"]["data_dir"] == other_data
    assert "warning" not in out


def test_splitting_the_runs_data_again_gives_a_warning(run_copy, monkeypatch):
    fake_models.replace_models(monkeypatch, nothing)
    out, results = run_evaluation(
        f"--model_dir={run_copy}", "--num_test=15", "--num_validation=0"
    )
    assert results["image_count"] == 15
    # Of the 16 pairs 11 were trained on; the one left out was none of them,
    # or one of them.
    trained = json.loads((run_copy / "splits.json").read_text())["train"]
    with open(os.path.join(folder_of(out), "per_image.csv")) as file:
        known = sum(row["id"] in trained for row in csv.DictReader(file))
    assert known in (11, 10)
    assert out.startswith(
        f"warning: {known} of the 15 pairs may be images that the model was "
        "trained on"
    )
    assert results["run"]["may_include_trained_images"] is True
    assert "over 15 images of the test split (may include trained" in out


def test_moved_data_of_the_run_keep_their_split(
    run_copy, tmp_path, monkeypatch
):
    fake_models.replace_models(monkeypatch, nothing)
    moved = shutil.move(run_copy / "drawn_lesions", tmp_path / "moved")
    out, results = run_evaluation(
        f"--model_dir={run_copy}", f"--data_dir={moved}"
    )
    ids = json.loads((run_copy / "splits.json").read_text())["test"]
    with open(run_copy / "evaluation_test" / "per_image.csv") as file:
        assert [row["id"] for row in csv.DictReader(file)] == ids
    assert results["run"]["may_include_trained_images"] is False
    assert "note: 16 of the 16 pairs found are those of" in out
    assert "trained" not in out.replace(str(run_copy), "")


def test_what_a_model_of_no_run_was_trained_on_is_not_known(
    other_data, tmp_path, monkeypatch
):
    fake_models.replace_models(monkeypatch, nothing)
    titles = []
    monkeypatch.setattr(
        gallery,
        "build_gallery",
        lambda *_, title, **__: titles.append(title) or b"",
    )
    out, results = run_evaluation(
        "--model=some.tflite",
        f"--model_dir={tmp_path / 'results'}",
        f"--data_dir={other_data}",
    )
    assert results["run"]["may_include_trained_images"] is True
    assert "warning: 2 of the 2 pairs may be images that the model" in out
    assert "over 2 images of the test split (may include trained images)" in out
    assert "(may include trained images)" in titles[0]


def test_damaged_pair_is_named_and_can_be_skipped(
    run_copy, other_data, monkeypatch
):
    fake_models.replace_models(monkeypatch, nothing)
    for name in ("new_2", "new_5"):
        path = os.path.join(other_data, "images", f"{name}.jpg")
        os.truncate(path, os.path.getsize(path) // 2)
    given = (
        f"--model_dir={run_copy}",
        f"--data_dir={other_data}",
        "--split=all",
    )
    failed = running.run("--mode=evaluate", *given)
    assert failed.status == 1
    assert "error: 2 files cannot be used" in failed.err
    assert "new_2.jpg is damaged" in failed.err
    assert "new_5.jpg is damaged" in failed.err
    (rows,) = run_copy.glob("evaluation_all_*/*")
    assert rows.name == "per_image.unfinished.csv"
    assert failed.out.splitlines()[-1] == (
        f"note: the metrics so far are in {rows}"
    )
    with open(rows, encoding="utf-8") as file:
        ids = [row["id"] for row in csv.DictReader(file)]
    assert sorted(ids) == [f"new_{i}" for i in (0, 1, 3, 4, 6, 7)]
    out, results = run_evaluation(*given, "--skip_bad_pairs")
    assert not rows.exists()
    assert "continuing without 2 files" in out
    assert sorted(results["run"]["unreadable"]) == ["new_2", "new_5"]
    assert results["image_count"] == 8 - 2


def test_image_too_large_for_the_memory_does_not_end_an_evaluation(
    run_copy, monkeypatch
):
    images_seen = []

    def segment(image):
        images_seen.append(image)
        if len(images_seen) == 2:
            raise MemoryError
        return nothing(image)

    fake_models.replace_models(monkeypatch, segment)
    out, results = run_evaluation(f"--model_dir={run_copy}", "--skip_bad_pairs")
    assert "continuing without 1 file:\n  out of memory" in out
    assert results["image_count"] == 4 - 1


def test_images_scored_before_a_stop_stay(run_copy, monkeypatch):
    before = contents(run_copy)

    def segment(image):
        if not rows.exists() or len(rows.read_text().splitlines()) < 1 + 2:
            return nothing(image)
        raise KeyboardInterrupt

    rows = run_copy / "evaluation_test" / "per_image.unfinished.csv"
    fake_models.replace_models(monkeypatch, segment)
    stopped = running.run("--mode=evaluate", f"--model_dir={run_copy}")
    assert stopped.status == 128 + 2
    assert len(rows.read_text().splitlines()) == 1 + 2
    rows.unlink()
    assert contents(run_copy) == before


def test_second_evaluation_into_a_folder_is_rejected(run_copy):
    folder = run_copy / "evaluation_test"
    folder.mkdir(exist_ok=True)
    with run_lock.hold(str(folder)):
        result = running.run("--mode=evaluate", f"--model_dir={run_copy}")
    assert result.status == 1
    assert f"({folder}) is in use by another evaluation" in result.err


def test_image_that_vanishes_after_scoring_leaves_a_gap_in_the_gallery(
    run_copy, monkeypatch
):
    seen = []

    def segment(image):
        seen.append(image)
        if len(seen) == 4:  # the last of the split
            os.remove(run_copy / "drawn_lesions" / "images" / f"{name}.jpg")
        return nothing(image)

    name = json.loads((run_copy / "splits.json").read_text())["test"][0]
    fake_models.replace_models(monkeypatch, segment)
    folder = run_copy / "drawn_lesions"
    out, results = run_evaluation(
        f"--model_dir={run_copy}", f"--data_dir={folder}"
    )
    assert f"warning: the gallery lacks {name}: " in out
    assert results["image_count"] == 4


def test_odd_names_do_not_end_an_evaluation(run_copy, other_data, monkeypatch):
    fake_models.replace_models(monkeypatch, nothing)
    names = [
        *("=1+1", "a\x1b[31m", "a\nb", "a\rb", "\u6f22\u00f6"),
        os.fsdecode(b"L\xe4sion"),
    ]
    for index, name in enumerate(names):
        for part, ending in (("images", ".jpg"), ("label_maps", ".png")):
            folder = os.path.join(other_data, part)
            os.rename(
                os.path.join(folder, f"new_{index}{ending}"),
                os.path.join(folder, f"{name}{ending}"),
            )
    path = os.path.join(other_data, "images", f"{names[-1]}.jpg")
    os.truncate(path, os.path.getsize(path) // 2)
    out, results = run_evaluation(
        f"--model_dir={run_copy}",
        f"--data_dir={other_data}",
        "--split=all",
        "--skip_bad_pairs",
    )
    assert results["image_count"] == 8 - 1
    assert results["run"]["unreadable"] == [names[-1]]
    assert "L\\udce4sion.jpg is damaged" in out
    with open(
        os.path.join(folder_of(out), "per_image.csv"),
        encoding="utf-8",
        newline="",
    ) as file:
        ids = {row["id"] for row in csv.DictReader(file)}
    assert ids == {
        *("'=1+1", "a\\x1b[31m", "a\\nb", "a\\rb", "\u6f22\u00f6"),
        *("new_6", "new_7"),
    }


def test_split_without_pairs_is_an_error(run_copy):
    splits = json.loads((run_copy / "splits.json").read_text())
    splits["train"] += splits.pop("validation")
    (run_copy / "splits.json").write_text(json.dumps(splits))
    error = running.error_of(
        "--mode=evaluate", f"--model_dir={run_copy}", "--split=validation"
    )
    assert "--split (validation) holds no pair to score" in error


def test_unwritable_report_is_one_line(run_copy, monkeypatch):
    fake_models.replace_models(monkeypatch, nothing)
    (run_copy / "evaluation_test").write_text("a file in its place")
    error = running.error_of("--mode=evaluate", f"--model_dir={run_copy}")
    assert f"--model_dir ({run_copy}) cannot take the report" in error


def score(predictor, pair):
    score, _ = evaluate.score_pair(predictor, pair, labels=labels_lib.LESION)
    return score


def test_pair_has_the_metrics_of_known_rectangles(half_and_quarter):
    def predict_the_left_half(image):
        probability = nothing(image)
        probability[:, :32] = 0.9
        return probability

    predictor = fake_models.make_predictor(predict_the_left_half)
    found = score(predictor, half_and_quarter)
    true, predicted, both = 32 * 16, 32 * 32, 32 * 16
    assert found.row["id"] == "a"
    assert found.row["dice"] == pytest.approx(2 * both / (true + predicted))
    assert found.row["iou"] == pytest.approx(both / predicted)
    assert found.row["lesion_fraction_true"] == 1 / 4
    assert found.row["lesion_fraction_predicted"] == 1 / 2
    assert found.confusions == (
        per_image.Confusion(
            true_positives=both,
            false_positives=predicted - both,
            false_negatives=0,
            true_negatives=32 * 64 - predicted,
        ),
    )


def test_probability_of_one_half_is_background(half_and_quarter):
    predictor = fake_models.make_predictor(
        fake_models.constant(decision.THRESHOLD)
    )
    row = score(predictor, half_and_quarter).row
    assert row["lesion_fraction_predicted"] == 0


@pytest.mark.parametrize(
    "labels",
    [
        labels_lib.Labels(("nevus",)),
        labels_lib.Labels(("lesion", "hair")),
    ],
)
def test_model_with_other_labels_is_an_error(run_copy, labels, monkeypatch):
    fake_models.replace_models(monkeypatch, nothing, labels)
    error = running.error_of(
        "--mode=evaluate", f"--model_dir={run_copy}", "--label_names=hair"
    )
    assert f"labels {', '.join(labels.names)}, the label maps the" in error


def test_label_map_of_another_size_is_an_error(half_and_quarter):
    images.write_png(half_and_quarter.image_path, np.zeros((64, 32), np.uint8))
    with pytest.raises(
        config.UserError, match="a_mask.png .* must have the same size"
    ):
        score(fake_models.make_predictor(nothing), half_and_quarter)
