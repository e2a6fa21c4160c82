"""Checks what a pipeline is to do, on the machine that starts it."""

import dataclasses
import glob
import os
import tempfile
from collections.abc import Mapping

from apache_beam.io import filesystems

from segan_tf import console, records
from segan_tf.bulk import model_handler, sources, storage
from segan_tf.config import PRETRAINED, Config, is_released
from segan_tf.errors import UserError
from segan_tf.inference import (
    backends,
    image_job,
    prediction,
    prediction_files,
    prediction_resume,
)


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a pipeline does, checked on the machine that starts it.

    Attributes:
      patterns: of the images' paths.
      input_list: file of paths instead.
      root: folder that ids begin at.
      job: done with each image.
      folder: of the output.
      columns: of the predictions, without and with DICOM among the images.
      num_shards: parts of each table.
    """

    patterns: tuple[str, ...]
    input_list: str
    root: str
    job: image_job.Job
    folder: storage.Folder
    columns: dict[bool, list[str]]
    num_shards: int


def make_plan(config: Config) -> Plan:
    """Checks a configuration, and writes what all label maps share.

    Raises:
      UserError: there is no input, or the model or output_dir cannot be used.
    """
    output_dir = _absolute(config.output_dir)
    if storage.has_pattern(output_dir):
        raise UserError(
            f"--output_dir ({output_dir}) holds one of *?[, which Beam takes "
            "for a pattern; give another folder."
        )
    starts = dict(_as_pattern(path) for path in config.input)
    root = _find_root(config.input_list, starts)
    if root == output_dir:
        raise UserError(
            f"--output_dir ({output_dir}) is the folder of the images; give "
            "another, so that no image is overwritten."
        )
    folder = storage.Folder(output_dir)
    job = _make_job(config)
    with model_handler.opened_model(job) as local_job:
        task = local_job.open()
        _check_names(task)
        _write_shared(folder, task, job)
    return Plan(
        patterns=tuple(starts),
        input_list=config.input_list,
        root=root,
        job=job,
        folder=folder,
        columns={
            has_dicom: image_job.columns_of(task.predictor, has_dicom=has_dicom)
            for has_dicom in (False, True)
        },
        num_shards=config.num_shards,
    )


def _absolute(path: str) -> str:
    return os.path.abspath(path) if storage.is_local(path) else path.rstrip("/")


def _as_pattern(path: str) -> tuple[str, str]:
    """Returns a pattern of files, and the beginning of their paths."""
    if not storage.is_local(path):
        path = f"{path}**" if path.endswith("/") else path
        return path, storage.without_pattern(path)
    is_there, is_folder = os.path.exists(path), os.path.isdir(path)
    path = os.path.abspath(path)
    if is_folder:
        start = storage.join(path, "")
        return f"{glob.escape(start)}**", start
    if is_there:
        return glob.escape(path), path
    return path, storage.without_pattern(path)


def _find_root(input_list: str, starts: Mapping[str, str]) -> str:
    """Returns the folder that ids begin at.

    Args:
      input_list: file of paths.
      starts: patterns instead, with the beginning of the paths of each.

    Raises:
      UserError: there is no input, or none that can be found.
    """
    if bool(starts) == bool(input_list):
        raise UserError(
            "give either --input, a pattern of paths, or --input_list, a file "
            "with a path in each line."
        )
    if input_list:
        return storage.common_folder(_read_list(input_list))
    for pattern in starts:
        _check_match(pattern)
    return storage.common_folder(list(starts.values()))


def _read_list(path: str) -> list[str]:
    """Reads the paths in a list.

    Raises:
      UserError: it cannot be read, or names no image.
    """
    try:
        lines = storage.read(path).decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise UserError(
            f"--input_list ({path}) is not a text in UTF-8 with a path in each "
            "line; give one."
        ) from error
    found = [
        image
        for line in lines
        for image in sources.clean_line(line, os.getcwd())
    ]
    if not found:
        raise UserError(f"--input_list ({path}) names no image; give another.")
    return found


def _check_match(pattern: str) -> None:
    """Checks that a pattern matches a file.

    Raises:
      UserError: it does not, or its file system cannot be used.
    """
    try:
        (found,) = filesystems.FileSystems.match([pattern], limits=[1])
    except Exception as error:  # clients of clouds raise errors of their own
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"--input ({pattern}) cannot be searched ({reason}); check the "
            "path and its permissions."
        ) from error
    if not found.metadata_list:
        raise UserError(
            f"--input ({pattern}) matches no file; give an image, a folder, or "
            "a pattern such as /archive/**.jpg."
        )


def _make_job(config: Config) -> image_job.Job:
    """Makes the job of a TFLite model.

    Raises:
      UserError: the model is none.
    """
    model = config.model or PRETRAINED
    if not storage.is_local(model) or os.path.isfile(model):
        model = _absolute(model)
    job = prediction.make_job(config, model, has_dicom=False)
    with model_handler.opened_model(job) as local_job:
        if not backends.runs_in_tflite(local_job.model, job.runtime):
            raise UserError(
                f"--model ({model}) must be a TFLite file or a released model "
                "that runs in int8; export a run first with --mode=export."
            )
    return job


def _check_names(task: image_job.ImageJob) -> None:
    """Checks that only equal ids make equal names of files.

    Raises:
      UserError: the names of labels or styles end like others.
    """
    ending = prediction_files.ambiguous_ending(
        task.predictor.labels, task.styles
    )
    if ending:
        raise UserError(
            f"the names of two kinds of files end in _{ending}, so that those "
            "of two images may be equal; use --mode=predict --num_shards for "
            "this model."
        )


def _write_shared(
    folder: storage.Folder, task: image_job.ImageJob, job: image_job.Job
) -> None:
    """Writes what the model and the colors are, as predict does.

    Raises:
      UserError: the folder has predictions of other settings, or cannot be
        written.
    """
    settings = prediction_resume.describe(task)
    if not is_released(job.model):
        settings["model"] = job.model
    with tempfile.TemporaryDirectory() as local:
        record = os.path.join(local, prediction_resume.FILE_NAME)
        earlier = storage.join(folder.path, prediction_resume.FILE_NAME)
        if storage.exists(earlier):
            with open(record, "wb") as file:
                file.write(storage.read(earlier))
            with records.reported_read_errors(earlier):
                prediction_resume.check_same(
                    records.read(record),
                    settings,
                    folder.path,
                    remedy="give another folder, or remove this one.",
                )
        records.write(record, settings)
        prediction_files.write_legends(
            local, task.predictor.labels, task.styles
        )
        try:
            for name in os.listdir(local):
                with open(os.path.join(local, name), "rb") as file:
                    folder.write(name, file.read())
        except Exception as error:
            raise UserError(
                f"--output_dir ({folder.path}) cannot be written ({error}); "
                "check the path and its permissions."
            ) from error
    console.say(f"predicting with {task.predictor.description}")
