"""Exports the SavedModel for servers."""

import dataclasses
import os
from collections.abc import Callable, Mapping

import keras
import numpy as np
import tensorflow as tf

from segan_tf import config, console, files
from segan_tf import decision as decision_lib
from segan_tf import labels as labels_lib
from segan_tf.inference import signatures

from .. import staging
from . import graph, warmup

SERVED_NAME = "segan"  # what a server calls the model

_ASSETS = "assets.extra"
LABELS_PATH = os.path.join(_ASSETS, labels_lib.FILE_NAME)

_GRAY = 128

# A function of one tensor, with the spec and name of that tensor.
Endpoint = tuple[Callable[[tf.Tensor], dict[str, tf.Tensor]], tf.TensorSpec]


def export_saved_model(
    segmentor: keras.Model,
    export_dir: str,
    *,
    version: int,
    labels: labels_lib.Labels,
    decision: decision_lib.Decision = decision_lib.DEFAULT,
) -> str:
    """Writes `<export_dir>/saved_model/<version>/` as TF Serving expects it.

    Its signature `serving_default` takes `image_bytes`, JPEG, PNG or BMP files
    of any sizes, and gives `label_map_bytes`, PNG files of the same sizes;
    `probabilities` takes `images`, decoded ones of one size, and gives
    `probability_map`. graph.py describes the other outputs. The folder also
    holds warm-up requests, labels.json and decision.json.

    Args:
      segmentor: float32 [batch, size, size, 3], normalized -> float32 [batch,
        size, size, labels] in [0, 1].
      export_dir: made if missing.
      version: a non-negative integer; TF Serving serves the highest.
      labels: of the segmentor's channels.
      decision: the threshold of each.

    Returns:
      The path of the version.

    Raises:
      UserError: the version or a higher one exists, `export_dir` cannot be
        written, or there are more multilabel labels than a label map holds.
    """
    check_existing_version(export_dir, version)
    path = version_path(export_dir, version)
    graph.gray_weights(labels)  # raises before any work

    def segment_image_bytes(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        return graph.segment_image_bytes(
            segmentor, image_bytes, labels=labels, decision=decision
        )

    def segment_images(images: tf.Tensor) -> dict[str, tf.Tensor]:
        return graph.segment_images(segmentor, images, labels=labels)

    endpoints = {
        signatures.DEFAULT: (
            segment_image_bytes,
            tf.TensorSpec((None,), tf.string, signatures.IMAGE_BYTES),
        ),
        signatures.PROBABILITIES: (
            segment_images,
            tf.TensorSpec((None, None, None, 3), tf.uint8, signatures.IMAGES),
        ),
    }
    with staging.hidden_folder(os.path.dirname(path)) as folder:
        unfinished = os.path.join(folder, "model")
        write_archive(segmentor, unfinished, endpoints)
        warmup.write_requests(
            unfinished, SERVED_NAME, _warmup_requests(segmentor)
        )
        _write_labels(unfinished, labels)
        _write_decision(unfinished, decision, labels)
        os.rename(unfinished, path)
    return path


def version_path(export_dir: str, version: int) -> str:
    """Returns the folder of a version."""
    return os.path.join(export_dir, "saved_model", str(version))


def check_existing_version(export_dir: str, version: int) -> None:
    """Checks that a version is the highest: a server would serve another.

    Raises:
      UserError: the version or a higher one exists.
    """
    path = version_path(export_dir, version)
    if os.path.lexists(path):
        raise config.UserError(
            f"--export_dir ({export_dir}): version {version} exists already"
            f" at {path}; remove it or choose another folder"
        )
    highest = max(_list_versions(os.path.dirname(path)), default=version)
    if highest > version:
        raise config.UserError(
            f"--export_dir ({export_dir}) holds version {highest}, and servers "
            f"load the highest, so they would not serve version {version}; "
            "choose another folder, or remove "
            f"{version_path(export_dir, highest)}"
        )


def _list_versions(folder: str) -> list[int]:
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [int(name) for name in names if name.isdecimal()]


def write_archive(
    segmentor: keras.Model, path: str, endpoints: Mapping[str, Endpoint]
) -> None:
    """Writes a SavedModel with these signatures and the segmentor's weights.

    Uses Keras' ExportArchive: after tf.saved_model.save of a Keras 3 model,
    servers do not find its variables, and the TFLite converter silently leaves
    them out.

    Args:
      segmentor: whose weights the functions use.
      path: the folder to make.
      endpoints: by the signature's name, the function and its input, named as
        clients name it. The function's dict gives the outputs their names; a
        bare tensor would be called output_0.
    """
    archive = keras.export.ExportArchive()
    archive.track(segmentor)
    for name, (function, input_spec) in endpoints.items():
        archive.add_endpoint(name, function, input_signature=[input_spec])
    with console.capture_output():
        archive.write_out(files.literal(path))


def _warmup_requests(
    segmentor: keras.Model,
) -> dict[str, dict[str, np.ndarray]]:
    images = np.full((1, *segmentor.input_shape[1:]), _GRAY, np.uint8)
    jpeg = tf.io.encode_jpeg(images[0]).numpy()
    return {
        signatures.DEFAULT: {
            signatures.IMAGE_BYTES: np.array([jpeg], dtype=object)
        },
        signatures.PROBABILITIES: {signatures.IMAGES: images},
    }


def _write_labels(saved_model_dir: str, labels: labels_lib.Labels) -> None:
    files.write_json(
        os.path.join(saved_model_dir, LABELS_PATH),
        labels_lib.description(labels),
    )


def _write_decision(
    saved_model_dir: str,
    decision: decision_lib.Decision,
    labels: labels_lib.Labels,
) -> None:
    path = decision_lib.path_in(os.path.join(saved_model_dir, _ASSETS))
    # Its style is in the exported weights.
    without_style = dataclasses.replace(
        decision, thresholds=decision.thresholds_of(labels.count), style=()
    )
    decision_lib.write_file(without_style, path)
