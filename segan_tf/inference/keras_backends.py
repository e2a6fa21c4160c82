"""Opens models that need TensorFlow for inference: Keras and SavedModel."""

import dataclasses
import json
import os
from collections.abc import Iterable

import keras
import numpy as np
import tensorflow as tf

from segan_tf import decision as decision_lib
from segan_tf import files, run_dir
from segan_tf import labels as labels_lib
from segan_tf import styles as styles_lib
from segan_tf.config import UserError
from segan_tf.imaging import preprocessing
from segan_tf.inference import saved_model_check, signatures
from segan_tf.inference.backend import Backend
from segan_tf.models import blocks, pretrained, restore

_ASSETS = "assets.extra"
_LABELS_PATH = os.path.join(_ASSETS, labels_lib.FILE_NAME)


def open_release(release: pretrained.Release) -> Backend:
    """Opens the Keras segmentor of a released model."""
    restored = release.load()
    backend = open_keras(
        restored.segmentor,
        release.labels,
        restored.path,
        styles=restored.styles,
    )
    return dataclasses.replace(backend, decision=release.decision)


def open_run(path: str) -> Backend:
    """Opens the segmentor of a run."""
    config = run_dir.read_flags(path)
    restored = restore.load(config)
    backend = open_keras(
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


def open_keras(
    segmentor: keras.Model,
    labels: labels_lib.Labels,
    description: str,
    *,
    styles: styles_lib.Styles = styles_lib.PLAIN,
) -> Backend:
    """Opens a Keras segmentor, which takes normalized images."""
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


def open_saved_model(path: str) -> Backend:
    """Opens an exported SavedModel.

    Raises:
      UserError: it is damaged, or it has other operators or signatures.
    """
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
