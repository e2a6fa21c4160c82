"""Tests of how Keras is set up, whatever other projects left behind."""

import json
import os
import shlex
import subprocess
import sys

import numpy as np
import pytest
import running
from PIL import Image

from segan_tf import records

_SHOW = """
import segan_tf
from segan_tf import startup
startup.import_tensorflow()
import tensorflow as tf
from keras import backend
model = segan_tf.build_segan(image_size=32, width=2, num_labels=1)
print(backend.backend(), backend.floatx(), backend.image_data_format(),
      backend.epsilon(), tf.as_dtype(model.output.dtype).name,
      tuple(model.output.shape))
"""


def show_keras(**environment):
    result = subprocess.run(
        [sys.executable, "-c", _SHOW],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    *notes, settings = result.stdout.splitlines()
    return notes, settings


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"floatx": "float16", "epsilon": 1e-3},
        {"backend": "jax", "image_data_format": "channels_first"},
    ],
)
def test_keras_settings_of_other_projects_have_no_effect(changed, tmp_path):
    settings = {
        "floatx": "float32",
        "epsilon": 1e-7,
        "backend": "tensorflow",
        "image_data_format": "channels_last",
        **changed,
    }
    (tmp_path / "keras.json").write_text(json.dumps(settings))
    # Keras 2 only looks into the home folder.
    (tmp_path / ".keras").mkdir()
    (tmp_path / ".keras" / "keras.json").write_text(json.dumps(settings))

    notes, shown = show_keras(KERAS_HOME=str(tmp_path), HOME=str(tmp_path))

    assert shown == (
        "tensorflow float32 channels_last 1e-07 float32 (None, 32, 32, 1)"
    )
    named = {name for name in changed if any(name in note for note in notes)}
    assert named == set(changed) - {"backend"}
    assert all(note.startswith("note: ") for note in notes)


def test_backend_of_other_projects_has_no_effect():
    notes, shown = show_keras(KERAS_BACKEND="jax")

    assert shown.startswith("tensorflow float32")
    assert notes == [
        "note: KERAS_BACKEND=jax has no effect here; segan-tf runs on "
        "tensorflow"
    ]


def test_other_backend_that_is_loaded_already_is_an_error():
    code = (
        "import keras; keras.backend.backend = lambda: 'jax'\n"
        "import segan_tf\n"
        "try: segan_tf.build_segan\n"
        "except segan_tf.UserError as error: print(error)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout == (
        "Keras was imported with the backend jax before; set "
        "KERAS_BACKEND=tensorflow before importing it.\n"
    )


def test_import_is_not_interrupted_by_the_garbage_collector():
    code = (
        "import gc; from segan_tf import startup\n"
        "before = gc.get_stats()[1]['collections']\n"
        "startup.import_tensorflow()\n"
        "print(gc.get_stats()[1]['collections'] - before, gc.isenabled())"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    collections, enabled = result.stdout.split()
    assert enabled == "True"
    assert int(collections) <= 2  # of the second generation; some 50 otherwise


def write_pairs(folder):
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    for number in range(4):
        image = np.full((24, 24, 3), 200 + number, np.uint8)
        mask = np.zeros((24, 24), np.uint8)
        mask[8:16, 4 * number : 12] = 255
        Image.fromarray(image).save(
            folder / "images" / f"l\xe9sion{number}.png"
        )
        Image.fromarray(mask).save(folder / "masks" / f"l\xe9sion{number}.png")


@pytest.mark.any_edition
def test_warnings_of_tensorflow_are_shown():
    code = (
        "from segan_tf import startup\n"
        "startup.import_tensorflow()\n"
        "import absl.logging, tensorflow as tf\n"
        "tf.get_logger().warning('of TensorFlow')\n"
        "absl.logging.warning('of Keras')"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert "of TensorFlow" in result.stderr
    assert "of Keras" in result.stderr
    assert "Logging error" not in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.any_edition
def test_names_that_the_locale_lacks_are_recorded_as_in_any_other(tmp_path):
    write_pairs(tmp_path / "donn\xe9es")
    narrow = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    command = [
        sys.executable,
        running.ROOT / "main.py",
        *("--mode=train", "--data_dir=donn\xe9es", "--model_dir=mod\xe8le"),
        *("--image_size=32", "--width=2", "--epochs=1", "--batch_size=1"),
    ]

    done = subprocess.run(
        command,
        env={**os.environ, **narrow},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        encoding="ascii",
        errors="surrogateescape",
    )

    assert done.returncode == 0, done.stderr
    # The output keeps the locale's encoding.
    assert "next: " in done.stdout
    assert "--model_dir=mod\\xe8le" in done.stdout
    run = tmp_path / "mod\xe8le"
    assert records.read(run / "flags.json")["flags"]["data_dir"] == "donn\xe9es"
    splits = records.read(run / "splits.json")
    assert "l\xe9sion0" in str(splits)


@pytest.mark.any_edition
@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&- <&-"])
def test_program_runs_without_standard_streams(closed, tmp_path):
    write_pairs(tmp_path / "pairs")
    program = shlex.join([sys.executable, str(running.ROOT / "main.py")])
    command = f"exec {program} --mode=check --data_dir=pairs {closed}"

    done = subprocess.run(
        ["sh", "-c", command],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )

    assert done.returncode == 0, done.stderr
    assert not list(tmp_path.glob("*.log"))
