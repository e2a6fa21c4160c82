"""The one place that asks which edition of the packages is installed.

The newest stack has Keras 3; the edition for TensorFlow 2.15 has Keras 2 and
tensorflow-addons, see docs/editions.md.
"""

import types
import warnings

import keras

from segan_tf import config


def find_addons() -> types.ModuleType | None:
    """Finds tensorflow-addons where Keras does not do its work itself.

    Returns:
      The package, or None with Keras 3: there Addons, even if it lies beside,
      cannot be imported.

    Raises:
      UserError: Keras is 2 and there are no Addons.
    """
    if hasattr(keras, "ops"):
        return None
    try:
        # It warns of its end of life, which docs/editions.md tells.
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
    """Says whether the Keras installed keeps weights as that one does.

    Keras 2 and 3 give a model's parts other names in a checkpoint.
    """
    major, here = (
        v.partition(".")[0] for v in (keras_version, keras.__version__)
    )
    return major == here
