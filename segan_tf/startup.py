"""Starts TensorFlow: quietly, and with a clear error where it is missing."""

import os

from segan_tf import console
from segan_tf.errors import UserError

# Its own log lines are not the user's; and oneDNN's kernels are off by default
# on processors without AVX-512, where they still make a train step about half
# as fast again.
_ENVIRONMENT = {"TF_CPP_MIN_LOG_LEVEL": "2", "TF_ENABLE_ONEDNN_OPTS": "1"}


def set_environment() -> None:
    """Sets what TensorFlow reads when it is imported, unless the user has."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)


def import_tensorflow() -> None:
    """Imports TensorFlow, which prints about oneDNN whatever the log level.

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
