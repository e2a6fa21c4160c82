"""Exports the SavedModel for servers."""

import dataclasses
import os
from collections.abc import Callable, Mapping

import keras
import numpy as np
import tensorflow as tf

from segan_tf import console, files
from segan_tf import decision as decision_lib
from segan_tf import labels as labels_lib
from segan_tf import styles as styles_lib
from segan_tf.inference import signatures

from .. import staging, versions
from . import graph, warmup

SERVED_NAME = "segan"  # what a server calls the model

_ASSETS = "assets.extra"
LABELS_PATH = os.path.join(_ASSETS, labels_lib.FILE_NAME)

_GRAY = 128

# A function of one or two tensors, with the spec and name of each.
_Function = Callable[..., dict[str, tf.Tensor]]
Endpoint = (
    tuple[_Function, tf.TensorSpec]
    | tuple[_Function, tf.TensorSpec, tf.TensorSpec]
)


def export_saved_model(
    segmentor: keras.Model,
    export_dir: str,
    *,
    version: int,
    labels: labels_lib.Labels,
    decision: decision_lib.Decision = decision_lib.DEFAULT,
    styles: styles_lib.Styles = styles_lib.PLAIN,
) -> str:
    """Writes `<export_dir>/saved_model/<version>/` as TF Serving expects it.

    Its signature `serving_default` takes `image_bytes`, JPEG, PNG or BMP files
    of any sizes, and gives `label_map_bytes`, PNG files of the same sizes;
    `probabilities` takes `images`, decoded ones of one size, and gives
    `probability_map`. graph.py describes the other outputs. Of a segmentor
    with styles both draw in the decision's style, and there are two more for
    each style, see `signatures.in_style`, which share the weights. The folder
    also holds warm-up requests, labels.json, decision.json and styles.json.

    Args:
      segmentor: float32 [batch, size, size, 3], normalized, and with styles
        float32 [batch, styles] -> float32 [batch, size, size, labels] in
        [0, 1].
      export_dir: made if missing.
      version: a non-negative integer; TF Serving serves the highest.
      labels: of the segmentor's channels.
      decision: the threshold of each, and the style.
      styles: of the segmentor.

    Returns:
      The path of the version.

    Raises:
      UserError: the version or a higher one exists, `export_dir` cannot be
        written, or there are more multilabel labels than a label map holds.
    """
    versions.check(export_dir, version)
    path = versions.saved_model_path(export_dir, version)
    graph.gray_weights(labels)  # raises before any work
    default: graph.Segmentor = segmentor
    if styles.count:
        default = graph.FixedStyle(segmentor, decision.style or styles.mean)
    endpoints = _make_endpoints(default, labels, decision=decision)
    for style in styles.names:
        mixture = styles.mixture(style)
        # Thresholds and curve are for the style of the decision.
        is_own = mixture == (decision.style or styles.mean)
        endpoints |= _make_endpoints(
            graph.FixedStyle(segmentor, mixture),
            labels,
            style=style,
            decision=decision if is_own else decision_lib.DEFAULT,
        )
    with staging.hidden_folder(os.path.dirname(path)) as folder:
        unfinished = os.path.join(folder, "model")
        write_archive(segmentor, unfinished, endpoints)
        warmup.write_requests(
            unfinished, SERVED_NAME, _warmup_requests(default)
        )
        _write_labels(unfinished, labels)
        _write_decision(unfinished, decision, labels)
        if styles.count:
            _write_styles(unfinished, decision, styles)
        os.rename(unfinished, path)
    return path


def _make_endpoints(
    segmentor: graph.Segmentor,
    labels: labels_lib.Labels,
    *,
    decision: decision_lib.Decision,
    style: str = "",
) -> dict[str, Endpoint]:
    """Makes the signatures for encoded and for decoded images, by name."""

    def segment_image_bytes(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        return graph.segment_image_bytes(
            segmentor, image_bytes, labels=labels, decision=decision
        )

    def segment_images(images: tf.Tensor) -> dict[str, tf.Tensor]:
        return graph.segment_images(segmentor, images, labels=labels)

    names = [signatures.DEFAULT, signatures.PROBABILITIES]
    if style:
        names = [signatures.in_style(name, style) for name in names]
    of_files, of_images = names
    return {
        of_files: (
            segment_image_bytes,
            tf.TensorSpec((None,), tf.string, signatures.IMAGE_BYTES),
        ),
        of_images: (
            segment_images,
            tf.TensorSpec((None, None, None, 3), tf.uint8, signatures.IMAGES),
        ),
    }


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
      endpoints: by the signature's name, the function and its inputs, named as
        clients name them. The function's dict gives the outputs their names; a
        bare tensor would be called output_0.
    """
    archive = keras.export.ExportArchive()
    archive.track(segmentor)
    for name, (function, *specs) in endpoints.items():
        archive.add_endpoint(name, function, input_signature=specs)
    with console.capture_output():
        archive.write_out(files.literal(path))


def _warmup_requests(
    segmentor: graph.Segmentor,
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


def _write_styles(
    saved_model_dir: str,
    decision: decision_lib.Decision,
    styles: styles_lib.Styles,
) -> None:
    """Writes the styles; what is exported as the default is their mean."""
    if decision.style:
        styles = dataclasses.replace(styles, mean=decision.style)
    styles_lib.write(
        styles_lib.AssignedStyles(styles),
        os.path.join(saved_model_dir, _ASSETS),
    )
