"""Proves that what is exported computes what Keras computes, then hands it out.

The proofs run where the models will run: TensorFlow's C++ loader for the
SavedModel, the LiteRT interpreter for TFLite, both on the CPU.
"""

import hashlib
import os
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from segan_tf import files, labels
from segan_tf.data import preprocessing

from . import c_loader, quiet, saved_model, serving_check, staging, tflite

# Largest absolute differences allowed in a probability. The loader runs the
# same kernels, but folds and fuses; LiteRT has kernels of its own.
SAVED_MODEL_LIMIT = 1e-5
TFLITE_LIMIT = 1e-4

TFLITE_NAME = "segan_none.tflite"
RECORD_NAME = "export.json"

_OUTPUT = "probability_map"
_CHUNK_BYTES = 1 << 20


class ParityError(RuntimeError):
    """An exported model does not compute what Keras computes."""


def check_saved_model(
    segmentor: keras.Model,
    path: str,
    images: Sequence[np.ndarray],
    *,
    labels: labels.Labels,
) -> float:
    """Compares a SavedModel, run by the C++ loader, with Keras.

    For `probabilities` the pictures are batched by size; if all have one
    size, a corner of the first is added as a second size. For
    `serving_default` see `serving_check.check_label_maps`.

    Args:
      segmentor: whose weights the SavedModel should hold.
      path: the folder of the version.
      images: at least one, each uint8 [height, width, 3] RGB.
      labels: of the segmentor's channels.

    Returns:
      The largest absolute difference between two probabilities.

    Raises:
      ParityError: the shapes or dtypes differ.
      CSessionError: the loader cannot load or run it.
    """
    _refuse_no_images(images)
    differences = []
    pictures, probability_maps = [], []
    with quiet.silenced(), c_loader.CSession(path) as session:
        for batch in _batches_of_two_sizes(images):
            answer = session.run(saved_model.PROBABILITIES, {"images": batch})
            expected = _expected_probability_map(segmentor, batch)
            differences.append(_difference(path, expected, answer[_OUTPUT]))
            pictures.extend(batch)
            probability_maps.extend(expected)
    differences.append(
        serving_check.check_label_maps(
            path, pictures, probability_maps, labels=labels
        )
    )
    return _largest(differences)


def check_tflite(
    segmentor: keras.Model, path: str, images: Sequence[np.ndarray]
) -> float:
    """Compares a TFLite model, run by the LiteRT interpreter, with Keras.

    Args:
      segmentor: whose weights the model should hold.
      path: of the file.
      images: at least one, each uint8 [height, width, 3] RGB, of any size.

    Returns:
      The largest absolute difference between two probabilities.

    Raises:
      ParityError: the shapes or dtypes differ.
    """
    from ai_edge_litert import interpreter as litert

    _refuse_no_images(images)
    _, height, width, _ = segmentor.input_shape
    differences = []
    with quiet.silenced():
        interpreter = litert.Interpreter(model_path=path)
        run = interpreter.get_signature_runner(saved_model.SIGNATURE)
        for image in images:
            resized = preprocessing.resize_image(image, height, width)[None]
            answer = run(image=resized.numpy())
            expected = _segment_on_cpu(segmentor, resized)
            differences.append(_difference(path, expected, answer[_OUTPUT]))
    return _largest(differences)


def export_all(
    segmentor: keras.Model,
    *,
    export_dir: str,
    version: int,
    images: Sequence[np.ndarray],
    labels: labels.Labels,
) -> dict:
    """Exports for servers and phones, proves both, then hands both out.

    Everything is written and proved in a hidden folder. Only when both proofs
    hold do `saved_model/<version>/`, `segan_none.tflite` and `export.json`
    appear in `export_dir`; otherwise it stays as it was.

    Args:
      segmentor: float32 [batch, size, size, 3], normalised -> float32 [batch,
        size, size, labels] in [0, 1].
      export_dir: made if missing.
      version: a non-negative integer.
      images: for the proofs: a handful of uint8 [height, width, 3] RGB.
      labels: of the segmentor's channels.

    Returns:
      What export.json holds: for each artefact its path within `export_dir`,
      largest difference, limit, and the size and SHA-256 of every file.

    Raises:
      UserError: the version exists, or `export_dir` cannot be written.
      ParityError: an artefact differs from Keras beyond its limit.
      CSessionError: the C++ loader cannot load or run the SavedModel.
      ConversionError: the TFLite model needs more than builtin operators.
    """
    saved_model.refuse_existing_version(export_dir, version)
    with staging.hidden_folder(export_dir) as folder:
        served = saved_model.export_saved_model(
            segmentor, folder, version, labels=labels
        )
        served_difference = check_saved_model(
            segmentor, served, images, labels=labels
        )
        refuse_difference("SavedModel", served_difference, SAVED_MODEL_LIMIT)

        carried = os.path.join(folder, TFLITE_NAME)
        tflite.export_tflite(segmentor, carried)
        carried_difference = check_tflite(segmentor, carried, images)
        refuse_difference("TFLite model", carried_difference, TFLITE_LIMIT)

        record = {
            "version": version,
            "saved_model": {
                "path": os.path.relpath(served, folder),
                "largest_difference": served_difference,
                "limit": SAVED_MODEL_LIMIT,
                "files": _file_records(served),
            },
            "tflite": {
                "path": TFLITE_NAME,
                "largest_difference": carried_difference,
                "limit": TFLITE_LIMIT,
                "files": _file_records(carried),
            },
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
        }
        _hand_out(export_dir, version, served=served, carried=carried)
    files.write_json(os.path.join(export_dir, RECORD_NAME), record)
    return record


def refuse_difference(name: str, difference: float, limit: float) -> None:
    """Refuses an artefact that is not what Keras computes.

    Raises:
      ParityError: the difference is above the limit, or NaN.
    """
    # Written so that NaN, which is not above anything, is refused.
    if not difference <= limit:
        raise ParityError(
            f"the {name} differs from Keras by {difference:.3g}, more than"
            f" {limit:g}; it was removed"
        )


def _refuse_no_images(images: Sequence[np.ndarray]) -> None:
    if not len(images):
        raise ValueError("a proof needs at least one image")


def _batches_of_two_sizes(images: Sequence[np.ndarray]) -> list[np.ndarray]:
    by_shape = {}
    for image in images:
        by_shape.setdefault(image.shape, []).append(image)
    batches = [np.stack(group) for group in by_shape.values()]
    if len(batches) == 1:
        height, width, _ = images[0].shape
        corner = images[0][: (height + 1) // 2, : (width + 1) // 2]
        batches.append(corner[None])
    return batches


def _expected_probability_map(
    segmentor: keras.Model, batch: np.ndarray
) -> np.ndarray:
    # Picture by picture, as training prepares them, and not by the exported
    # function: a mistake in that one would otherwise be in both.
    _, height, width, _ = segmentor.input_shape
    with tf.device("CPU"):
        resized = tf.stack(
            [
                preprocessing.resize_image(image, height, width)
                for image in batch
            ]
        )
        return preprocessing.resize_probability_map(
            _segment_on_cpu(segmentor, resized), *batch.shape[1:3]
        ).numpy()


def _segment_on_cpu(segmentor: keras.Model, images: tf.Tensor) -> np.ndarray:
    with tf.device("CPU"):
        normalised = preprocessing.normalise(images)
        return segmentor(normalised, training=False).numpy()


def _difference(path: str, expected: np.ndarray, actual: np.ndarray) -> float:
    if (actual.shape, actual.dtype) != (expected.shape, expected.dtype):
        raise ParityError(
            f"{path}: gives {actual.dtype} {actual.shape} where Keras gives"
            f" {expected.dtype} {expected.shape}"
        )
    return _largest(np.abs(actual - expected))


def _largest(differences) -> float:
    # NumPy's maximum keeps NaN, which Python's can lose.
    return float(np.max(differences))


def _file_records(path: str) -> dict:
    if os.path.isfile(path):
        return {os.path.basename(path): _file_record(path)}
    found = (
        os.path.join(folder, name)
        for folder, _, names in os.walk(path)
        for name in names
    )
    return {
        os.path.relpath(file, path): _file_record(file)
        for file in sorted(found)
    }


def _file_record(path: str) -> dict:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return {"bytes": os.path.getsize(path), "sha256": digest.hexdigest()}


def _hand_out(
    export_dir: str, version: int, *, served: str, carried: str
) -> None:
    version_path = saved_model.version_path(export_dir, version)
    os.makedirs(os.path.dirname(version_path), exist_ok=True)
    os.replace(carried, os.path.join(export_dir, TFLITE_NAME))
    # Last, since a server may load it at once.
    os.rename(served, version_path)
