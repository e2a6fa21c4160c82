"""Tests of the choice of what a released model runs in."""

import resource
import subprocess
import sys

import numpy as np
import pytest
import running
from PIL import Image

from segan_tf.config import UserError
from segan_tf.inference import backends
from segan_tf.inference.predictor import Predictor

# Runs in a new process, which may not import TensorFlow.
WITHOUT_TENSORFLOW = """
import sys
sys.modules.update(dict.fromkeys(("tensorflow", "keras", "scipy")))
import numpy, segan_tf
predictor = segan_tf.Predictor.from_pretrained(runtime="int8")
print(predictor(numpy.zeros((20, 30, 3), numpy.uint8)).label_map.shape)
"""


def test_int8_model_is_chosen_where_it_can_do_the_task():
    def choose(model, wanted="auto", *, needs_styles=False):
        return backends.choose_runtime(model, wanted, needs_styles=needs_styles)

    assert choose("pretrained") == "int8"
    assert choose("pretrained", needs_styles=True) == "keras"
    assert choose("pretrained", "keras") == "keras"
    assert choose("pretrained-1") == "keras"
    with pytest.raises(UserError, match="pretrained-1 runs in keras; give"):
        choose("pretrained-1", "int8")


def test_runtime_of_another_model_is_an_error():
    with pytest.raises(UserError, match="--runtime=int8 has no effect on run"):
        backends.choose_runtime("run", "int8", needs_styles=False)


def test_tflite_model_of_the_release_decides_as_the_release():
    keras, tflite = (
        Predictor("pretrained", runtime=name) for name in ("keras", "int8")
    )
    assert tflite.decision == keras.decision
    assert tflite.description == f"{keras.description}, int8"
    image = np.random.default_rng(0).integers(0, 256, (90, 70, 3), np.uint8)
    found, expected = tflite(image), keras(image)
    np.testing.assert_allclose(
        found.probability_map, expected.probability_map, atol=0.2
    )
    assert found.expected_dice == pytest.approx(
        expected.expected_dice, abs=0.01
    )


@pytest.fixture
def without_others(tmp_path):
    """Returns a folder of packages that count as not installed."""
    folder = tmp_path / "packages"
    folder.mkdir()
    for name in ("tensorflow", "keras", "scipy", "tensorboard", "flatbuffers"):
        (folder / f"{name}.py").write_text(
            f"raise ModuleNotFoundError('no {name}', name='{name}')"
        )
    return str(folder)


@pytest.mark.parametrize("workers", [1, 2])
def test_command_predicts_without_tensorflow(tmp_path, without_others, workers):
    (tmp_path / "in").mkdir()
    for name in ("a.png", "b.png", "c.png"):
        Image.new("RGB", (40, 30), "tan").save(tmp_path / "in" / name)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = running.run_program(
        "--mode=predict",
        f"--workers={workers}",
        f"--input={tmp_path / 'in'}",
        f"--output_dir={tmp_path / 'out'}",
        python_path=without_others,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert result.status == 0, result.err
    assert "3 of 3 images have a label map" in result.out
    assert (tmp_path / "out" / "c_overlay.jpg").exists()
    # From the start of Python to the last image. By the clock it is the same
    # on an idle machine.
    seconds = sum(
        getattr(after, name) - getattr(before, name)
        for name in ("ru_utime", "ru_stime")
    )
    assert seconds < workers


def test_missing_tensorflow_is_one_line(tmp_path, without_others):
    Image.new("RGB", (40, 30), "tan").save(tmp_path / "a.png")
    result = running.run_program(
        "--mode=predict",
        "--runtime=keras",
        f"--input={tmp_path / 'a.png'}",
        f"--output_dir={tmp_path / 'out'}",
        python_path=without_others,
    )
    assert result.status == 1
    (line,) = result.err.splitlines()
    assert "TensorFlow cannot be imported (no tensorflow); install it" in line


def test_tflite_model_runs_without_tensorflow():
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TENSORFLOW],
        capture_output=True,
        text=True,
    )
    assert done.stdout == "(20, 30, 1)\n", done.stderr
