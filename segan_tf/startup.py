"""Imports TensorFlow quietly, with a clear error if it is not installed."""

import os

from segan_tf import console
from segan_tf.errors import UserError

# TensorFlow's log lines are of no use here. oneDNN's kernels are off by default
# on processors without AVX-512, where they still make a train step about 1.5
# times as fast.
_ENVIRONMENT = {"TF_CPP_MIN_LOG_LEVEL": "2", "TF_ENABLE_ONEDNN_OPTS": "1"}


def set_environment() -> None:
    """Sets TensorFlow's environment variables, unless the user has."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)


def import_tensorflow() -> None:
    """Imports TensorFlow without what it prints about oneDNN.

    Raises:
      UserError: it is not installed.
    """
    set_environment()
    try:
        with console.capture_output():
            import tensorflow  # noqa: F401
    except ModuleNotFoundError as error:
        raise UserError(
            f"TensorFlow cannot be imported ({error}); install it with "
            "python -m pip install -r requirements.txt"
        ) from error
