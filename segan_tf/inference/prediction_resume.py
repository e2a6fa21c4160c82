"""Finds what an earlier prediction into a folder has left to do."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from typing import Any

from segan_tf import csv_files, records
from segan_tf.errors import UserError
from segan_tf.inference import prediction_files
from segan_tf.inference.image_job import ImageJob
from segan_tf.inference.prediction_inputs import Source
from segan_tf.inference.prediction_tables import GrowingTable

FILE_NAME = "prediction.json"


def find_missing(
    sources: Sequence[Source],
    table: GrowingTable,
    *,
    task: ImageJob,
    resume: bool,
) -> Sequence[Source]:
    """Finds the images to predict, and prepares the table for their rows.

    Those that are done have a row, and a label map that is not older than the
    image. Rows of images that are not given now stay.

    Args:
      sources: the images.
      table: of the rows.
      task: what is done with each image, and in which folder.
      resume: whether anything that is done counts.

    Raises:
      UserError: the folder holds label maps of another model, or that were
        made with other settings.
    """
    folder = task.job.output_dir
    record = os.path.join(folder, FILE_NAME)
    settings = describe(task)
    if not resume or not os.path.exists(record):
        records.write(record, settings)
        table.start()
        return sources
    with records.reported_read_errors(record):
        check_same(
            records.read(record),
            settings,
            folder,
            remedy="give another folder, or --noresume to replace them.",
        )
    if not os.path.exists(table.path):
        table.start()
        return sources
    in_table = table.read_ids()
    missing = [
        source
        for source in sources
        if csv_files.text_cell(source.id) not in in_table
        or not prediction_files.is_written(
            source, folder, task.predictor.labels
        )
    ]
    again = {csv_files.text_cell(source.id) for source in missing}
    table.keep(dropped=again & in_table)
    return missing


def describe(task: ImageJob) -> dict[str, Any]:
    """Describes what the label maps of a folder have in common."""
    predictor, job = task.predictor, task.job
    settings: dict[str, Any] = {
        "model": predictor.description,
        "decision": predictor.decision_text or "default",
        "style": job.style or "default",
        "tta": job.tta,
        "overlays": job.overlays,
    }
    if os.path.isfile(job.model):
        with open(job.model, "rb") as file:
            settings["sha256"] = hashlib.sha256(file.read()).hexdigest()
    return settings


def check_same(
    earlier: Mapping[str, Any],
    settings: Mapping[str, Any],
    folder: str,
    *,
    remedy: str,
) -> None:
    """Checks that a folder has predictions of the same model and settings.

    Args:
      earlier: settings in the folder.
      settings: those now.
      folder: for the message.
      remedy: for the message.

    Raises:
      UserError: some differ.
    """
    for name, value in settings.items():
        if earlier.get(name) != value:
            raise UserError(
                f"--output_dir ({folder}) holds predictions with the {name} "
                f"{earlier.get(name)}, not {value}; {remedy}"
            )
