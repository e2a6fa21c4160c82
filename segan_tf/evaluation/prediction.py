"""Label maps of pictures, from a checkpoint, a SavedModel or a TFLite file."""

import csv
import io
import os
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from segan_tf import config, files, progress
from segan_tf.data import images, preprocessing, sources
from segan_tf.evaluation import overlays
from segan_tf.training import checkpoints, run_dir

# uint8 [height, width, 3] RGB -> float32 [height, width, labels] in [0, 1].
Predictor = Callable[[np.ndarray], np.ndarray]


def load_predictor(path: str) -> Predictor:
    """Loads what turns a picture into its probability map, of its own size.

    Args:
      path: a model_dir, a SavedModel folder or a .tflite file.

    Raises:
      UserError: it is none of these, or it is damaged.
    """
    if os.path.isdir(path) and run_dir.has_flags(path):
        return _keras_predictor(path)
    if os.path.isfile(os.path.join(path, "saved_model.pb")):
        return _saved_model_predictor(path)
    if os.path.isfile(path):
        return _tflite_predictor(path)
    raise config.UserError(
        f"--model ({path}) is neither a model_dir with a trained run, nor a "
        "SavedModel folder, nor a TFLite file; train first with --mode=train."
    )


def _keras_predictor(model_dir: str) -> Predictor:
    run = run_dir.read_flags(model_dir)
    segmentor, _ = checkpoints.load_segmentor(run)
    size = run.image_size

    @tf.function(input_signature=[tf.TensorSpec((None, None, 3), tf.uint8)])
    def segment(image):
        height, width = tf.unstack(tf.shape(image)[:2])
        batch = preprocessing.resize_image(image[None], size, size)
        probability = segmentor(preprocessing.normalise(batch), training=False)
        return preprocessing.resize_probability_map(probability, height, width)[
            0
        ]

    return lambda image: segment(image).numpy()


def _saved_model_predictor(path: str) -> Predictor:
    try:
        loaded = tf.saved_model.load(path)
        segment = loaded.signatures["serving_default"]
    except (OSError, KeyError, ValueError, tf.errors.OpError) as error:
        raise config.UserError(
            f"--model ({path}) cannot be loaded as a SavedModel "
            f"({_first_line(error)}); export it again."
        ) from error
    # The signature lives as long as the object that it was loaded with.
    return lambda image, kept=loaded: segment(images=tf.constant(image[None]))[
        "probability_map"
    ].numpy()[0]


def _tflite_predictor(path: str) -> Predictor:
    from ai_edge_litert import interpreter

    try:
        lite = interpreter.Interpreter(model_path=path)
        segment = lite.get_signature_runner("serving_default")
        details = segment.get_input_details()["image"]
    except (ValueError, KeyError, RuntimeError) as error:
        raise config.UserError(
            f"--model ({path}) is not a TFLite file of this program "
            f"({_first_line(error)}); export it again."
        ) from error
    size = details["shape"][1:3]

    def predict(image: np.ndarray) -> np.ndarray:
        batch = preprocessing.resize_image(image[None], *size)
        probability = segment(image=batch.numpy())["probability_map"]
        height, width = image.shape[:2]
        return preprocessing.resize_probability_map(probability, height, width)[
            0
        ].numpy()

    return predict


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def predict_pictures(*, model: str, input_path: str, output_dir: str) -> int:
    """Writes label map and overlay of every picture, and a CSV of them all.

    ``<id>_label_map.png`` has the picture's own size and 0 or 255 per pixel.

    Args:
      model: see `load_predictor`.
      input_path: a picture or a folder of pictures.
      output_dir: made if missing.

    Returns:
      Exit status: 0, or 1 when a picture could not be read.

    Raises:
      UserError: model, input or output_dir cannot be used.
    """
    paths = sources.find_pictures(input_path)
    _refuse_equal_ids(paths)
    predictor = load_predictor(model)
    try:
        os.makedirs(output_dir, exist_ok=True)
        rows, unreadable = [], 0
        for path in progress.bar(paths, desc="predicting", unit="picture"):
            try:
                image = images.read_image(path)
            except config.UserError as error:
                unreadable += 1
                progress.say(f"skipped: {error}")
                continue
            rows.append(_write_prediction(predictor, path, image, output_dir))
        _write_csv(os.path.join(output_dir, "predictions.csv"), rows)
    except OSError as error:
        raise config.UserError(
            f"--output_dir ({output_dir}) cannot be written "
            f"({error.strerror}); give a folder that can."
        ) from error
    progress.say(
        f"{len(rows)} label maps and overlays are in {output_dir}"
        + (f"; {unreadable} pictures could not be read" if unreadable else "")
    )
    return 1 if unreadable else 0


def _write_prediction(
    predictor: Predictor, path: str, image: np.ndarray, output_dir: str
) -> dict:
    name = images.picture_id(path)
    probability = predictor(image)[..., 0]
    label_map = probability > config.THRESHOLD
    stem = os.path.join(output_dir, name)
    images.write_png(f"{stem}_label_map.png", label_map.astype(np.uint8) * 255)
    images.write_png(f"{stem}_overlay.png", overlays.overlay(image, label_map))
    area = int(np.count_nonzero(label_map))
    inside = probability[label_map]
    return {
        "id": name,
        "width": image.shape[1],
        "height": image.shape[0],
        "lesion_area_px": area,
        "lesion_fraction": f"{area / label_map.size:.6f}",
        "mean_probability": f"{inside.mean():.6f}" if area else "",
    }


def _write_csv(path: str, rows: list[dict]) -> None:
    if not rows:
        return
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    files.write_text(path, text.getvalue())


def _refuse_equal_ids(paths: list[str]) -> None:
    """Refuses two pictures whose outputs would overwrite each other."""
    by_id: dict[str, str] = {}
    for path in paths:
        other = by_id.setdefault(images.picture_id(path), path)
        if other != path:
            raise config.UserError(
                f"--input: {other} and {path} would write the same "
                f"{images.picture_id(path)}_label_map.png; rename one."
            )
