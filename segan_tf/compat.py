"""Differences between Keras 3 and Keras 2.15, see docs/editions.md.

With Keras 2.15 (TensorFlow 2.15), tensorflow-addons provides what Keras lacks.
"""

import types
import warnings

import keras

from segan_tf import config


def find_addons() -> types.ModuleType | None:
    """Imports tensorflow-addons with Keras 2, which needs it.

    Returns:
      The package, or None with Keras 3, with which it cannot be imported.

    Raises:
      UserError: tensorflow-addons is needed and missing.
    """
    if hasattr(keras, "ops"):
        return None
    try:
        # It warns of its end of life, which docs/editions.md mentions.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import tensorflow_addons
    except ImportError as error:
        raise config.UserError(
            f"tensorflow-addons, which Keras {keras.__version__} needs for "
            f"--augment=strong and --optimizer=lamb, cannot be imported "
            f"({error}); install it with "
            "python -m pip install -r requirements-addons.txt"
        ) from error
    return tensorflow_addons


def reads_checkpoints_of(keras_version: str) -> bool:
    """Tells whether the installed Keras reads checkpoints of a version.

    Keras 2 and 3 name a model's parts differently in a checkpoint.
    """
    major, here = (
        v.partition(".")[0] for v in (keras_version, keras.__version__)
    )
    return major == here
