"""The released model: a trained segmentor for skin lesions.

Its files are in this folder: weights for Keras (float16), TFLite models for
phones, decision.json with its expected Dice, and release.json, which records
how the segmentor is built, the names of its labels, how it was trained, and the
SHA-256 of each file.
docs/model_card.md describes what it can and cannot do.
"""

import hashlib
import io
import os
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from segan_tf import decision, files, records
from segan_tf import labels as labels_lib
from segan_tf.config import MODEL_FIELDS, Config, UserError, renamed
from segan_tf.models import restore, weights

WEIGHTS = "weights.npz"
QUANTIZATIONS = ("float16", "int8")  # of the TFLite models

_FOLDER = os.path.dirname(os.path.abspath(__file__))
_RELEASE = "release.json"


def load(folder: str = _FOLDER) -> keras.Model:
    """Builds the released segmentor with its trained weights.

    Args:
      folder: folder of the release; by default the package's own.

    Returns:
      A functional model ``segmentor``: image float32 [batch, image_size,
      image_size, 3], normalized by `preprocessing.normalize` -> float32
      [batch, image_size, image_size, labels] in [0, 1].

    Raises:
      UserError: a file is missing or has changed since the release.
    """
    segmentor = restore.build_segmentor(read_config(folder))
    arrays = np.load(io.BytesIO(_read(folder, WEIGHTS)), allow_pickle=False)
    for name, weight in weights.named_weights(segmentor).items():
        weight.assign(arrays[name])
    return segmentor


def tflite_path(quantization: str, folder: str = _FOLDER) -> str:
    """Finds a TFLite model of the release and checks its SHA-256.

    Args:
      quantization: one of QUANTIZATIONS.
      folder: folder of the release.

    Raises:
      UserError: the file is missing or has changed since the release.
    """
    name = f"segan_{quantization}.tflite"
    _read(folder, name)
    return os.path.join(folder, name)


def read_config(folder: str = _FOLDER) -> Config:
    """Reads the configuration of the released segmentor."""
    return Config(**read_model(folder))


def read_model(folder: str = _FOLDER) -> dict:
    """Reads the released segmentor's values of MODEL_FIELDS."""
    return renamed(_read_release(folder)["model"])


def read_labels(folder: str = _FOLDER) -> labels_lib.Labels:
    """Reads the labels of the released segmentor."""
    return labels_lib.described(_read_release(folder))


def read_step(folder: str = _FOLDER) -> int:
    """Reads the step that the released weights are from."""
    return _read_release(folder)["made_by"]["step"]


def read_parity(folder: str = _FOLDER) -> dict[str, Any]:
    """Reads how the released TFLite models compare with Keras.

    Returns:
      "images" and "source" of the comparison, and "dice" by "keras" and by
      quantization.
    """
    return _read_release(folder)["parity"]


def read_decision(folder: str = _FOLDER) -> decision.Decision:
    """Reads the decision of the released segmentor, with its expected Dice."""
    return decision.read(folder)


def describe(folder: str = _FOLDER) -> str:
    """Returns the release's name and the SHA-256 of its weights."""
    release = _read_release(folder)
    digest = release["sha256"][WEIGHTS]
    return f"{release['name']} (SHA-256 {digest[:12]})"


def write(
    segmentor: keras.Model,
    *,
    config: Config,
    labels: labels_lib.Labels,
    name: str,
    tflite: dict[str, bytes],
    parity: dict,
    made_by: dict,
    folder: str = _FOLDER,
) -> None:
    """Writes a release.

    Kernels of convolutions are rounded to float16; the few vectors of batch
    normalization, whose range is wider, stay in float32.

    Args:
      segmentor: the trained model.
      config: the configuration it was trained with.
      labels: labels of its channels.
      name: name of the release.
      tflite: quantization -> content of the TFLite file.
      parity: see `read_parity`.
      made_by: record of the runs' commands, versions, commits and dates.
      folder: folder of the release.
    """
    arrays = io.BytesIO()
    named: dict[str, Any] = {
        name: _small(weight)
        for name, weight in weights.named_weights(segmentor).items()
    }
    np.savez_compressed(arrays, **named)
    content = {WEIGHTS: arrays.getvalue()}
    for quantization in QUANTIZATIONS:
        content[f"segan_{quantization}.tflite"] = tflite[quantization]
    os.makedirs(folder, exist_ok=True)
    for file_name, data in content.items():
        files.write_bytes(os.path.join(folder, file_name), data)
    release = {
        "name": name,
        "model": {field: getattr(config, field) for field in MODEL_FIELDS},
        **labels_lib.description(labels),
        "sha256": {
            file_name: hashlib.sha256(data).hexdigest()
            for file_name, data in content.items()
        },
        "parity": parity,
        "made_by": made_by,
    }
    records.write(os.path.join(folder, _RELEASE), release)


def _small(weight: tf.Variable) -> np.ndarray:
    value = weight.numpy()
    return value.astype(np.float16) if value.ndim > 1 else value


def _read_release(folder: str) -> dict:
    try:
        return records.read(os.path.join(folder, _RELEASE))
    except records.NewerFormatError:
        raise
    except (OSError, ValueError) as error:
        raise _damaged(folder, _RELEASE) from error


def _read(folder: str, name: str) -> bytes:
    """Reads a file of the release and checks its SHA-256."""
    try:
        with open(os.path.join(folder, name), "rb") as file:
            data = file.read()
    except OSError as error:
        raise _damaged(folder, name) from error
    expected = _read_release(folder)["sha256"].get(name)
    if hashlib.sha256(data).hexdigest() != expected:
        raise _damaged(folder, name)
    return data


def _damaged(folder: str, name: str) -> UserError:
    return UserError(
        f"the released model: {os.path.join(folder, name)} is missing or is "
        "not the file that was released; install segan_tf again."
    )
