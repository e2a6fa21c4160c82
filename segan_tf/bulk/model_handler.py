"""Predicts the images of a pipeline, for Beam's RunInference."""

import contextlib
import dataclasses
import os
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any

from apache_beam.ml.inference import base

from segan_tf.bulk import storage
from segan_tf.config import is_released
from segan_tf.errors import UserError
from segan_tf.inference import image_job, memory
from segan_tf.inference.prediction_inputs import Source

# A batch saves only Beam's own work for one: the models take one image at a
# time. All files of a batch are in memory until its last image is predicted.
_BATCH = 8


@dataclasses.dataclass(frozen=True)
class Predicted:
    """What became of an image, and its files.

    Attributes:
      source: the image.
      outcome: its row, or why there is none.
      files: the content of each file, by its name in the output.
    """

    source: Source
    outcome: image_job.Outcome
    files: dict[str, bytes]


class ImageHandler(base.ModelHandler[Source, Predicted, image_job.ImageJob]):
    """Does a job of `--mode=predict` with the images of a pipeline.

    Each process has a model, and each call a temporary folder, so that threads
    may share the model.
    """

    def __init__(self, job: image_job.Job) -> None:
        """Takes the job; its model may be in any file system."""
        super().__init__(min_batch_size=_BATCH, max_batch_size=_BATCH)
        self._job = job

    def load_model(self) -> image_job.ImageJob:
        """Loads the model.

        Raises:
          UserError: it cannot be read or used.
        """
        memory.keep_freed()
        with opened_model(self._job) as job:
            return job.open()

    def run_inference(
        self,
        batch: Sequence[Source],
        model: image_job.ImageJob,
        inference_args: dict[str, Any] | None = None,
    ) -> Iterator[Predicted]:
        """Predicts images.

        Raises:
          Exception: what the next image would meet too, such as a full disk.
        """
        for source in batch:
            with tempfile.TemporaryDirectory() as folder:
                outcome = _predict(model, source, folder)
                yield Predicted(source, outcome, _read_files(folder))


@contextlib.contextmanager
def opened_model(job: image_job.Job) -> Iterator[image_job.Job]:
    """Gives a job whose model is on this machine."""
    if is_released(job.model):
        yield job
        return
    with storage.local_copy(job.model) as path:
        yield dataclasses.replace(job, model=path)


def _predict(
    model: image_job.ImageJob, source: Source, folder: str
) -> image_job.Outcome:
    """Writes the files of an image into a folder of this machine."""
    try:
        stem = os.path.join(folder, source.id)
        os.makedirs(os.path.dirname(stem), exist_ok=True)
        with storage.local_copy(source.path) as copy:
            outcome = model(source._replace(path=copy), folder)
        reason = outcome.reason.replace(copy, source.path)
        return dataclasses.replace(outcome, reason=reason)
    except UserError as error:  # it cannot be copied
        reason = str(error).replace(source.path, source.shown_as)
        return image_job.Outcome(reason=reason)


def _read_files(folder: str) -> dict[str, bytes]:
    """Returns the content of the files in a folder and its subfolders."""
    found = {}
    for parent, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(parent, name)
            with open(path, "rb") as file:
                found[os.path.relpath(path, folder)] = file.read()
    return found
