"""Imports TensorFlow quietly, and Keras with the settings of this program."""

import contextlib
import gc
import importlib
import logging
import os
import sys
from collections.abc import Iterator

from segan_tf import console
from segan_tf.errors import UserError

# TensorFlow's log lines are of no use here. oneDNN's kernels are off by default
# on processors without AVX-512, where they still make a train step about 1.5
# times as fast.
_DEFAULTS = {"TF_CPP_MIN_LOG_LEVEL": "2", "TF_ENABLE_ONEDNN_OPTS": "1"}
_BACKEND = "tensorflow"
# What Keras reads from keras.json, where another project may have set it. It
# would change the arithmetic or the order of channels in a quiet way.
_KERAS_SETTINGS = {
    "floatx": "float32",
    "epsilon": 1e-7,
    "image_data_format": "channels_last",
}


def use_utf8_names() -> None:
    """Starts the program again in UTF-8 mode if the locale is another one.

    The names of files are UTF-8 in practice, and so are the files of a run;
    in a narrower locale neither could be given to the system. Output keeps the
    locale's encoding.
    """
    if sys.getfilesystemencoding() == "utf-8":
        return
    if sys.stdout is not None:
        os.environ.setdefault("PYTHONIOENCODING", sys.stdout.encoding)
    os.environ["PYTHONUTF8"] = "1"
    os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])


def set_environment() -> None:
    """Sets the environment variables of TensorFlow and Keras.

    Those of TensorFlow are only set if the user has not.
    """
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)
    backend = os.environ.get("KERAS_BACKEND", _BACKEND)
    if backend != _BACKEND:
        console.say(
            f"note: KERAS_BACKEND={backend} has no effect here; segan-tf runs "
            f"on {_BACKEND}"
        )
    os.environ["KERAS_BACKEND"] = _BACKEND


def import_tensorflow() -> None:
    """Imports TensorFlow without what it prints about oneDNN; sets up Keras.

    Raises:
      UserError: it is not installed, or Keras runs on another backend already.
    """
    set_environment()
    try:
        with console.capture_output(), _without_garbage_collection():
            for name in ("tensorflow", "keras"):
                importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise UserError(
            f"TensorFlow cannot be imported ({error}); install it with pip "
            'install "segan-tf[cpu]" or, in a checkout, with '
            "python -m pip install -r requirements.txt"
        ) from error
    _reconnect_logs()
    _set_up_keras()


def _reconnect_logs() -> None:
    """Has loggers that came with TensorFlow write to standard error.

    They keep the stream of their import, which is closed by now: a warning
    would end in an error of Python's logging.
    """
    for name in ("tensorflow", "absl"):
        for handler in logging.getLogger(name).handlers:
            inner = getattr(handler, "python_handler", handler)  # of absl
            if isinstance(inner, logging.StreamHandler):
                inner.stream = sys.stderr  # setStream would flush the old one


@contextlib.contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Pauses the garbage collector, which takes a fifth of an import's time.

    Nearly all of the half million objects that an import makes are kept.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _set_up_keras() -> None:
    """Replaces what keras.json sets, with a note."""
    from keras import backend

    if backend.backend() != _BACKEND:
        raise UserError(
            f"Keras was imported with the backend {backend.backend()} before; "
            f"set KERAS_BACKEND={_BACKEND} before importing it."
        )
    for name, value in _KERAS_SETTINGS.items():
        found = getattr(backend, name)()
        if found != value:
            console.say(
                f"note: {name} {found} of Keras' settings (keras.json) has no "
                f"effect here; segan-tf uses {value}"
            )
            getattr(backend, f"set_{name}")(value)
