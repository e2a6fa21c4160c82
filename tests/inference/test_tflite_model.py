"""Tests of opening and running a TFLite file of this program."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import running
import small_models
from ai_edge_litert import interpreter as litert

from export.tflite import convert
from segan_tf.inference import tflite_model


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """Exports an int8 model of two multilabel labels."""
    return convert.export_tflite(
        small_models.build_segmentor(num_labels=2),
        str(tmp_path_factory.mktemp("model") / "model.tflite"),
        quantization="int8",
        labels=small_models.TWO_LABELS,
        version=7,
        calibration_images=small_models.draw_calibration_images(),
    )


def test_labels_and_size_are_read_from_the_file_itself(path, tmp_path):
    alone = shutil.copy(path, tmp_path / "renamed.tflite")

    model = tflite_model.TFLiteModel(alone)

    assert model.labels == small_models.TWO_LABELS
    assert model.size == [32, 32]
    assert model.contract["version"] == 7


def test_pixels_between_two_values_are_rounded(path):
    model = tflite_model.TFLiteModel(path)
    (image,) = small_models.draw_images((32, 32))
    image = np.clip(image, 1, 254)[None]
    expected = model.segment(image)

    for nudge in (-0.4, 0.4):
        given = model.segment(image + np.float32(nudge))
        np.testing.assert_array_equal(given, expected)


def test_pixels_out_of_range_are_clipped(path):
    model = tflite_model.TFLiteModel(path)
    white = np.full((1, 32, 32, 3), 255, np.uint8)

    given = model.segment(white + np.float32(20))

    np.testing.assert_array_equal(given, model.segment(white))


@pytest.mark.parametrize("share", [0.1, 0.9])
def test_truncated_file_is_an_error_of_one_line(path, tmp_path, share):
    with open(path, "rb") as file:
        content = file.read()
    cut = tmp_path / "cut.tflite"
    cut.write_bytes(content[: int(share * len(content))])

    with pytest.raises(ValueError) as caught:
        tflite_model.TFLiteModel(cut)

    assert "\n" not in str(caught.value)


def test_model_of_another_program_is_an_error(path, tmp_path):
    with open(path, "rb") as file:
        content = file.read()
    bare = tmp_path / "bare.tflite"
    bare.write_bytes(content[: content.index(b"PK\x03\x04")])

    with pytest.raises(ValueError, match="^it holds no contract.json$"):
        tflite_model.TFLiteModel(bare)


def test_contract_without_labels_is_an_error(path, monkeypatch):
    monkeypatch.setattr(json, "loads", lambda _: {"label_names": ["lesion"]})

    with pytest.raises(ValueError, match="contract.json names no labels"):
        tflite_model.TFLiteModel(path)


@pytest.mark.parametrize(
    "names", ["lesion", [1], [["lesion"]], [""], ["a", "a"], []]
)
def test_odd_labels_in_the_contract_are_an_error(path, monkeypatch, names):
    described = {"label_names": names, "label_kind": "multiclass"}
    monkeypatch.setattr(json, "loads", lambda _: described)

    with pytest.raises(ValueError, match="contract.json names no labels"):
        tflite_model.TFLiteModel(path)


def test_model_that_fails_when_it_runs_is_an_error(path, monkeypatch):
    class Failing:
        def __init__(self, runner):
            self._runner = runner

        def __getattr__(self, name):
            return getattr(self._runner, name)

        def __call__(self, **inputs):
            raise RuntimeError("Input tensor 17 lacks data\nNode 3 failed")

    get_runner = litert.Interpreter.get_signature_runner
    monkeypatch.setattr(
        litert.Interpreter,
        "get_signature_runner",
        lambda *args: Failing(get_runner(*args)),
    )

    with pytest.raises(ValueError, match="^Input tensor 17 lacks data$"):
        tflite_model.TFLiteModel(path)


def test_model_runs_without_tensorflow(path):
    code = (
        "import sys, numpy as np\n"
        "from segan_tf.inference import tflite_model\n"
        f"model = tflite_model.TFLiteModel({str(path)!r})\n"
        "print(model.segment(np.zeros((1, 32, 32, 3), np.uint8)).shape)\n"
        "print({'tensorflow', 'keras'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=running.ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "(1, 32, 32, 2)\nset()\n"
