"""The TFLite models for phones and browsers, of four quantizations."""

import os
import warnings
from collections.abc import Iterator, Sequence

import keras
import numpy as np
import tensorflow as tf

from segan_tf import config, console, files, labels
from segan_tf.imaging import preprocessing
from segan_tf.inference import tflite_model

from .. import staging
from ..serving import saved_model
from . import contract, metadata, operators

# What uint8 pixels have to be quantized by, to be fed as they are.
_PLAIN_PIXELS = (1.0, 0)


def export_tflite(
    segmentor: keras.Model,
    path: str,
    *,
    quantization: str,
    labels: labels.Labels,
    version: int,
    calibration_images: Sequence[np.ndarray] = (),
) -> str:
    """Writes a TFLite model, made of builtin operators only.

    Its signature `serving_default` takes `image`, [1, size, size, 3] RGB in
    0..255, float32 or for int8 uint8, and gives `probability_map`, float32
    [1, size, size, labels] in [0, 1]. The batch is fixed at 1, since some
    phone and browser runtimes refuse an open one. Metadata, the labels' names
    and the contract are in the file; the contract is beside it too.

    Args:
      segmentor: float32 [batch, size, size, 3], normalized -> float32 [batch,
        size, size, labels] in [0, 1].
      path: of the file, replaced if it exists; its folder is made if missing.
      quantization: none, float16 (weights), dynamic (weights int8), or int8
        (weights and activations).
      labels: of the channels of the probability map.
      version: the step that the weights are from.
      calibration_images: for int8: uint8 [size, size, 3] RGB of the training
        split, at least config.MIN_CALIBRATION_IMAGES different ones.

    Returns:
      The path.

    Raises:
      UserError: the folder cannot be written, or there are too few
        calibration images.
      ConversionError: a phone could not run the model.
    """
    if quantization == "int8":
        check_few_images(calibration_images)
    parent = os.path.dirname(os.path.abspath(path))
    with staging.hidden_folder(parent) as folder:
        archive = os.path.join(folder, "static")
        _write_static_archive(segmentor, archive)
        content = _convert(archive, quantization, calibration_images)
        operators.check_unportable_operators(operators.list_operators(content))
        promised = contract.make_contract(
            content, quantization=quantization, labels=labels, version=version
        )
        files.write_bytes(path, metadata.attach_metadata(content, promised))
        contract.write_contract(promised, path)
    return path


def check_few_images(images: Sequence[np.ndarray]) -> None:
    """Refuses to calibrate int8 on too few images.

    Copies of one image say nothing new about the range of an activation.

    Raises:
      UserError: fewer than config.MIN_CALIBRATION_IMAGES are different.
    """
    count = len({image.tobytes() for image in images})
    if count < config.MIN_CALIBRATION_IMAGES:
        others = ",".join(q for q in config.QUANTIZATIONS if q != "int8")
        raise config.UserError(
            f"--quantizations: int8 is calibrated on at least"
            f" {config.MIN_CALIBRATION_IMAGES} different images of the training"
            f" split, and there are {count}; bring more, or leave int8 out:"
            f" --quantizations={others}."
        )


def _write_static_archive(segmentor: keras.Model, path: str) -> None:
    def segment(image):
        normalized = preprocessing.normalize(image)
        return {tflite_model.OUTPUT: segmentor(normalized, training=False)}

    image = tf.TensorSpec(
        (1, *segmentor.input_shape[1:]), tf.float32, name=tflite_model.INPUT
    )
    saved_model.write_archive(
        segmentor, path, {tflite_model.SIGNATURE: (segment, image)}
    )


def _convert(
    archive: str, quantization: str, calibration_images: Sequence[np.ndarray]
) -> bytes:
    with console.capture_output(), warnings.catch_warnings():
        # The converter itself calibrates with the deprecated interpreter.
        warnings.filterwarnings("ignore", ".*tf.lite.Interpreter is deprecated")
        converter = tf.lite.TFLiteConverter.from_saved_model(
            archive, signature_keys=[tflite_model.SIGNATURE]
        )
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        if quantization != "none":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if quantization == "float16":
            converter.target_spec.supported_types = [tf.float16]
        if quantization == "int8":
            _quantize_all(converter, calibration_images)
        content = converter.convert()
    if quantization == "int8":
        _check_other_pixels(content)
    return content


def _quantize_all(
    converter: tf.lite.TFLiteConverter, images: Sequence[np.ndarray]
) -> None:
    """Quantizes weights and activations, calibrated on the images.

    Pixels go in as uint8. Probabilities come out as float32, as of the other
    kinds: every runtime takes that, a client need not know scale and zero
    point, and the one conversion at the end costs nothing to speak of.
    """

    def feed() -> Iterator[dict[str, np.ndarray]]:
        for number, image in enumerate(images):
            image = np.float32(image[None])
            if not number:
                # The input's range has to be all of 0..255, or plain pixels
                # would be stretched.
                image[0, 0, 0], image[0, -1, -1] = 0, 255
            yield {tflite_model.INPUT: image}

    converter.representative_dataset = feed
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.uint8
    converter.inference_output_type = tf.float32


def _check_other_pixels(content: bytes) -> None:
    from ai_edge_litert import interpreter as litert

    (taken,) = litert.Interpreter(model_content=content).get_input_details()
    scale, zero_point = taken["quantization"]
    if (round(scale, 6), zero_point) != _PLAIN_PIXELS:
        raise operators.ConversionError(
            f"the int8 model takes pixels of scale {scale} and zero point"
            f" {zero_point}, not plain ones"
        )
