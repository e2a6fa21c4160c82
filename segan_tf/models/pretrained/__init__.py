"""The released model: a segmentor for skin lesions, ready to use.

Its files are in this folder: weights for Keras (float16), TFLite models for
phones, and release.json, which says how the segmentor is built, what its labels
are called, how it was trained, and the SHA-256 of each file. docs/model_card.md
tells what it can and cannot do.
"""

import hashlib
import io
import os

import keras
import numpy as np

from segan_tf import files, records
from segan_tf import labels as labels_lib
from segan_tf.config import MODEL_FIELDS, Config, UserError, renamed
from segan_tf.models import restore, weights

VERSION = 1  # what a server calls the first release
WEIGHTS = "weights.npz"
QUANTIZATIONS = ("float16", "int8")  # of the TFLite models

_FOLDER = os.path.dirname(os.path.abspath(__file__))
_RELEASE = "release.json"


def load(folder: str = _FOLDER) -> keras.Model:
    """Builds the released segmentor with its trained weights.

    Args:
      folder: of the release; the package's own by default.

    Returns:
      A functional model ``segmentor``: image float32 [batch, image_size,
      image_size, 3], normalized by `preprocessing.normalize` -> float32
      [batch, image_size, image_size, labels] in [0, 1].

    Raises:
      UserError: a file is missing or is not what it was when it was released.
    """
    segmentor = restore.build_segmentor(read_config(folder))
    arrays = np.load(io.BytesIO(_read(folder, WEIGHTS)), allow_pickle=False)
    for name, weight in weights.named_weights(segmentor).items():
        weight.assign(arrays[name])
    return segmentor


def tflite_path(quantization: str, folder: str = _FOLDER) -> str:
    """Finds a TFLite model of the release, and checks it.

    Args:
      quantization: one of QUANTIZATIONS.
      folder: of the release.

    Raises:
      UserError: it is missing or is not what it was when it was released.
    """
    name = f"segan_{quantization}.tflite"
    _read(folder, name)
    return os.path.join(folder, name)


def read_config(folder: str = _FOLDER) -> Config:
    """Reads how the released segmentor is built."""
    return Config(**read_model(folder))


def read_model(folder: str = _FOLDER) -> dict:
    """Reads the values of MODEL_FIELDS."""
    return renamed(_read_release(folder)["model"])


def read_labels(folder: str = _FOLDER) -> labels_lib.Labels:
    """Reads what the labels of the released segmentor are called."""
    return labels_lib.described(_read_release(folder))


def describe(folder: str = _FOLDER) -> str:
    """Names the release and its weights."""
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
    made_by: dict,
    folder: str = _FOLDER,
) -> None:
    """Writes a release.

    Convolutions' kernels are rounded to float16; the few vectors of batch
    normalization, whose range is wider, stay in float32.

    Args:
      segmentor: as trained.
      config: the configuration that it was trained with.
      labels: of its channels.
      name: what the release is called.
      tflite: quantization -> the file's content.
      made_by: recorded: the runs' commands, versions, commits, dates.
      folder: of the release.
    """
    arrays = io.BytesIO()
    np.savez_compressed(
        arrays,
        **{n: _small(w) for n, w in weights.named_weights(segmentor).items()},
    )
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
        "made_by": made_by,
    }
    records.write(os.path.join(folder, _RELEASE), release)


def _small(weight) -> np.ndarray:
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
    """Reads a file of the release, if it is the one that was released."""
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
