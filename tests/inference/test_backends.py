"""Tests of the choice of what a released model runs in."""

import subprocess
import sys

import numpy as np
import pytest

from segan_tf.config import UserError
from segan_tf.inference import backends, processor
from segan_tf.inference.predictor import Predictor

# Runs in a new process, which may not import TensorFlow.
WITHOUT_TENSORFLOW = """
import sys
sys.modules.update(dict.fromkeys(("tensorflow", "keras", "scipy")))
import numpy, segan_tf
predictor = segan_tf.Predictor.from_pretrained(runtime="int8")
print(predictor(numpy.zeros((20, 30, 3), numpy.uint8)).label_map.shape)
"""


@pytest.mark.parametrize(
    ("can_multiply_int8", "runtime"), [(True, "int8"), (False, "float16")]
)
def test_fastest_model_for_the_processor_is_chosen(
    monkeypatch, can_multiply_int8, runtime
):
    monkeypatch.setattr(
        processor, "has_int8_dot_products", lambda: can_multiply_int8
    )
    chosen = backends.choose_runtime("pretrained", "auto", needs_styles=False)
    assert chosen == runtime
    styled = backends.choose_runtime("pretrained", "auto", needs_styles=True)
    assert styled == "keras"
    given = backends.choose_runtime("pretrained", "float16", needs_styles=False)
    assert given == "float16"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("flags\t\t: fpu avx512_vnni avx", True),
        ("Features\t: fp asimd asimddp", True),
        ("flags\t\t: fpu avx512f avx2", False),
        ("model name\t: avx_vnni", False),
    ],
)
def test_int8_dot_products_are_read_from_the_system(
    monkeypatch, tmp_path, line, expected
):
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\n{line}\n")
    monkeypatch.setattr(processor, "_CPU_INFO", str(tmp_path / "cpuinfo"))
    monkeypatch.setattr("platform.system", lambda: "Linux")
    assert processor.has_int8_dot_products() is expected


def test_runtime_of_another_model_is_an_error():
    with pytest.raises(UserError, match="--runtime=int8 has no effect on run"):
        backends.choose_runtime("run", "int8", needs_styles=False)


def test_tflite_model_of_the_release_decides_as_the_release():
    keras, tflite = (
        Predictor("pretrained", runtime=name) for name in ("keras", "float16")
    )
    assert tflite.decision == keras.decision
    assert tflite.description == f"{keras.description}, float16"
    image = np.random.default_rng(0).integers(0, 256, (90, 70, 3), np.uint8)
    found, expected = tflite(image), keras(image)
    np.testing.assert_allclose(
        found.probability_map, expected.probability_map, atol=0.01
    )
    assert found.expected_dice == pytest.approx(
        expected.expected_dice, abs=0.01
    )


def test_tflite_model_runs_without_tensorflow():
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TENSORFLOW],
        capture_output=True,
        text=True,
    )
    assert done.stdout == "(20, 30, 1)\n", done.stderr
