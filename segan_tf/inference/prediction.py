"""Predicts a folder of images: label maps, overlays and a CSV file."""

import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from segan_tf import (
    console,
    csv_files,
    expected_dice,
    failures,
    files,
    run_dir,
    run_lock,
    startup,
)
from segan_tf import decision as decision_lib
from segan_tf import styles as styles_lib
from segan_tf.config import PRETRAINED, Config, UserError
from segan_tf.imaging import images
from segan_tf.inference import prediction_files

if TYPE_CHECKING:
    from segan_tf.inference.predictor import Predictor

_LEGEND = "legend.png"
_STYLE_LEGEND = "styles_legend.png"


@dataclasses.dataclass(frozen=True)
class PredictionSummary:
    """The outcome of a prediction.

    Attributes:
      output_dir: the folder of the label maps.
      predicted: the number of images that have a label map.
      skipped: path of each image without one -> the reason.
    """

    output_dir: str
    predicted: int
    skipped: dict[str, str]


def predict(config: Config) -> PredictionSummary:
    """Segments the images of ``input`` and writes to ``output_dir``.

    Raises:
      UserError: there is no image, or the model or output_dir cannot be used.
    """
    if not config.input:
        raise UserError(
            "--input is missing; give an image or a folder of images."
        )
    paths = images.find_images(config.input)
    unread = images.find_unread(config.input, output_dir=config.output_dir)
    model = choose_model(config)
    if run_dir.has_flags(model):
        run_dir.check_same_model(run_dir.read_flags(model), config)
    else:
        run_dir.check_no_model_settings(config, model)
    for reason in unread.values():
        _say_skipped(reason)
    done = predict_images(
        paths,
        model=model,
        output_dir=config.output_dir,
        style=config.style,
        decision=decision_lib.read_given(config.decision),
        tta=config.tta,
    )
    return dataclasses.replace(done, skipped={**unread, **done.skipped})


def choose_model(config: Config) -> str:
    """Returns ``model``, else the run in model_dir, else the released one."""
    if config.model:
        return config.model
    if "model_dir" in config.given or run_dir.has_flags(config.model_dir):
        return config.model_dir
    return PRETRAINED


def predict_images(
    paths: Sequence[str],
    *,
    model: str,
    output_dir: str,
    style: str = "",
    decision: decision_lib.Decision | None = None,
    tta: bool = False,
) -> PredictionSummary:
    """Writes a label map and an overlay of every image, and a CSV file.

    Label maps have the image's own size. ``<id>_label_map.png`` holds 0 or
    255 for one label, and the labels' numbers, in color, for multiclass
    labels. Multilabel ones have a file each, ``<id>_<label>.png``, with 0 or
    255. With the style "all", ``<id>_<style>_`` begins the names of the label
    maps in each style, and ``<id>_styles_overlay.png`` has all their outlines.

    Args:
      paths: the images, of one folder.
      model: see `predictor.Predictor`.
      output_dir: created if missing.
      style: to draw in, see `predictor.Predictor`; "all" draws in each, too.
      decision: the model's own by default.
      tta: average over flips, see `predictor.flipped_views`.

    Returns:
      The number of images that were segmented, and the skipped ones.

    Raises:
      UserError: the model or output_dir cannot be used, or two images have
        the same id.
    """
    _check_input_folder(paths, output_dir)
    startup.import_tensorflow()
    from segan_tf.inference.predictor import Predictor

    predictor = Predictor(
        model,
        style="" if style == styles_lib.ALL else style,
        tta=tta,
        decision=decision,
    )
    if style and not predictor.styles.count:
        raise UserError(
            f"--style ({style}) has no effect on {predictor.description}, "
            "which was trained without styles; leave it out."
        )
    styles = predictor.styles.names if style == styles_lib.ALL else ()
    parts = prediction_files.output_parts(predictor.labels, styles)
    prediction_files.check_distinct(paths, parts)
    console.say(f"predicting with {predictor.description}")
    if predictor.decision_text:
        console.say(f"deciding with {predictor.decision_text}")
    try:
        os.makedirs(output_dir, exist_ok=True)
        with run_lock.hold(output_dir, flag="--output_dir", user="prediction"):
            if prediction_files.ignores_case(output_dir):
                prediction_files.check_distinct(paths, parts, ignore_case=True)
            files.remove_leftovers(output_dir)
            return _write_predictions(
                predictor, paths, output_dir=output_dir, styles=styles
            )
    except OSError as error:
        raise UserError(
            f"--output_dir ({output_dir}) cannot be written "
            f"({error.strerror}); {failures.remedy_for(error)}."
        ) from error


def _write_predictions(
    predictor: "Predictor",
    paths: Sequence[str],
    *,
    output_dir: str,
    styles: Sequence[str],
) -> PredictionSummary:
    """Writes all files; skips images that cannot be segmented."""
    predicted, skipped = 0, {}
    with _growing_table(output_dir) as add_row:
        if predictor.labels.count > 1:
            prediction_files.write_legend(
                os.path.join(output_dir, _LEGEND), predictor.labels.names
            )
        if styles:
            prediction_files.write_legend(
                os.path.join(output_dir, _STYLE_LEGEND), styles
            )
        for path in console.bar(paths, desc="predicting", unit="image"):
            try:
                row = _write_prediction(
                    predictor, path, folder=output_dir, styles=styles
                )
            except Exception as error:
                if not failures.concerns_one_file(error):
                    raise
                skipped[path] = _reason(error, path)
                _say_skipped(skipped[path])
                continue
            add_row(row)
            predicted += 1
    return PredictionSummary(output_dir, predicted, skipped)


def _say_skipped(reason: str) -> None:
    # One line, whatever a file is called.
    console.say(console.printable(f"skipped: {reason}", keep=""))


def _reason(error: Exception, path: str) -> str:
    reason = failures.describe(error) or str(error)
    return reason if isinstance(error, UserError) else f"{path}: {reason}"


@contextlib.contextmanager
def _growing_table(
    output_dir: str,
) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Writes predictions.csv row by row, to predictions.unfinished.csv first.

    After an error or a stop the rows so far become the table if there is none
    yet. A table of an earlier prediction stays until the new one is complete.
    """
    path = os.path.join(output_dir, "predictions.csv")
    unfinished = os.path.join(output_dir, "predictions.unfinished.csv")
    writer: csv_files.CsvWriter | None = None

    def add_row(row: dict[str, Any]) -> None:
        nonlocal writer
        if writer is None:
            writer = csv_files.CsvWriter(file, list(row))
        writer.write(row)

    with open(unfinished, "w", encoding="utf-8", newline="") as file:
        try:
            yield add_row
        except BaseException:
            if writer:
                kept = unfinished
                if not os.path.exists(path):
                    os.replace(unfinished, path)
                    kept = path
                console.say(f"note: the table so far is {kept}")
            raise
        if writer is None:
            csv_files.CsvWriter(file, ["id"])
        file.flush()
        os.fsync(file.fileno())
    os.replace(unfinished, path)


def _write_prediction(
    predictor: "Predictor", path: str, *, folder: str, styles: Sequence[str]
) -> dict[str, Any]:
    """Writes the files of one image; returns its row of the CSV file."""
    image = images.read_image(path)
    name = images.image_id(path)
    labels = predictor.labels
    prediction = predictor(image)
    probability_map, label_map = (
        prediction.probability_map,
        prediction.label_map,
    )
    stem = os.path.join(folder, name)
    prediction_files.write_label_map(stem, label_map, labels=labels)
    prediction_files.write_overlay(
        f"{stem}_overlay.png", image, label_map, labels=labels
    )
    if styles:
        prediction_files.write_styles(
            predictor, image, stem=stem, styles=styles
        )
    row: dict[str, Any] = {
        "id": name,
        "width": image.shape[1],
        "height": image.shape[0],
    }
    for label, slug in enumerate(labels.slugs):
        inside = probability_map[..., label][label_map[..., label] > 0]
        fraction = inside.size / label_map[..., label].size
        row[f"{slug}_area_px"] = inside.size
        row[f"{slug}_fraction"] = f"{fraction:.6f}"
        row[f"{slug}_mean_probability"] = (
            f"{inside.mean():.6f}" if inside.size else ""
        )
    if prediction.expected_dice is not None:
        row |= _doubt_cells(
            name, prediction.expected_dice, is_empty=not label_map.any()
        )
    return row


def _doubt_cells(
    name: str, expected: float, *, is_empty: bool
) -> dict[str, str]:
    """Returns the expected Dice and a warning, which is also printed."""
    warning = expected_dice.warning(expected, is_empty=is_empty)
    if warning:
        console.say(
            console.printable(
                f"warning: {name}: {warning} (expected Dice {expected:.2f})",
                keep="",
            )
        )
    return {"expected_dice": f"{expected:.4f}", "warning": warning}


def _check_input_folder(paths: Sequence[str], output_dir: str) -> None:
    """Checks that no input can be overwritten by a label map."""
    folder = os.path.dirname(paths[0]) or os.curdir
    if os.path.exists(output_dir) and os.path.samefile(folder, output_dir):
        raise UserError(
            f"--output_dir ({output_dir}) is the folder of the images; give "
            "another, so that no image is overwritten."
        )
