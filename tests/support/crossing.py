"""Exports models and runs them, to compare the two editions.

Usage: crossing.py export FOLDER    exports into FOLDER and runs the models
       crossing.py run FOLDER FILE  runs the models in FOLDER
Both write the answers into an npz file: FOLDER/answers.npz or FILE.
"""

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

import blobs
import c_loader
import numpy as np
import small_models
import tensorflow as tf

from export import versions
from export.serving import saved_model
from export.tflite import convert
from segan_tf import config, labels
from segan_tf.imaging import preprocessing
from segan_tf.inference import tflite_model
from segan_tf.input import pipeline
from segan_tf.models import pretrained

ANSWERS = "answers.npz"
_VERSION = 1
_LABELS = labels.LESION


def export(folder: str) -> None:
    """Exports a segmentor with fixed weights in every format."""
    segmentor = small_models.build_segmentor()
    saved_model.export_saved_model(
        segmentor, folder, version=_VERSION, labels=_LABELS
    )
    for quantization in config.QUANTIZATIONS:
        convert.export_tflite(
            segmentor,
            _tflite_path(folder, quantization),
            quantization=quantization,
            labels=_LABELS,
            version=_VERSION,
            calibration_images=small_models.draw_calibration_images(),
        )


def run(folder: str) -> dict[str, np.ndarray]:
    """Runs each exported model in its own runtime, and the released model.

    Returns:
      The answers to the same image by model, and the batch of a run's sixth
      training step.
    """
    (image,) = small_models.draw_images((small_models.SIZE, small_models.SIZE))
    path = versions.saved_model_path(folder, _VERSION)
    png = tf.io.encode_png(image).numpy()
    with c_loader.CSession(path) as session:
        served = session.run("serving_default", {"image_bytes": [png]})
        mapped = session.run("probabilities", {"images": image[None]})
    reloaded = tf.saved_model.load(path).signatures["probabilities"]
    answers = {
        "served_label_map": tf.io.decode_png(
            served["label_map_bytes"][0]
        ).numpy(),
        "served_mean_probability": served["mean_probability"],
        "served_probability_map": mapped["probability_map"],
        "reloaded_probability_map": reloaded(images=tf.constant(image[None]))[
            "probability_map"
        ].numpy(),
    }
    for quantization in config.QUANTIZATIONS:
        model = tflite_model.TFLiteModel(_tflite_path(folder, quantization))
        answers[f"tflite_{quantization}"] = model.segment(image[None])
    released = pretrained.find().load_segmentor()
    size = released.input_shape[1]
    normalized = preprocessing.normalize(
        preprocessing.resize_image(image, size, size)
    )
    answers["released"] = released(normalized[None], training=False).numpy()
    return {**answers, **_draw_batch()}


def _draw_batch() -> dict[str, np.ndarray]:
    batches = pipeline.make_training_dataset(
        blobs.make_records(20),
        batch_size=8,
        image_size=small_models.SIZE,
        first_step=5,
        last_step=6,
        seed=3,
        strong=True,
    )
    image, label_map = batches.get_single_element()
    return {"batch_image": image.numpy(), "batch_label_map": label_map.numpy()}


def _tflite_path(folder: str, quantization: str) -> str:
    return os.path.join(folder, f"{quantization}.tflite")


def main(mode: str, folder: str, path: str = "") -> None:
    if mode == "export":
        export(folder)
        path = os.path.join(folder, ANSWERS)
    np.savez(path, **run(folder))


if __name__ == "__main__":
    main(*sys.argv[1:])
