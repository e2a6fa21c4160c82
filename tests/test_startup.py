"""Tests of how Keras is set up, whatever other projects left behind."""

import json
import os
import subprocess
import sys

import pytest

_SHOW = """
import segan_tf
from segan_tf import startup
startup.import_tensorflow()
from keras import backend
model = segan_tf.build_segan(image_size=32, width=2, num_labels=1)
print(backend.backend(), backend.floatx(), backend.image_data_format(),
      backend.epsilon(), model.output.dtype, tuple(model.output.shape))
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
