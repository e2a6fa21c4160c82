"""Converts segmentors to TFLite models for phones and browsers."""

import os
import shutil
import warnings
from collections.abc import Iterator, Sequence

import keras
import numpy as np
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema

from segan_tf import config, console, files, labels
from segan_tf import decision as decision_lib
from segan_tf import styles as styles_lib
from segan_tf.decision import DEFAULT, Decision
from segan_tf.inference import signatures, tflite_model
from segan_tf.models import blocks
from segan_tf.quantizations import QUANTIZATIONS

from .. import staging
from ..serving import saved_model
from . import contract, metadata, model_file, operators, rewriting

# Scale and zero point with which uint8 pixels are fed unchanged.
_PLAIN_PIXELS = (1.0, 0)
_INPUTS = (signatures.IMAGE, signatures.STYLE)


def export_tflite(
    segmentor: keras.Model,
    path: str,
    *,
    quantization: str,
    labels: labels.Labels,
    version: int,
    decision: Decision = DEFAULT,
    styles: styles_lib.Styles = styles_lib.PLAIN,
    calibration_images: Sequence[np.ndarray] = (),
) -> str:
    """Writes a TFLite model made of builtin operators only.

    Its signature `serving_default` takes `image`, [1, size, size, 3] RGB in
    0..255, float32 or for int8 uint8, and gives `probability_map`, float32
    [1, size, size, labels] in [0, 1]. That of a segmentor of [image, style]
    also takes `style`, float32 [1, styles]. The batch size is fixed at 1, since
    some phone and browser runtimes do not support an open one. The file holds
    the labels' names and the contract, and if it takes the image alone,
    metadata; a JSON file of the same name holds the contract too.

    Args:
      segmentor: float32 [batch, size, size, 3], normalized, and maybe float32
        [batch, styles] -> float32 [batch, size, size, labels] in [0, 1].
      path: of the file, replaced if it exists; its folder is made if missing.
      quantization: none, float16 (weights), dynamic (weights int8), or int8
        (weights and activations).
      labels: of the channels of the probability map.
      version: of the export.
      decision: the threshold of each label and the style, for the contract.
      styles: of the segmentor, or of the one whose style was fixed in it.
      calibration_images: for int8: uint8 [size, size, 3] RGB of the training
        split, at least config.MIN_CALIBRATION_IMAGES different ones.

    Returns:
      The path.

    Raises:
      UserError: the folder cannot be written, or there are too few
        calibration images.
      ConversionError: a phone could not run the model.
    """
    check_calibration_images(quantization, calibration_images)
    parent = os.path.dirname(os.path.abspath(path))
    with staging.hidden_folder(parent) as folder:
        archive = os.path.join(folder, "static")
        write_static_archive(segmentor, archive, quantization)
        content = convert(
            archive,
            quantization,
            images=calibration_images,
            styles=styles if len(segmentor.inputs) > 1 else styles_lib.PLAIN,
        )
        operators.check_unportable_operators(operators.list_operators(content))
        described = contract.make_contract(
            content,
            quantization=quantization,
            labels=labels,
            version=version,
            decision=decision,
            styles=styles,
        )
        files.write_bytes(path, metadata.attach_metadata(content, described))
        contract.write_contract(described, path)
    return path


def check_calibration_images(
    quantization: str, images: Sequence[np.ndarray]
) -> None:
    """Checks that there are enough images if they are needed to calibrate.

    Raises:
      UserError: fewer than config.MIN_CALIBRATION_IMAGES are different.
    """
    count = count_different(images)
    enough = count >= config.MIN_CALIBRATION_IMAGES
    if QUANTIZATIONS[quantization].calibrated and not enough:
        others = ",".join(
            name for name, row in QUANTIZATIONS.items() if not row.calibrated
        )
        raise config.UserError(
            f"--quantizations: {quantization} is calibrated on at least"
            f" {config.MIN_CALIBRATION_IMAGES} different images of the training"
            f" split, and there are {count}; provide more, or leave"
            f" {quantization} out: --quantizations={others}."
        )


def count_different(images: Sequence[np.ndarray]) -> int:
    """Counts calibration images.

    Copies of an image do not count: they add nothing to the range of an
    activation.
    """
    return len({image.tobytes() for image in images})


def copy_released(
    source: str,
    path: str,
    *,
    version: int,
    decision: Decision = DEFAULT,
) -> str:
    """Copies a TFLite model that was exported before, and its contract.

    Args:
      source: of a file that `export_tflite` wrote.
      path: of the copy; its folder is made if missing.
      version: of the export that the copy belongs to.
      decision: of the release, for the JSON file; the copy is not changed.

    Returns:
      The path.
    """
    os.makedirs(os.path.dirname(path), exist_ok=True)
    shutil.copyfile(source, path)
    model = tflite_model.TFLiteModel(path)
    changes = {
        "version": version,
        **decision_lib.description(decision, num_labels=model.labels.count),
    }
    contract.write_contract({**model.contract, **changes}, path)
    return path


def write_static_archive(
    segmentor: keras.Model, path: str, quantization: str
) -> None:
    """Writes the SavedModel to convert: fixed shapes, plain pixels in.

    Args:
      segmentor: see `export_tflite`.
      path: of the folder to write.
      quantization: its name in `segan_tf.quantizations`. Only a calibrated one
        rounds features, so that the operators matter.
    """

    def segment(
        image: tf.Tensor, style: tf.Tensor | None = None
    ) -> dict[str, tf.Tensor]:
        inputs = blocks.with_style(rewriting.normalize(image), style)
        if QUANTIZATIONS[quantization].calibrated:
            probability_map = rewriting.run(segmentor, inputs)
        else:
            probability_map = segmentor(inputs, training=False)
        return {signatures.PROBABILITY_MAP: probability_map}

    specs = [
        tf.TensorSpec((1, *symbol.shape[1:]), tf.float32, name=name)
        # The style is missing in most.
        for symbol, name in zip(segmentor.inputs, _INPUTS, strict=False)
    ]
    saved_model.write_archive(
        segmentor, path, {signatures.DEFAULT: (segment, *specs)}
    )


def convert(
    archive: str,
    quantization: str,
    *,
    images: Sequence[np.ndarray] = (),
    styles: styles_lib.Styles = styles_lib.PLAIN,
) -> bytes:
    """Converts a SavedModel; returns the content of a TFLite file.

    Args:
      archive: see `write_static_archive`.
      quantization: its name in `segan_tf.quantizations`.
      images: to calibrate with, if it is calibrated.
      styles: that it takes as its second input; each is calibrated with each
        image.

    Raises:
      ConversionError: plain pixels would be scaled by the model's input.
    """
    row = QUANTIZATIONS[quantization]
    with console.capture_output(), warnings.catch_warnings():
        # The converter itself calibrates with the deprecated interpreter.
        warnings.filterwarnings("ignore", ".*tf.lite.Interpreter is deprecated")
        converter = tf.lite.TFLiteConverter.from_saved_model(
            files.without_patterns(archive), signature_keys=[signatures.DEFAULT]
        )
        converter.target_spec.supported_ops = [
            getattr(tf.lite.OpsSet, row.operators)
        ]
        if row.optimize:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if row.weights:
            converter.target_spec.supported_types = [tf.as_dtype(row.weights)]
        if row.calibrated:
            converter.representative_dataset = lambda: _feed(images, styles)
        converter.inference_input_type = tf.as_dtype(row.pixels)
        # Of all quantizations: every runtime supports float32, a client needs
        # no scale and zero point, and converting the output costs little.
        converter.inference_output_type = tf.float32
        content = converter.convert()
    if row.pixels != "float32":
        if styles.count:
            content = _take_float_style(content)
        _check_plain_pixels(content, quantization)
    return content


def _feed(
    images: Sequence[np.ndarray], styles: styles_lib.Styles
) -> Iterator[dict[str, np.ndarray]]:
    """Yields calibration images as the model is fed them, in each style."""
    mixtures = [
        styles.mixture(name) for name in (*styles.names, styles_lib.MEAN)
    ]
    for number, image in enumerate(images):
        batch = image[None].astype(np.float32)
        if not number:
            # The input's range must be all of 0..255, or pixels would be
            # scaled.
            batch[0, 0, 0], batch[0, -1, -1] = 0, 255
        if not styles.count:
            yield {signatures.IMAGE: batch}
            continue
        for mixture in mixtures:
            style = np.array([mixture], np.float32)
            yield {signatures.IMAGE: batch, signatures.STYLE: style}


def _take_float_style(content: bytes) -> bytes:
    """Makes the style a float32 input, whatever the pixels are.

    The converter gives all inputs one dtype, and a QUANTIZE operator, which
    takes float32 too.
    """
    model = model_file.unpack(content)
    (graph,) = model.subgraphs
    (signature,) = model.signatureDefs
    for entry in signature.inputs:
        if entry.name == signatures.STYLE.encode():
            tensor = graph.tensors[entry.tensorIndex]
            tensor.type = schema.TensorType.FLOAT32
            tensor.quantization = None
    return model_file.pack(model)


def _check_plain_pixels(content: bytes, quantization: str) -> None:
    from ai_edge_litert import interpreter as litert

    run = litert.Interpreter(model_content=content).get_signature_runner(
        signatures.DEFAULT
    )
    taken = run.get_input_details()[signatures.IMAGE]
    scale, zero_point = taken["quantization"]
    if (round(scale, 6), zero_point) != _PLAIN_PIXELS:
        raise operators.ConversionError(
            f"the {quantization} model takes pixels of scale {scale} and zero"
            f" point {zero_point}, not plain ones"
        )
