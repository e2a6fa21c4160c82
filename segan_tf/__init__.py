"""SegAN: adversarial medical image segmentation with TensorFlow and Keras.

The names below are imported when they are first used, since TensorFlow takes
seconds to start.

>>> import segan_tf
>>> prediction = segan_tf.Predictor.from_pretrained()("lesion.jpg")
>>> segan_tf.train(segan_tf.Config(data_dir="isic2017", model_dir="runs/isic"))
"""

import importlib
import importlib.util
import os
from typing import TYPE_CHECKING, Any

from segan_tf.version import VERSION

__version__ = VERSION

# Name -> the module that defines it, or is it.
_PUBLIC = {
    "Config": "segan_tf.config",
    "UserError": "segan_tf.errors",
    "Predictor": "segan_tf.inference.predictor",
    "build_critic": "segan_tf.models.critic",
    "build_efficientnet_lite0": "segan_tf.models.efficientnet",
    "build_efficientnet_lite1": "segan_tf.models.efficientnet",
    "build_efficientnet_lite2": "segan_tf.models.efficientnet",
    "build_segan": "segan_tf.models.segan",
    "calibrate": "segan_tf.evaluation.calibrate",
    "check": "segan_tf.datasets.loading",
    "convert": "segan_tf.input.conversion",
    "evaluate": "segan_tf.evaluation.evaluate",
    "losses": "segan_tf.losses",
    "metrics": "segan_tf.metrics",
    "predict": "segan_tf.inference.prediction",
    "train": "segan_tf.training.train",
}
# Names that build or run Keras models; train, Predictor and others set Keras up
# on their own.
_KERAS = (
    "build_critic",
    "build_efficientnet_lite0",
    "build_efficientnet_lite1",
    "build_efficientnet_lite2",
    "build_segan",
    "losses",
    "metrics",
)
__all__ = sorted([*_PUBLIC, "export", "load_pretrained"])

if TYPE_CHECKING:
    from segan_tf import losses as losses
    from segan_tf import metrics as metrics
    from segan_tf.config import Config as Config
    from segan_tf.datasets.loading import check as check
    from segan_tf.errors import UserError as UserError
    from segan_tf.evaluation.calibrate import calibrate as calibrate
    from segan_tf.evaluation.evaluate import evaluate as evaluate
    from segan_tf.inference.prediction import predict as predict
    from segan_tf.inference.predictor import Predictor as Predictor
    from segan_tf.input.conversion import convert as convert
    from segan_tf.models.critic import build_critic as build_critic
    from segan_tf.models.efficientnet import (
        build_efficientnet_lite0 as build_efficientnet_lite0,
    )
    from segan_tf.models.efficientnet import (
        build_efficientnet_lite1 as build_efficientnet_lite1,
    )
    from segan_tf.models.efficientnet import (
        build_efficientnet_lite2 as build_efficientnet_lite2,
    )
    from segan_tf.models.segan import build_segan as build_segan
    from segan_tf.training.train import train as train


def load_pretrained() -> Any:
    """Loads the released segmentor as a Keras model.

    Its input must be normalized with `imaging.preprocessing.normalize`;
    `Predictor.from_pretrained` takes images as they are.

    Returns:
      A Keras model: image float32 [batch, image_size, image_size, 3],
      normalized -> float32 [batch, image_size, image_size, 1] in [0, 1].
    """
    from segan_tf import startup

    startup.import_tensorflow()
    from segan_tf.models import pretrained

    return pretrained.find().load_segmentor()


def export(config: "Config") -> Any:
    """Exports SavedModel and TFLite models; see export/export.py.

    Args:
      config: the settings that are given replace those of the run.

    Returns:
      A ParityReport: how each model compares with the Keras model.
    """
    # A checkout has export/ next to this package, an installation inside it.
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    found = importlib.util.find_spec("export")
    checkout = os.path.join(root, "export", "__init__.py")
    if found is not None and found.origin == checkout:
        name = "export.export"
    else:
        name = "segan_tf.exporting.export"
    return importlib.import_module(name).export(config)


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name in _KERAS:
        importlib.import_module("segan_tf.startup").import_tensorflow()
    module = importlib.import_module(_PUBLIC[name])
    value = module
    if _PUBLIC[name] != f"{__name__}.{name}":
        value = getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
