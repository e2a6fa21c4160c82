"""Tests that runs of an earlier version evaluate, export and resume as before.

See tests/earlier_version/README.md for what was recorded and how.
"""

import base64
import hashlib
import json
import math
import pathlib
import shutil
import zlib

import keras
import numpy as np
import pytest
import running
import tensorflow as tf

from segan_tf import labels as labels_lib
from segan_tf import records
from segan_tf.inference.predictor import Predictor
from segan_tf.models import pretrained
from segan_tf.synthetic import lesions
from segan_tf.training import loop

EDITION = f"keras{keras.__version__.partition('.')[0]}"
RECORDED = pathlib.Path(__file__).parent / "earlier_version" / EDITION
pytestmark = pytest.mark.skipif(
    not RECORDED.exists(),
    reason=f"nothing was recorded with Keras {keras.__version__}",
)
STEPS_BEFORE = 4  # 2 epochs of 2 steps
# The names and values of that version.
FLAGS = (
    "--num_drawn=12",
    "--num_test=3",
    "--num_validation=3",
    "--image_size=16",
    "--width=1",
    "--batch_size=3",
    "--num_labels=2",
    "--label_kind=overlapping",
    "--ema=0.5",
    "--dice_weight=1",
    "--cross_entropy_weight=0.5",
    "--learning_rate=0.01",
    "--decay_epochs=1",
    "--augment=strong",
    "--seed=7",
)
LOSSES = (
    "critic_loss",
    "segmentor_loss",
    "multi_scale_l1",
    "dice_loss",
    "cross_entropy",
)
VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"


def read_recorded(name):
    return json.loads((RECORDED / name).read_text("utf-8"))


@pytest.fixture(scope="module")
def earlier_run(tmp_path_factory):
    """Restores the run after 2 epochs; not to be changed."""
    folder = tmp_path_factory.mktemp("earlier") / "run"
    folder.mkdir()
    for name in ("flags.json", "labels.json", "splits.json", "training.json"):
        shutil.copy(RECORDED / name, folder)
    lines = (RECORDED / "log.jsonl").read_text("utf-8").splitlines(True)
    (folder / "log.jsonl").write_text(
        "".join(x for x in lines if json.loads(x)["step"] <= STEPS_BEFORE)
    )
    for path in (RECORDED / "checkpoints").rglob("*"):
        copy = folder / path.relative_to(RECORDED)
        if path.is_dir():
            copy.mkdir(parents=True, exist_ok=True)
        elif path.suffix == ".txt":
            copy.parent.mkdir(parents=True, exist_ok=True)
            content = zlib.decompress(base64.b64decode(path.read_text()))
            copy.with_suffix("").write_bytes(content)
        else:
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)
    lesions.draw_folder(
        str(folder / "drawn_lesions"),
        count=12,
        seed=0,
        labels=labels_lib.Labels(("lesion", "hair"), multiclass=False),
    )
    # As the earlier version wrote it, with the old name of multilabel.
    shutil.copy(RECORDED / "drawn.json", folder / "drawn_lesions")
    return folder


@pytest.fixture
def run_copy(earlier_run, tmp_path):
    """Returns a copy of the run that may be changed."""
    return shutil.copytree(earlier_run, tmp_path / "run")


def check_close(actual, expected, where):
    """Compares results: numbers closely, everything else exactly."""
    if isinstance(expected, dict):
        assert actual.keys() == expected.keys(), where
        for name, value in expected.items():
            check_close(actual[name], value, f"{where}.{name}")
    elif isinstance(expected, float):
        # A probability near 0.5 may be rounded to the other side on other
        # processors, and move a distance by a part of a pixel.
        tolerance = 0.1 if "_px" in where else 1e-3
        assert actual == pytest.approx(expected, abs=tolerance), where
    else:
        assert actual == expected, where


def test_evaluation_finds_the_recorded_metrics(run_copy):
    result = running.run("--mode=evaluate", f"--model_dir={run_copy}")
    assert result.status == 0, result.err
    results = records.read(run_copy / "evaluation_test" / "results.json")
    expected = read_recorded("results.json")
    # What it called metrics; now these are over the images with the label, and
    # here all images have both.
    means = results.pop("metrics")
    isic = results.pop("isic_metrics")
    for name, recorded in expected.pop("metrics").items():
        check_close(means[name]["mean"], recorded["mean"], name)
        if name in isic:
            check_close(isic[name], recorded, name)
    for of_label in results["labels"].values():
        assert of_label.pop("isic") == of_label["present"]
    assert results.keys() == expected.keys()
    for name in results.keys() - {"run"}:
        check_close(results[name], expected[name], name)
    run, expected_run = results["run"], expected["run"]
    assert run["training"] == expected_run["training"]
    assert run["data"] == expected_run["data"]
    # The one renamed setting.
    assert run["tta"] is expected_run.pop("flips") is False
    assert run["may_include_trained_images"] is False
    added = {
        "tta",
        "decision",
        "may_include_trained_images",
        "environment",
    }
    assert run.keys() - added == expected_run.keys()


@pytest.mark.any_edition
def test_export_agrees_with_keras(run_copy, tmp_path):
    result = running.run(
        "--mode=export",
        f"--model_dir={run_copy}",
        f"--export_dir={tmp_path / 'exported'}",
        "--quantizations=none",
    )
    assert result.status == 0, result.err
    record = records.read(tmp_path / "exported" / "parity.json")
    artifacts = record["artifacts"]
    assert artifacts.keys() == {"saved_model", "none"}
    assert all(row["within_limit"] for row in artifacts.values())
    assert (tmp_path / "exported" / "saved_model" / "1").is_dir()
    assert record["step"] == 4
    expected = read_recorded("results.json")["metrics"]
    for name in ("dice", "iou"):
        assert record["keras"][name] == pytest.approx(
            expected[name]["mean"], abs=1e-3
        )


@pytest.fixture(scope="module")
def resumed(earlier_run, tmp_path_factory):
    """Resumes the run to 4 epochs; returns its folder and the lines printed."""
    folder = tmp_path_factory.mktemp("resumed") / "run"
    shutil.copytree(earlier_run, folder)
    with pytest.MonkeyPatch.context() as patch:
        # A log line per epoch, as recorded, however slow the machine is.
        patch.setattr(loop, "LOOP_SECONDS", math.inf)
        result = running.run(
            "--mode=train", *FLAGS, "--epochs=4", f"--model_dir={folder}"
        )
    assert result.status == 0, result.err
    return folder, result.out.splitlines()


def test_old_names_of_flags_resume_the_run(resumed):
    note = "note: --label_kind=overlapping is now --label_kind=multilabel"
    assert note in resumed[1]
    assert "resuming at step 4 of 8" in resumed[1]


def test_resumed_run_ends_with_the_recorded_weights(resumed):
    path = resumed[0] / "checkpoints" / "last" / "ckpt-8"
    reader = tf.train.load_checkpoint(str(path))
    averaged = {
        name.removesuffix(VALUE)
        for name in reader.get_variable_to_shape_map()
        if name.startswith("averaged/") and name.endswith(VALUE)
    }
    expected = read_recorded("averaged_after_4_epochs.json")
    assert averaged == expected.keys()
    for name, text in expected.items():
        values = np.frombuffer(base64.b64decode(text), np.float32)
        # The kernels of other processors sum in another order.
        np.testing.assert_allclose(
            reader.get_tensor(name + VALUE).ravel(),
            values,
            rtol=1e-4,
            atol=1e-4,
            err_msg=name,
        )


def test_resumed_run_logs_the_recorded_losses(resumed):
    log, expected_log = (
        [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        for path in (resumed[0] / "log.jsonl", RECORDED / "log.jsonl")
    )
    for line, expected in zip(log, expected_log, strict=True):
        assert line.keys() == expected.keys()
        for name in ("kind", "step", "epoch", *LOSSES):
            check_close(line.get(name), expected.get(name), name)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("pretrained-1", "keras"),
        ("pretrained-2", "keras"),
        ("pretrained-2", "int8"),
    ],
)
def test_released_model_finds_the_recorded_maps(name, kind):
    path = name if kind == "keras" else pretrained.find(name).tflite_path(kind)
    predictor = Predictor(path)
    recorded = read_recorded("released.json")[name][kind]
    for index, expected in enumerate(recorded):
        image = lesions.draw_lesion(index, 0).image
        digest = hashlib.sha256(image.tobytes()).hexdigest()
        assert digest.startswith(expected["image_sha256"])
        prediction = predictor(image)
        assert list(prediction.probability_map.shape) == expected["shape"]
        assert prediction.probability_map.mean() == pytest.approx(
            expected["mean_probability"], abs=1e-4
        )
        assert int(prediction.label_map.sum()) == pytest.approx(
            expected["label_pixels"], abs=5
        )
