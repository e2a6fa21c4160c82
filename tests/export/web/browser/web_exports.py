"""Small models with their contracts, as an export folder holds them."""

import hashlib
import os
import tempfile
import warnings

import keras
import numpy as np
import tensorflow as tf

from export.serving import saved_model
from segan_tf import console, files, labels
from segan_tf.imaging import preprocessing
from segan_tf.inference import signatures
from segan_tf.synthetic import lesions

SIZE = 64
VERSION = 7
ONE = labels.Labels()
THREE = labels.Labels(("core", "rim", "halo"))
TWO_MULTILABEL = labels.Labels(("dark spot", "shade"), multiclass=False)
# name: (quantization, labels)
MODELS = {
    "float_one": ("none", ONE),
    "uint8_one": ("int8", ONE),
    "float_three": ("none", THREE),
    "uint8_three": ("int8", THREE),
    "float_multilabel": ("none", TWO_MULTILABEL),
}
# Slope and intercept of each channel over darkness: the background (of
# multiclass labels) comes first, the darkest label last.
_SLOPES = {ONE: [6], TWO_MULTILABEL: [6, 6], THREE: [0, 6, 12, 16]}
_STARTS = {ONE: [0], TWO_MULTILABEL: [-2, 2], THREE: [0, 1, 0.5, -0.5]}


def build_segmentor(wanted: labels.Labels) -> keras.Model:
    """Builds a segmentor whose labels are where an image is dark."""
    slopes = np.reshape(_SLOPES[wanted], (1, 1, 1, -1))
    blur = keras.layers.Conv2D(1, 4, strides=2, padding="same", name="blur")
    mix = keras.layers.Conv2D(slopes.size, 1, name="mix")
    image = keras.Input((SIZE, SIZE, 3), name="image")
    x = mix(blur(image))
    x = keras.layers.UpSampling2D(interpolation="bilinear", name="up")(x)
    if slopes.size > wanted.count:
        x = keras.layers.Softmax(name="softmax")(x)[..., 1:]
    else:
        x = keras.layers.Activation("sigmoid", name="sigmoid")(x)
    blur.set_weights([np.full((4, 4, 3, 1), -1 / 48), np.zeros(1)])
    mix.set_weights([slopes, np.asarray(_STARTS[wanted])])
    return keras.Model(image, x, name="segmentor")


def build_styled_segmentor() -> keras.Model:
    """Builds a segmentor of [image, style]: T1 draws tightly, T2 generously."""
    plain = build_segmentor(ONE)
    image = plain.inputs[0]
    style = keras.Input((2,), name="style")
    shift = keras.layers.Dense(1, use_bias=False, name="shift")
    x = plain.get_layer("mix").output
    shifted = keras.layers.Reshape((1, 1, 1), name="reshape")(shift(style))
    x = keras.layers.Add(name="add")([x, shifted])
    x = keras.layers.UpSampling2D(interpolation="bilinear", name="enlarge")(x)
    x = keras.layers.Activation("sigmoid", name="decide")(x)
    shift.set_weights([np.array([[-2.0], [2.0]])])
    return keras.Model([image, style], x, name="styled_segmentor")


def write_export(export_dir: str, quantization: str, wanted: labels.Labels):
    """Writes segan_<quantization>.tflite and .json, "none" or "int8".

    The int8 model takes and gives uint8.
    """
    path = os.path.join(export_dir, f"segan_{quantization}.tflite")
    segmentor = build_segmentor(wanted)
    files.write_bytes(path, _convert(segmentor, quantization))
    write_contract(path, wanted)


def write_contract(path: str, wanted: labels.Labels) -> None:
    """Writes what a phone or a browser must know about a TFLite file."""
    from ai_edge_litert import interpreter as litert

    with open(path, "rb") as file:
        content = file.read()
    run = litert.Interpreter(model_content=content).get_signature_runner()
    contract = {
        "model": os.path.basename(path),
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
        "version": VERSION,
        "signature": signatures.DEFAULT,
        "input": {
            **_describe(run.get_input_details()),
            "range": [0, 255],
            "color": "RGB",
        },
        "output": _describe(run.get_output_details()),
        "thresholds": [0.5] * wanted.count,
        "label_names": list(wanted.names),
        "label_kind": "multiclass" if wanted.multiclass else "multilabel",
    }
    files.write_json(os.path.splitext(path)[0] + ".json", contract)


def _describe(details: dict) -> dict:
    ((name, info),) = details.items()
    scale, zero_point = info["quantization"]
    return {
        "name": name,
        "shape": info["shape"],
        "dtype": np.dtype(info["dtype"]).name,
        "scale": scale or 1.0,  # 0 where nothing is quantized
        "zero_point": zero_point,
    }


def _convert(segmentor: keras.Model, quantization: str) -> bytes:
    def segment(image):
        return {"probability_map": segmentor(preprocessing.normalize(image))}

    with tempfile.TemporaryDirectory() as folder:
        image = tf.TensorSpec((1, SIZE, SIZE, 3), name="image")
        saved_model.write_archive(
            segmentor, folder, {signatures.DEFAULT: (segment, image)}
        )
        converter = tf.lite.TFLiteConverter.from_saved_model(
            folder, signature_keys=[signatures.DEFAULT]
        )
        if quantization == "int8":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = _representative_images
            converter.inference_input_type = tf.uint8
            converter.inference_output_type = tf.uint8
        with console.capture_output(), warnings.catch_warnings():
            # The calibrator uses the deprecated interpreter itself.
            warnings.simplefilter("ignore", UserWarning)
            return converter.convert()


def _representative_images():
    for index in range(20):
        image = lesions.draw_lesion(index, 5).image
        yield {"image": preprocessing.resize_image(image, SIZE, SIZE)[None]}
    # So that a byte is quantized to itself.
    for value in (0.0, 255.0):
        yield {"image": tf.fill((1, SIZE, SIZE, 3), value)}
