"""Label maps of pictures, from a checkpoint, a SavedModel or a TFLite file."""

import csv
import dataclasses
import io
import json
import os
from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from segan_tf import config, files, pretrained, progress
from segan_tf import labels as labels_lib
from segan_tf.data import images, preprocessing
from segan_tf.evaluation import overlays
from segan_tf.models import tflite_model
from segan_tf.training import checkpoints, run_dir

_OUTPUT = "probability_map"  # of the exported models
_SIGNATURE = "probabilities"  # of the SavedModel
_LEGEND_TILE_PX = 300  # gives the legend the size it has in a gallery


@dataclasses.dataclass(frozen=True)
class Predictor:
    """A model that turns pictures into label maps of their own size.

    Attributes:
      labels: what it segments.
      probability_map: uint8 [height, width, 3] RGB -> float32 [height, width,
        labels] in [0, 1].
    """

    labels: labels_lib.Labels
    probability_map: Callable[[np.ndarray], np.ndarray]

    def label_map(self, image: np.ndarray) -> np.ndarray:
        """Maps uint8 [h, w, 3] RGB to uint8 [h, w, labels] in {0, 1}."""
        return self.decide(self.probability_map(image))

    def decide(self, probability_map: np.ndarray) -> np.ndarray:
        """Maps float32 [h, w, labels] to uint8 of that shape in {0, 1}."""
        decided = preprocessing.decide_label_map(
            probability_map, exclusive=self.labels.exclusive
        )
        return decided.numpy().astype(np.uint8)


def load_predictor(path: str, *, flips: bool = False) -> Predictor:
    """Loads what turns pictures into label maps.

    Args:
      path: a model_dir, a SavedModel folder, a .tflite file or
        config.PRETRAINED.
      flips: see `average_flips`.

    Raises:
      UserError: it is none of these, or it is damaged.
    """
    predictor = _load_predictor(path)
    if not flips:
        return predictor
    return dataclasses.replace(
        predictor, probability_map=average_flips(predictor.probability_map)
    )


def average_flips(
    probability_map: Callable[[np.ndarray], np.ndarray],
) -> Callable[[np.ndarray], np.ndarray]:
    """Averages over the picture and its flips, each flipped back.

    A lesion has no upright, so all four are equally good views of it.
    """

    def averaged(image: np.ndarray) -> np.ndarray:
        views = []
        for axes in ((), (0,), (1,), (0, 1)):
            view = np.ascontiguousarray(np.flip(image, axes))
            views.append(np.flip(probability_map(view), axes))
        return np.mean(views, axis=0)

    return averaged


def _load_predictor(path: str) -> Predictor:
    if path == config.PRETRAINED:
        return _keras_predictor(pretrained.load(), pretrained.read_labels())
    if os.path.isdir(path) and run_dir.has_flags(path):
        run = run_dir.read_flags(path)
        segmentor, _ = checkpoints.load_segmentor(run)
        return _keras_predictor(segmentor, run_dir.read_labels(run))
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
    if path == config.PRETRAINED:
        return pretrained.describe()
    if run_dir.has_flags(path):
        return checkpoints.find_segmentor(path)
    return path


def _keras_predictor(
    segmentor: keras.Model, labels: labels_lib.Labels
) -> Predictor:
    _, size, *_ = segmentor.input_shape

    @tf.function(input_signature=[tf.TensorSpec((None, None, 3), tf.uint8)])
    def segment(image):
        height, width = tf.unstack(tf.shape(image)[:2])
        batch = preprocessing.resize_image(image[None], size, size)
        probability = segmentor(preprocessing.normalise(batch), training=False)
        return preprocessing.resize_probability_map(probability, height, width)[
            0
        ]

    return Predictor(labels, lambda image: segment(image).numpy())


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
    count = segment.structured_outputs[_OUTPUT].shape[-1]

    # The signature lives as long as the object that it was loaded with.
    def predict(image: np.ndarray, kept=loaded) -> np.ndarray:
        return segment(images=tf.constant(image[None]))[_OUTPUT].numpy()[0]

    beside = os.path.join(path, "assets.extra", labels_lib.FILE_NAME)
    return Predictor(_read_exported_labels(beside, count), predict)


def _tflite_predictor(path: str) -> Predictor:
    try:
        model = tflite_model.TFLiteModel(path)
    except ValueError as error:
        raise config.UserError(
            f"--model ({path}) is not a TFLite file of this program "
            f"({error}); export it again."
        ) from error

    def predict(image: np.ndarray) -> np.ndarray:
        batch = preprocessing.resize_image(image[None], *model.size)
        probability = model.segment(batch.numpy())
        height, width = image.shape[:2]
        return preprocessing.resize_probability_map(probability, height, width)[
            0
        ].numpy()

    return Predictor(model.labels, predict)


def _read_exported_labels(path: str, count: int) -> labels_lib.Labels:
    """Reads what the labels of an exported model are called.

    Raises:
      UserError: there are several and the file does not name them.
    """
    try:
        with open(path, encoding="utf-8") as file:
            labels = labels_lib.described(json.load(file))
        if labels.count != count:
            raise ValueError(f"it names {labels.count} labels, not {count}")
        return labels
    except (OSError, ValueError, KeyError, TypeError) as error:
        if count == 1:  # nothing to mix up
            return labels_lib.LESION
        raise config.UserError(
            f"--model: {path}, which names the {count} labels of the model, "
            f"cannot be used ({_first_line(error)}); export it again."
        ) from error


def _refuse_other_names(what: str, names, expected: str) -> None:
    if expected not in names:
        raise ValueError(f"its {what} is {', '.join(names)}, not {expected}")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def predict_pictures(
    paths: Sequence[str], *, model: str, output_dir: str, flips: bool = False
) -> int:
    """Writes label map and overlay of every picture, and a CSV of them all.

    Label maps have the picture's own size. ``<id>_label_map.png`` holds 0 or
    255 for one label and the labels' numbers, in colour, for exclusive ones;
    overlapping ones have ``<id>_<label>.png`` each, 0 or 255.

    Args:
      paths: the pictures, of one folder.
      model: see `load_predictor`.
      output_dir: made if missing.
      flips: see `average_flips`.

    Returns:
      Exit status: 0, or 1 when a picture could not be read.

    Raises:
      UserError: the model or output_dir cannot be used, or two pictures have
        the same id.
    """
    _refuse_equal_ids(paths)
    _refuse_input_folder(paths, output_dir)
    predictor = load_predictor(model, flips=flips)
    progress.say(f"predicting with {describe_model(model)}")
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
        if predictor.labels.count > 1:
            _write_legend(predictor.labels, output_dir)
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
    labels = predictor.labels
    probability_map = predictor.probability_map(image)
    label_map = predictor.decide(probability_map)
    stem = os.path.join(output_dir, name)
    _write_label_map(stem, label_map, labels)
    if labels.count == 1:
        overlay = overlays.overlay(image, label_map[..., 0])
    else:
        overlay = overlays.overlay_labels(image, label_map, labels.colours)
    images.write_png(f"{stem}_overlay.png", overlay)
    row = {"id": name, "width": image.shape[1], "height": image.shape[0]}
    for label, slug in enumerate(labels.slugs):
        inside = probability_map[..., label][label_map[..., label] > 0]
        fraction = inside.size / label_map[..., label].size
        row[f"{slug}_area_px"] = inside.size
        row[f"{slug}_fraction"] = f"{fraction:.6f}"
        row[f"{slug}_mean_probability"] = (
            f"{inside.mean():.6f}" if inside.size else ""
        )
    return row


def _write_label_map(
    stem: str, label_map: np.ndarray, labels: labels_lib.Labels
) -> None:
    """Writes uint8 [h, w, labels] in {0, 1} as one PNG, or one a label."""
    if labels.count == 1:
        images.write_png(f"{stem}_label_map.png", label_map * 255)
    elif labels.exclusive:
        numbers = label_map @ np.arange(1, labels.count + 1, dtype=np.uint8)
        images.write_index_png(f"{stem}_label_map.png", numbers, labels.colours)
    else:
        for label, slug in enumerate(labels.slugs):
            images.write_png(f"{stem}_{slug}.png", label_map[..., label] * 255)


def _write_legend(labels: labels_lib.Labels, output_dir: str) -> None:
    """Writes which colour is which label."""
    legend = overlays.sheet(
        [],
        columns=1,
        tile_px=_LEGEND_TILE_PX,
        title="",
        legend=tuple(zip(labels.names, labels.colours, strict=True)),
    )
    images.write_png(os.path.join(output_dir, "legend.png"), np.array(legend))


def _write_csv(path: str, rows: list[dict]) -> None:
    text = io.StringIO()
    columns = list(rows[0]) if rows else ["id"]
    writer = csv.DictWriter(text, columns, lineterminator="\n")
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
