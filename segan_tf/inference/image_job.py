"""Predicts one image after the other: its files and its row of the table.

Each worker process runs one of these jobs.
"""

import dataclasses
import math
import os
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from segan_tf import decision as decision_lib
from segan_tf import expected_dice, failures
from segan_tf import labels as labels_lib
from segan_tf import styles as styles_lib
from segan_tf.errors import UserError
from segan_tf.imaging import dicom, formats, images
from segan_tf.inference import (
    dicom_segmentation,
    prediction_files,
    prediction_tables,
)
from segan_tf.inference.prediction_inputs import Source
from segan_tf.inference.predictor import Prediction, Predictor

_BLOCK = 1 << 17  # pixels that are added together


@dataclasses.dataclass(frozen=True)
class Job:
    """What is done with every image; it can be sent to another process.

    Attributes:
      model: see `predictor.Predictor`, as `runtime`, `decision` and `tta`.
      output_dir: folder of the files.
      runtime: of a released model.
      style: to draw in; "all" draws in each, too.
      decision: the model's own by default.
      tta: average over flips.
      overlays: one of config.OVERLAYS.
      has_dicom: whether DICOM is among the images.
    """

    model: str
    output_dir: str
    runtime: str
    style: str = ""
    decision: decision_lib.Decision | None = None
    tta: bool = False
    overlays: str = prediction_files.JPEG
    has_dicom: bool = False

    def open(self) -> "ImageJob":
        """Loads the model.

        Raises:
          UserError: it cannot be used, or it has no styles and one is given.
        """
        return ImageJob(self)


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of an image.

    Attributes:
      row: of the table, by column; None if the image was not predicted.
      reason: why it was not.
      warning: about the label map.
      note: about the file.
    """

    row: dict[str, Any] | None = None
    reason: str = ""
    warning: str = ""
    note: str = ""


class ImageJob:
    """Predicts images; several threads may call it.

    Attributes:
      job: what it does.
      predictor: the model.
      styles: that all label maps are also drawn in.
    """

    def __init__(self, job: Job) -> None:
        in_all = job.style == styles_lib.ALL
        self.job = job
        self.predictor = Predictor(
            job.model,
            style="" if in_all else job.style,
            tta=job.tta,
            decision=job.decision,
            runtime=job.runtime,
        )
        if job.style and not self.predictor.styles.count:
            raise UserError(
                f"--style ({job.style}) has no effect on "
                f"{self.predictor.description}, which was trained without "
                "styles; leave it out."
            )
        self.styles: Sequence[str] = (
            self.predictor.styles.names if in_all else ()
        )
        self._predicting = threading.Lock()  # a model runs one image at a time
        self._folder = ""  # the last that was made

    @property
    def columns(self) -> list[str]:
        """The columns of the table."""
        return columns_of(self.predictor, has_dicom=self.job.has_dicom)

    def __call__(self, source: Source, output_dir: str = "") -> Outcome:
        """Writes the files of an image.

        Args:
          source: the image.
          output_dir: to write to; that of the job by default.

        Raises:
          Exception: what the next image would meet too, such as a full disk.
        """
        try:
            return self._predict(source, output_dir or self.job.output_dir)
        except Exception as error:
            if not failures.concerns_one_file(error):
                raise
            reason = failures.describe(error) or str(error)
            if not isinstance(error, UserError):
                reason = f"{source.shown_as}: {reason}"
            return Outcome(reason=reason.replace(source.path, source.shown_as))

    def _make_folder(self, folder: str) -> None:
        if folder != self._folder:
            os.makedirs(folder, exist_ok=True)
            self._folder = folder

    def _predict(self, source: Source, output_dir: str) -> Outcome:
        image = images.read_image(source.path)
        with self._predicting:
            prediction = self.predictor(image)
            in_styles = [
                self.predictor.label_map(image, style=style)
                for style in self.styles
            ]
        stem = os.path.join(output_dir, source.id)
        self._make_folder(os.path.dirname(stem))
        labels = self.predictor.labels
        if self.job.overlays != prediction_files.NONE:
            prediction_files.write_overlays(
                stem,
                image,
                prediction.label_map,
                labels=labels,
                in_styles=in_styles,
                file_format=self.job.overlays,
            )
        for style, label_map in zip(self.styles, in_styles, strict=True):
            prediction_files.write_label_map(
                f"{stem}_{style}", label_map, labels=labels
            )
        row = {prediction_tables.ID: source.id, **_measure(prediction, labels)}
        if source.is_dicom:
            header = dicom.read_header(source.path)
            row.update(_measure_mm2(row, labels, header))
            dicom_segmentation.write(
                f"{stem}{dicom_segmentation.ENDING}",
                header,
                prediction.label_map,
                labels=labels,
            )
        # The last file: where it is, the others are.
        prediction_files.write_label_map(
            stem, prediction.label_map, labels=labels
        )
        warning = ""
        if prediction.expected_dice is not None:
            warning = expected_dice.warning(
                prediction.expected_dice,
                is_empty=not prediction.label_map.any(),
            )
            row["expected_dice"] = f"{prediction.expected_dice:.4f}"
            row["warning"] = warning
        return Outcome(row, warning=warning, note=_describe_name(source))


def _describe_name(source: Source) -> str:
    """Says what an image holds if its name says otherwise, else nothing."""
    held = "" if source.is_dicom else formats.held_format(source.path)
    if not held:
        return ""
    return (
        f"{source.path} holds a {held} and is read as one; its ending is "
        "passed over"
    )


def columns_of(predictor: Predictor, *, has_dicom: bool) -> list[str]:
    """Returns the columns of the table of a model's predictions."""
    names = [prediction_tables.ID, "width", "height"]
    for slug in predictor.labels.slugs:
        names += [
            f"{slug}_area_px",
            f"{slug}_fraction",
            f"{slug}_mean_probability",
        ]
        if has_dicom:
            names.append(f"{slug}_area_mm2")
    if predictor.knows_expected_dice:
        names += ["expected_dice", "warning"]
    return names


def _measure(
    prediction: Prediction, labels: labels_lib.Labels
) -> dict[str, Any]:
    """Returns the size of an image, and how much of it the labels take."""
    height, width, _ = prediction.label_map.shape
    row: dict[str, Any] = {"width": width, "height": height}
    for label, slug in enumerate(labels.slugs):
        is_inside = prediction.label_map[..., label].view(bool)
        probability = prediction.probability_map[..., label]
        area = np.count_nonzero(is_inside)
        row[f"{slug}_area_px"] = area
        row[f"{slug}_fraction"] = f"{area / is_inside.size:.6f}"
        row[f"{slug}_mean_probability"] = (
            f"{_mean_inside(probability, is_inside):.6f}" if area else ""
        )
    return row


def _measure_mm2(
    row: Mapping[str, Any], labels: labels_lib.Labels, header: Any
) -> dict[str, str]:
    """Returns the areas of the labels in mm2, where the spacing is known."""
    spacing = dicom.pixel_spacing(header)
    if spacing is None:
        return {}
    return {
        f"{slug}_area_mm2": f"{row[f'{slug}_area_px'] * math.prod(spacing):.4f}"
        for slug in labels.slugs
    }


def _mean_inside(probability: np.ndarray, is_inside: np.ndarray) -> float:
    # Some rows at a time, which takes little memory; each in float32.
    size = max(1, _BLOCK // is_inside.shape[1])
    total = 0.0
    for start in range(0, len(is_inside), size):
        rows = slice(start, start + size)
        if is_inside[rows].any():
            sums = np.sum(probability[rows] * is_inside[rows], axis=1)
            total += float(np.sum(sums, dtype=np.float64))
    return total / np.count_nonzero(is_inside)
