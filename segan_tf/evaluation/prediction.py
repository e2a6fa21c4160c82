"""Label maps of pictures, from a checkpoint, a SavedModel or a TFLite file."""

import csv
import io
import os
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from segan_tf import config, files, progress
from segan_tf.data import images, preprocessing
from segan_tf.evaluation import overlays
from segan_tf.training import checkpoints, run_dir

# uint8 [height, width, 3] RGB -> float32 [height, width, labels] in [0, 1].
Predictor = Callable[[np.ndarray], np.ndarray]

_OUTPUT = "probability_map"  # of the exported models
_SIGNATURE = "probabilities"  # of the SavedModel
_COLUMNS = (
    "id",
    "width",
    "height",
    "lesion_area_px",
    "lesion_fraction",
    "mean_probability",
)


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
        "SavedModel folder (<export_dir>/saved_model/<step>), nor a TFLite "
        "file; train first with --mode=train."
    )


def describe_model(path: str) -> str:
    """Names what `load_predictor` loads: of a model_dir, the checkpoint."""
    if run_dir.has_flags(path):
        return checkpoints.find_segmentor(path)
    return path


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
        _refuse_other_names("signature", loaded.signatures, _SIGNATURE)
        segment = loaded.signatures[_SIGNATURE]
        _, inputs = segment.structured_input_signature
        _refuse_other_names("input", inputs, "images")
        _refuse_other_names("output", segment.structured_outputs, _OUTPUT)
    except (OSError, KeyError, ValueError, tf.errors.OpError) as error:
        raise config.UserError(
            f"--model ({path}) cannot be loaded as a SavedModel "
            f"({_first_line(error)}); export it again."
        ) from error
    # The signature lives as long as the object that it was loaded with.
    return lambda image, kept=loaded: segment(images=tf.constant(image[None]))[
        _OUTPUT
    ].numpy()[0]


def _tflite_predictor(path: str) -> Predictor:
    from ai_edge_litert import interpreter

    try:
        lite = interpreter.Interpreter(model_path=path)
        segment = lite.get_signature_runner("serving_default")
        inputs = segment.get_input_details()
        _refuse_other_names("input", inputs, "image")
        _refuse_other_names("output", segment.get_output_details(), _OUTPUT)
    except (ValueError, KeyError, RuntimeError) as error:
        raise config.UserError(
            f"--model ({path}) is not a TFLite file of this program "
            f"({_first_line(error)}); export it again."
        ) from error
    size = inputs["image"]["shape"][1:3]

    def predict(image: np.ndarray) -> np.ndarray:
        batch = preprocessing.resize_image(image[None], *size)
        probability = segment(image=batch.numpy())[_OUTPUT]
        height, width = image.shape[:2]
        return preprocessing.resize_probability_map(probability, height, width)[
            0
        ].numpy()

    return predict


def _refuse_other_names(what: str, names, expected: str) -> None:
    if expected not in names:
        raise ValueError(f"its {what} is {', '.join(names)}, not {expected}")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def predict_pictures(
    paths: Sequence[str], *, model: str, output_dir: str
) -> int:
    """Writes label map and overlay of every picture, and a CSV of them all.

    ``<id>_label_map.png`` has the picture's own size and 0 or 255 per pixel.

    Args:
      paths: the pictures, of one folder.
      model: see `load_predictor`.
      output_dir: made if missing.

    Returns:
      Exit status: 0, or 1 when a picture could not be read.

    Raises:
      UserError: the model or output_dir cannot be used, or two pictures have
        the same id.
    """
    _refuse_equal_ids(paths)
    _refuse_input_folder(paths, output_dir)
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
        f"{len(rows)} of {len(paths)} pictures have a label map and an overlay "
        f"in {output_dir}"
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
    text = io.StringIO()
    writer = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    files.write_text(path, text.getvalue())


def _refuse_input_folder(paths: Sequence[str], output_dir: str) -> None:
    """Refuses to write where a label map of that name may be an input."""
    folder = os.path.dirname(paths[0]) or os.curdir
    if os.path.exists(output_dir) and os.path.samefile(folder, output_dir):
        raise config.UserError(
            f"--output_dir ({output_dir}) is the folder of the pictures; give "
            "another, so that nothing there is written over."
        )


def _refuse_equal_ids(paths: Sequence[str]) -> None:
    """Refuses two pictures whose outputs would overwrite each other."""
    by_id: dict[str, str] = {}
    for path in paths:
        other = by_id.setdefault(images.picture_id(path), path)
        if other != path:
            raise config.UserError(
                f"--input: {other} and {path} would write the same "
                f"{images.picture_id(path)}_label_map.png; rename one."
            )
