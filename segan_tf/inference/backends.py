"""Opens models for inference: Keras, SavedModel and TFLite."""

import dataclasses
import json
import os
from collections.abc import Callable, Iterable

import keras
import numpy as np
import tensorflow as tf

from segan_tf import decision as decision_lib
from segan_tf import files, run_dir
from segan_tf import labels as labels_lib
from segan_tf import styles as styles_lib
from segan_tf.config import UserError, is_released
from segan_tf.imaging import preprocessing
from segan_tf.inference import (
    saved_model_check,
    signatures,
    tflite_model,
)
from segan_tf.models import blocks, pretrained, restore

_ASSETS = "assets.extra"
_LABELS_PATH = os.path.join(_ASSETS, labels_lib.FILE_NAME)


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
      decision: that its maps are made with, unless another is given.
      styles: that it can draw in.
      styled_map: like `probability_map`, which draws in the mean style, with
        the weight of each style; None for a model without styles.
    """

    labels: labels_lib.Labels
    description: str
    probability_map: Callable[[np.ndarray], np.ndarray]
    flip: str = ""
    decision: decision_lib.Decision = decision_lib.DEFAULT
    styles: styles_lib.Styles = styles_lib.PLAIN
    styled_map: Callable[[np.ndarray, tuple[float, ...]], np.ndarray] | None = (
        None
    )

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
    if is_released(path):
        release = pretrained.find(path)
        restored = release.load()
        backend = _open_keras(
            restored.segmentor,
            release.labels,
            restored.path,
            styles=restored.styles,
        )
        return dataclasses.replace(backend, decision=release.decision)
    if os.path.isdir(path) and run_dir.has_flags(path):
        config = run_dir.read_flags(path)
        restored = restore.load(config)
        backend = _open_keras(
            restored.segmentor,
            run_dir.read_labels(config),
            restored.path,
            styles=restored.styles,
        )
        return dataclasses.replace(
            backend,
            flip=config.resolved_flip,
            decision=decision_lib.read(path),
        )
    if os.path.isfile(os.path.join(path, "saved_model.pb")):
        return _open_saved_model(path)
    if os.path.isfile(path):
        return _open_tflite(path)
    raise UserError(
        f"--model ({path}) is neither a model_dir with a trained run, nor a "
        "SavedModel folder (<export_dir>/saved_model/<version>), nor a TFLite "
        "file; train first with --mode=train."
    )


def _open_keras(
    segmentor: keras.Model,
    labels: labels_lib.Labels,
    description: str,
    *,
    styles: styles_lib.Styles = styles_lib.PLAIN,
) -> Backend:
    _, size, *_ = segmentor.inputs[0].shape

    @tf.function(
        input_signature=[
            tf.TensorSpec((None, None, 3), tf.uint8),
            tf.TensorSpec((styles.count,), tf.float32),
        ]
    )
    def segment(image: tf.Tensor, style: tf.Tensor) -> tf.Tensor:
        height, width = tf.unstack(tf.shape(image)[:2])
        batch = preprocessing.resize_image(image[None], size, size)
        inputs = blocks.with_style(
            preprocessing.normalize(batch),
            style[None] if styles.count else None,
        )
        probability = segmentor(inputs, training=False)
        maps = preprocessing.resize_probability_map(probability, height, width)
        return maps[0]

    def styled_map(image: np.ndarray, mixture: tuple[float, ...]) -> np.ndarray:
        return segment(image, tf.constant(mixture, tf.float32)).numpy()

    return Backend(
        labels,
        description,
        lambda image: styled_map(image, styles.mean),
        styles=styles,
        styled_map=styled_map if styles.count else None,
    )


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

    styles = styles_lib.read(os.path.join(path, _ASSETS)).styles

    # `kept`: the signature is deleted with the object that it was loaded from.
    def predict(
        image: np.ndarray,
        mixture: tuple[float, ...] = styles.mean,
        kept: object = loaded,
    ) -> np.ndarray:
        named = _find_signature(styles, mixture, path)
        outputs = loaded.signatures[named](
            **{signatures.IMAGES: tf.constant(image[None])}
        )
        return outputs[signatures.PROBABILITY_MAP].numpy()[0]

    labels = _read_exported_labels(os.path.join(path, _LABELS_PATH), count)
    decision = decision_lib.read(os.path.join(path, _ASSETS))
    return Backend(
        labels,
        path,
        predict,
        decision=decision,
        styles=styles,
        styled_map=predict if styles.count else None,
    )


def _find_signature(
    styles: styles_lib.Styles, mixture: tuple[float, ...], path: str
) -> str:
    """Names the signature of a SavedModel that draws in a style.

    Raises:
      UserError: it has none for several styles together.
    """
    if mixture == styles.mean:
        return signatures.PROBABILITIES
    for name in styles.names:
        if styles.mixture(name) == mixture:
            return signatures.in_style(signatures.PROBABILITIES, name)
    raise UserError(
        f"--model ({path}) draws in one of {', '.join(styles.names)}, or in "
        "their mean, not in several; give the model_dir of its run."
    )


def _open_tflite(path: str) -> Backend:
    try:
        model = tflite_model.TFLiteModel(path)
    except ValueError as error:
        raise UserError(
            f"--model ({path}) is not a TFLite file of this program "
            f"({error}); export it again."
        ) from error

    def predict(
        image: np.ndarray, mixture: tuple[float, ...] = ()
    ) -> np.ndarray:
        batch = preprocessing.resize_image(image[None], *model.size)
        probability = model.segment(batch.numpy(), mixture)
        height, width = image.shape[:2]
        maps = preprocessing.resize_probability_map(probability, height, width)
        return maps[0].numpy()

    return Backend(
        model.labels,
        path,
        predict,
        decision=model.decision,
        styles=model.styles,
        styled_map=predict if model.styles.count else None,
    )


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
