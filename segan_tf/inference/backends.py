"""Opens models for inference: Keras, SavedModel and TFLite."""

import dataclasses
import json
import os
from collections.abc import Callable, Iterable

import keras
import numpy as np
import tensorflow as tf

from segan_tf import files, run_dir
from segan_tf import labels as labels_lib
from segan_tf.config import PRETRAINED, UserError
from segan_tf.imaging import preprocessing
from segan_tf.inference import (
    saved_model_check,
    signatures,
    tflite_model,
)
from segan_tf.models import pretrained, restore

_LABELS_PATH = os.path.join("assets.extra", labels_lib.FILE_NAME)


@dataclasses.dataclass(frozen=True)
class Backend:
    """A model of any kind as a function of the image.

    Attributes:
      labels: of the channels of its maps.
      description: the file or release that was opened, for the log.
      probability_map: uint8 [height, width, 3] RGB -> float32 [height, width,
        labels] in [0, 1].
      flip: the flips that it was trained with. Exported models do not say;
        those of one label count as trained with both.
    """

    labels: labels_lib.Labels
    description: str
    probability_map: Callable[[np.ndarray], np.ndarray]
    flip: str = ""

    def __post_init__(self) -> None:
        if not self.flip:
            flip = "both" if self.labels.count == 1 else "none"
            object.__setattr__(self, "flip", flip)


def open_backend(
    model: str | os.PathLike[str] | keras.Model,
    *,
    labels: labels_lib.Labels | None = None,
) -> Backend:
    """Opens a model of any kind.

    Args:
      model: see `predictor.Predictor`.
      labels: of a Keras segmentor's channels; lesion by default.

    Raises:
      UserError: the model is of no known kind, or it is damaged.
    """
    if isinstance(model, keras.Model):
        return _open_keras(model, labels or labels_lib.LESION, model.name)
    path = os.fspath(model)
    if path == PRETRAINED:
        return _open_keras(
            pretrained.load(), pretrained.read_labels(), pretrained.describe()
        )
    if os.path.isdir(path) and run_dir.has_flags(path):
        config = run_dir.read_flags(path)
        restored = restore.load(config)
        backend = _open_keras(
            restored.segmentor, run_dir.read_labels(config), restored.path
        )
        return dataclasses.replace(backend, flip=config.resolved_flip)
    if os.path.isfile(os.path.join(path, "saved_model.pb")):
        return _open_saved_model(path)
    if os.path.isfile(path):
        return _open_tflite(path)
    raise UserError(
        f"--model ({path}) is neither a model_dir with a trained run, nor a "
        "SavedModel folder (<export_dir>/saved_model/<step>), nor a TFLite "
        "file; train first with --mode=train."
    )


def _open_keras(
    segmentor: keras.Model, labels: labels_lib.Labels, description: str
) -> Backend:
    _, size, *_ = segmentor.input_shape

    @tf.function(input_signature=[tf.TensorSpec((None, None, 3), tf.uint8)])
    def segment(image: tf.Tensor) -> tf.Tensor:
        height, width = tf.unstack(tf.shape(image)[:2])
        batch = preprocessing.resize_image(image[None], size, size)
        probability = segmentor(preprocessing.normalize(batch), training=False)
        maps = preprocessing.resize_probability_map(probability, height, width)
        return maps[0]

    return Backend(labels, description, lambda image: segment(image).numpy())


def _open_saved_model(path: str) -> Backend:
    saved_model_check.check_operators(path)
    try:
        loaded = tf.saved_model.load(files.without_patterns(path))
        _check_name("signature", loaded.signatures, signatures.PROBABILITIES)
        segment = loaded.signatures[signatures.PROBABILITIES]
        _, inputs = segment.structured_input_signature
        _check_name("input", inputs, signatures.IMAGES)
        _check_name(
            "output", segment.structured_outputs, signatures.PROBABILITY_MAP
        )
    # A damaged file may raise anything; TensorFlow says which file it is.
    except Exception as error:
        raise UserError(
            f"--model ({path}) cannot be loaded as a SavedModel "
            f"({_first_line(error)}); export it again."
        ) from error
    count = segment.structured_outputs[signatures.PROBABILITY_MAP].shape[-1]

    # `kept`: the signature is deleted with the object that it was loaded from.
    def predict(image: np.ndarray, kept: object = loaded) -> np.ndarray:
        outputs = segment(**{signatures.IMAGES: tf.constant(image[None])})
        return outputs[signatures.PROBABILITY_MAP].numpy()[0]

    labels = _read_exported_labels(os.path.join(path, _LABELS_PATH), count)
    return Backend(labels, path, predict)


def _open_tflite(path: str) -> Backend:
    try:
        model = tflite_model.TFLiteModel(path)
    except ValueError as error:
        raise UserError(
            f"--model ({path}) is not a TFLite file of this program "
            f"({error}); export it again."
        ) from error

    def predict(image: np.ndarray) -> np.ndarray:
        batch = preprocessing.resize_image(image[None], *model.size)
        probability = model.segment(batch.numpy())
        height, width = image.shape[:2]
        maps = preprocessing.resize_probability_map(probability, height, width)
        return maps[0].numpy()

    return Backend(model.labels, path, predict)


def _read_exported_labels(path: str, count: int) -> labels_lib.Labels:
    """Reads the names of an exported model's labels.

    Raises:
      UserError: there are several, and the file does not name them.
    """
    try:
        with open(path, encoding="utf-8") as file:
            labels = labels_lib.described(json.load(file))
        if labels.count != count:
            raise ValueError(f"it names {labels.count} labels, not {count}")
        return labels
    except FileNotFoundError as error:
        if count == 1:  # one label needs no name
            return labels_lib.LESION
        reason = error.strerror
    except (OSError, ValueError, KeyError, TypeError, UserError) as error:
        reason = _first_line(error)
    raise UserError(
        f"--model: {path}, which names the {count} label(s) of the model, "
        f"cannot be used ({reason}); export it again."
    )


def _check_name(what: str, names: Iterable[str], expected: str) -> None:
    if expected not in names:
        raise ValueError(f"its {what} is {', '.join(names)}, not {expected}")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
