"""Tests of what `import segan_tf` offers."""

import subprocess
import sys

import pytest
import running

import segan_tf

FUNCTIONS = (
    "build_critic",
    "build_efficientnet_lite0",
    "build_efficientnet_lite1",
    "build_efficientnet_lite2",
    "build_segan",
    "calibrate",
    "check",
    "convert",
    "evaluate",
    "export",
    "load_pretrained",
    "predict",
    "train",
)
CLASSES = ("Config", "Predictor", "UserError")
MODULES = ("losses", "metrics")


def run_python(code):
    """Runs a line of Python in the project; returns what it printed."""
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=running.ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_public_names_are_complete():
    assert sorted(segan_tf.__all__) == sorted([*FUNCTIONS, *CLASSES, *MODULES])
    assert set(segan_tf.__all__) < set(dir(segan_tf))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_has_its_name_and_a_description(name):
    function = getattr(segan_tf, name)
    assert callable(function)
    assert function.__name__ == name
    assert len(function.__doc__) > 40


@pytest.mark.parametrize("name", CLASSES)
def test_class_has_its_name_and_a_description(name):
    assert isinstance(getattr(segan_tf, name), type)
    assert getattr(segan_tf, name).__name__ == name
    assert len(getattr(segan_tf, name).__doc__) > 40


@pytest.mark.parametrize("name", MODULES)
def test_module_resolves(name):
    assert getattr(segan_tf, name).__name__ == f"segan_tf.{name}"


def test_released_model_is_one_call_away():
    assert callable(segan_tf.Predictor.from_pretrained)


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'fit'"):
        segan_tf.fit  # noqa: B018


def test_star_import_gives_all_names():
    code = "from segan_tf import *; print(Predictor.__name__, export.__name__)"
    assert run_python(code) == "Predictor export\n"


def test_import_takes_less_than_a_third_of_a_second_and_no_tensorflow():
    code = """
import sys, time
began = time.perf_counter()
import segan_tf
segan_tf.Config(width=16)
print(time.perf_counter() - began)
print(*sorted({"tensorflow", "keras", "numpy"} & set(sys.modules)))
"""
    # The best of three: other processes may take the machine.
    runs = [run_python(code).splitlines() for _ in range(3)]
    assert min(float(seconds) for seconds, _ in runs) < 0.3
    assert [loaded for _, loaded in runs] == [""] * 3
