"""Opens models for inference: Keras, SavedModel and TFLite.

TensorFlow is imported for the first two only.
"""

import dataclasses
import os
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from segan_tf import labels as labels_lib
from segan_tf import run_dir, startup
from segan_tf.config import UserError, is_released
from segan_tf.imaging import numpy_preprocessing
from segan_tf.inference import tflite_model
from segan_tf.inference.backend import Backend
from segan_tf.models import pretrained

if TYPE_CHECKING:
    import keras

KERAS, AUTO = "keras", "auto"


def open_backend(
    model: "str | os.PathLike[str] | keras.Model",
    *,
    labels: labels_lib.Labels | None = None,
    runtime: str = KERAS,
) -> Backend:
    """Opens a model of any kind.

    Args:
      model: see `predictor.Predictor`.
      labels: of a Keras segmentor's channels; lesion by default.
      runtime: of a released model: "keras", or the quantization of one of its
        TFLite models.

    Raises:
      UserError: the model is of no known kind, or it is damaged.
    """
    if not isinstance(model, str | os.PathLike):
        named = labels or labels_lib.LESION
        return _keras_backends().open_keras(model, named, model.name)
    path = os.fspath(model)
    if is_released(path):
        release = pretrained.find(path)
        if runtime == KERAS:
            return _keras_backends().open_release(release)
        return _open_release(release, runtime)
    if os.path.isdir(path) and run_dir.has_flags(path):
        return _keras_backends().open_run(path)
    if os.path.isfile(os.path.join(path, "saved_model.pb")):
        return _keras_backends().open_saved_model(path)
    if os.path.isfile(path):
        return _open_tflite(path)
    raise UserError(
        f"--model ({path}) is neither a model_dir with a trained run, nor a "
        "SavedModel folder (<export_dir>/saved_model/<version>), nor a TFLite "
        "file; train first with --mode=train."
    )


def choose_runtime(model: str, wanted: str, *, needs_styles: bool) -> str:
    """Chooses what a released model runs in.

    That is its int8 TFLite model if it has one, the fastest.

    Args:
      model: a path, or the name of a released model.
      wanted: one of config.RUNTIMES.
      needs_styles: whether a style is given, which TFLite models do not take.

    Raises:
      UserError: the model is no released one, or has no such TFLite model.
    """
    if not is_released(model):
        if wanted != AUTO:
            raise UserError(
                f"--runtime={wanted} has no effect on {model}, only on "
                "released models; leave it out."
            )
        return KERAS
    available = pretrained.find(model).quantizations
    if wanted in (KERAS, *available):
        return wanted
    if wanted != AUTO:
        raise UserError(
            f"--runtime={wanted}: {model} runs in "
            f"{', '.join((KERAS, *available))}; give one of them."
        )
    return available[0] if available and not needs_styles else KERAS


def runs_in_tflite(model: str, runtime: str) -> bool:
    """Returns whether a model needs no TensorFlow."""
    return os.path.isfile(model) or (is_released(model) and runtime != KERAS)


def _keras_backends() -> ModuleType:
    startup.import_tensorflow()
    from segan_tf.inference import keras_backends

    return keras_backends


def _open_release(release: pretrained.Release, quantization: str) -> Backend:
    backend = _open_tflite(release.tflite_path(quantization))
    return dataclasses.replace(
        backend,
        description=f"{release.describe()}, {quantization}",
        decision=release.decision,
    )


def _open_tflite(path: str) -> Backend:
    try:
        model = tflite_model.TFLiteModel(path, num_threads=1)
    except ValueError as error:
        raise UserError(
            f"--model ({path}) is not a TFLite file of this program "
            f"({error}); export it again."
        ) from error

    def predict(
        image: np.ndarray, mixture: tuple[float, ...] = ()
    ) -> np.ndarray:
        resized = numpy_preprocessing.resize_image(image, *model.size)
        probability_map = model.segment(resized[None], mixture)[0]
        return numpy_preprocessing.resize_probability_map(
            probability_map, *image.shape[:2]
        )

    return Backend(
        model.labels,
        path,
        predict,
        decision=model.decision,
        styles=model.styles,
        styled_map=predict if model.styles.count else None,
    )
