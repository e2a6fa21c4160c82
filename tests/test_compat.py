"""Tests of both editions (Keras 3 and 2.15) and of models used across them."""

import pathlib
import subprocess
import sys

import crossing
import keras
import numpy as np
import pytest
import running

from segan_tf import compat, config
from segan_tf.models import restore

KERAS_2 = not hasattr(keras, "ops")
VENVS = (".venv", ".venv-addons")
# The other edition's Python: scripts/test makes .venv, --addons the other.
OTHER = [
    running.ROOT / name / "bin" / "python"
    for name in VENVS
    if running.ROOT / name != pathlib.Path(sys.prefix)
]
needs_both = pytest.mark.skipif(
    # scripts/setup writes this file when everything is installed.
    len(OTHER) != 1 or not (OTHER[0].parents[1] / "installed").exists(),
    reason="needs the environments of both scripts/test and its --addons",
)
# Either edition exchanges the same models with the other.
exchange = pytest.mark.skipif(
    not KERAS_2, reason="scripts/test --addons compares both editions"
)
ANSWERS = (
    "served_label_map",
    "served_mean_probability",
    "served_probability_map",
    "reloaded_probability_map",
    "tflite_none",
    "tflite_float16",
    "tflite_dynamic",
    "tflite_int8",
    "released",
    "batch_image",
    "batch_label_map",
)


@pytest.mark.skipif(KERAS_2, reason="needs Keras 3")
def test_keras_3_does_not_import_addons(monkeypatch):
    class NoAddons:
        def find_spec(self, name, *_):
            assert name.partition(".")[0] != "tensorflow_addons"

    monkeypatch.setattr(sys, "meta_path", [NoAddons(), *sys.meta_path])
    assert compat.find_addons() is None


@pytest.mark.skipif(not KERAS_2, reason="needs Keras 2")
def test_keras_2_imports_addons_or_says_that_they_are_missing(monkeypatch):
    assert compat.find_addons().__name__ == "tensorflow_addons"
    monkeypatch.setitem(sys.modules, "tensorflow_addons", None)
    with pytest.raises(
        config.UserError,
        match="^tensorflow-addons, which Keras 2.* needs for --augment=strong "
        "and --optimizer=lamb, cannot be imported .*; install it with "
        "python -m pip install -r requirements-addons.txt$",
    ):
        compat.find_addons()


@pytest.mark.skipif(not KERAS_2, reason="needs Keras 2")
@pytest.mark.parametrize("flag", ["--augment=strong", "--optimizer=lamb"])
def test_run_that_lacks_addons_is_one_error(tmp_path, monkeypatch, flag):
    monkeypatch.setitem(sys.modules, "tensorflow_addons", None)
    error = running.error_of(
        "--mode=train", f"--model_dir={tmp_path}", *running.TINY, flag
    )
    assert "tensorflow-addons, which Keras 2" in error
    assert not (tmp_path / "flags.json").exists()


def test_addons_end_of_life_warning_is_not_printed():
    code = (
        "import main; from segan_tf import compat; "
        "from segan_tf.training import loop; from export.parity import gate; "
        "compat.find_addons()"
    )
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", code],
        cwd=running.ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "TensorFlow Addons" not in done.stdout + done.stderr


@pytest.mark.parametrize("version", ["2.15.0", "3.12.0", "3.15.1"])
def test_checkpoints_are_read_by_the_same_major_version(version):
    reads = compat.reads_checkpoints_of(version)
    assert reads == (version.startswith("2") == KERAS_2)


def there(*args):
    """Runs a script in the other edition."""
    done = subprocess.run(
        [OTHER[0], *map(str, args)],
        env={"PYTHONPATH": str(running.ROOT), "PATH": ""},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """Exports in each edition and runs it in both.

    Returns:
      For the models exported here and there, the answers here and there.
    """
    folder = tmp_path_factory.mktemp("crossing")
    script = running.ROOT / "tests" / "support" / "crossing.py"
    here = folder / "here"
    crossing.export(str(here))
    there(script, "run", here, folder / "ours.npz")
    there(script, "export", folder / "there")
    return {
        "here": (crossing.run(str(here)), np.load(folder / "ours.npz")),
        "there": (
            crossing.run(str(folder / "there")),
            np.load(folder / "there" / crossing.ANSWERS),
        ),
    }


@exchange
@needs_both
@pytest.mark.parametrize("exported", ["here", "there"])
@pytest.mark.parametrize("name", ANSWERS)
def test_exported_models_give_the_same_answers_in_both_editions(
    answers, exported, name
):
    ours, theirs = answers[exported]
    assert set(ours) == set(theirs.keys()) == set(ANSWERS)
    assert np.ptp(ours[name]) > 0 or ours[name].size == 1
    np.testing.assert_allclose(ours[name], theirs[name], atol=1e-5)


@exchange
@needs_both
@pytest.mark.parametrize("name", ["tflite_none", "served_probability_map"])
def test_both_editions_export_the_same_function(answers, name):
    np.testing.assert_allclose(
        answers["here"][0][name], answers["there"][0][name], atol=1e-5
    )


@pytest.fixture(scope="module")
def their_run(tmp_path_factory):
    """Trains a run in the other edition."""
    model_dir = tmp_path_factory.mktemp("theirs")
    there(
        running.ROOT / "main.py",
        "--mode=train",
        f"--model_dir={model_dir}",
        *running.TINY,
    )
    return model_dir


@needs_both
@pytest.mark.parametrize("mode", ["train", "evaluate", "export"])
def test_checkpoint_of_the_other_edition_is_one_error(their_run, mode):
    flags = [*running.TINY, "--epochs=2"] if mode == "train" else []
    error = running.error_of(
        f"--mode={mode}", f"--model_dir={their_run}", *flags
    )
    assert f"--model_dir ({their_run}) was trained with Keras " in error
    assert f"whose checkpoints Keras {keras.__version__} cannot read" in error


def test_run_without_versions_is_readable(tmp_path):
    restore.check_edition(str(tmp_path))
