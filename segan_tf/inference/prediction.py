"""Predicts many images: label maps, overlays and CSV files.

The main process finds the images, hands them to the workers and writes the
tables; a worker reads an image, runs the model and writes the image's files.
"""

import contextlib
import dataclasses
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from segan_tf import (
    console,
    environment,
    failures,
    files,
    run_dir,
    run_lock,
)
from segan_tf import decision as decision_lib
from segan_tf.config import PRETRAINED, Config, UserError
from segan_tf.inference import (
    backends,
    image_job,
    prediction_files,
    prediction_inputs,
    prediction_resume,
    prediction_tables,
    workers,
)
from segan_tf.inference.prediction_inputs import Inputs, Source

# Starting a process takes as long as predicting some images.
_IMAGES_PER_WORKER = 32
MAX_PRINTED = 20  # lines about single images, of each kind
_TABLES = {"skipped": "failed", "warning": "predictions"}  # that hold them all


@dataclasses.dataclass(frozen=True)
class PredictionSummary:
    """The outcome of a prediction.

    Attributes:
      output_dir: the folder of the label maps.
      predicted: the number of images that have a label map.
      skipped: path of each file without one -> the reason.
      earlier: how many of the predicted ones had it before.
    """

    output_dir: str
    predicted: int
    skipped: dict[str, str]
    earlier: int = 0

    def summary(self) -> str:
        """Returns the numbers in a line."""
        total = self.predicted + len(self.skipped)
        earlier = (
            f", {self.earlier} of them from before" if self.earlier else ""
        )
        failed = ""
        if self.skipped:
            failed = f"; failed.csv names the other {len(self.skipped)}"
        return (
            f"{self.predicted} of {total} images have a label map in "
            f"{self.output_dir}{earlier}{failed}"
        )


def predict(config: Config) -> PredictionSummary:
    """Segments the images of ``input`` and writes to ``output_dir``.

    Label maps have the image's own size. ``<id>_label_map.png`` holds 0 or
    255 for one label, and the labels' numbers, in color, for multiclass
    labels. Multilabel ones have a file each, ``<id>_<label>.png``, with 0 or
    255. With the style "all", ``<id>_<style>_`` begins the names of the label
    maps in each style, and ``<id>_styles_overlay`` has all their outlines.

    Raises:
      UserError: there is no image, two images have the same id, or the model
        or output_dir cannot be used.
    """
    inputs = prediction_inputs.find(
        config.input, config.input_list, output_dir=config.output_dir
    )
    _check_folders(config)
    model = choose_model(config)
    if run_dir.has_flags(model):
        run_dir.check_same_model(run_dir.read_flags(model), config)
    else:
        run_dir.check_no_model_settings(config, model)
    has_dicom = any(source.is_dicom for source in inputs.images)
    task = make_job(config, model, has_dicom=has_dicom).open()
    console.say(f"predicting with {task.predictor.description}")
    if task.predictor.decision_text:
        console.say(f"deciding with {task.predictor.decision_text}")
    labels, styles = task.predictor.labels, task.styles
    prediction_files.check_distinct(inputs.images, labels, styles)
    part = prediction_tables.shard_part(config.shard, config.num_shards)
    try:
        os.makedirs(config.output_dir, exist_ok=True)
        with run_lock.hold(
            config.output_dir,
            flag="--output_dir",
            user="prediction",
            part=part,
        ):
            if prediction_files.ignores_case(config.output_dir, part):
                prediction_files.check_distinct(
                    inputs.images, labels, styles, ignore_case=True
                )
            mine = prediction_inputs.take_shard(
                inputs, config.shard, config.num_shards
            )
            return _Prediction(config, task, part).run(mine)
    except OSError as error:
        raise UserError(
            f"--output_dir ({config.output_dir}) cannot be written "
            f"({error.strerror}); {failures.remedy_for(error)}."
        ) from error


def choose_model(config: Config) -> str:
    """Returns ``model``, else the run in model_dir, else the released one."""
    if config.model:
        return config.model
    if "model_dir" in config.given or run_dir.has_flags(config.model_dir):
        return config.model_dir
    return PRETRAINED


def make_job(config: Config, model: str, *, has_dicom: bool) -> image_job.Job:
    """Makes the job that does what a configuration says.

    Raises:
      UserError: the decision cannot be read, or the runtime does not fit.
    """
    decision = decision_lib.read_given(config.decision)
    runtime = backends.choose_runtime(
        model,
        config.runtime,
        needs_styles=bool(config.style or (decision and decision.style)),
    )
    return image_job.Job(
        model,
        config.output_dir,
        runtime,
        style=config.style,
        decision=decision,
        tta=config.tta,
        overlays=config.overlays,
        has_dicom=has_dicom,
    )


class _Prediction:
    """A prediction into a folder that is locked."""

    def __init__(
        self, config: Config, task: image_job.ImageJob, part: str
    ) -> None:
        self._config = config
        self._task = task
        self._folder = config.output_dir
        self._part = part
        self._cleared: set[str] = set()
        self._printed: dict[str, int] = {}

    def run(self, inputs: Inputs) -> PredictionSummary:
        """Predicts the images that have no label map yet."""
        table, failed = self._tables()
        with table, failed:
            missing = prediction_resume.find_missing(
                inputs.images,
                table,
                task=self._task,
                resume=self._config.resume,
            )
            earlier = len(inputs.images) - len(missing)
            prediction_files.write_legends(
                self._folder, self._task.predictor.labels, self._task.styles
            )
            skipped = dict(inputs.unread)
            for path, reason in skipped.items():
                failed.add(path, reason)
                self._say("skipped", reason)
            if earlier:
                console.say(
                    f"{earlier} of {len(inputs.images)} images have a label "
                    "map from before (--noresume predicts them again)"
                )
            with self._opened_bar(len(inputs.images), earlier) as bar:
                for source, outcome in self._outcomes(missing):
                    if outcome.row is None:
                        skipped[source.shown_as] = outcome.reason
                        failed.add(source.shown_as, outcome.reason)
                        self._say("skipped", outcome.reason)
                    else:
                        table.add(outcome.row)
                        self._say_warning(outcome)
                        if outcome.note:
                            self._say("note", outcome.note)
                    bar.update()
        total = len(inputs.images) + len(inputs.unread)
        return PredictionSummary(
            self._folder, total - len(skipped), skipped, earlier
        )

    def _tables(
        self,
    ) -> tuple[prediction_tables.GrowingTable, prediction_tables.FailureTable]:
        predictions, failed = (
            os.path.join(self._folder, f"{name}{self._part}.csv")
            for name in ("predictions", "failed")
        )
        return (
            prediction_tables.GrowingTable(predictions, self._task.columns),
            prediction_tables.FailureTable(failed),
        )

    @contextlib.contextmanager
    def _opened_bar(self, total: int, earlier: int) -> Iterator[Any]:
        with console.bar(
            total=total,
            initial=earlier,
            desc="predicting",
            unit="image",
            smoothing=0.05,
        ) as bar:
            try:
                yield bar
            except BaseException:
                bar.close()
                console.say(
                    f"note: {bar.n} of {total} images are done; the same "
                    "command goes on with the others"
                )
                raise

    def _outcomes(
        self, sources: Sequence[Source]
    ) -> Iterator[tuple[Source, image_job.Outcome]]:
        """Predicts images, in this process or in workers."""
        count = _count_workers(self._config.workers, len(sources), self._task)
        prepared = self._clear_folders(sources)
        if count <= 1:
            for source in prepared:
                yield source, self._task(source)
            return
        with workers.Pool(
            self._task.job.open, count, on_lost=_describe_lost
        ) as pool:
            yield from pool.map(prepared)

    def _clear_folders(self, sources: Iterable[Source]) -> Iterator[Source]:
        """Removes what a killed prediction left in the folder of each image."""
        for source in sources:
            folder = os.path.dirname(os.path.join(self._folder, source.id))
            if folder not in self._cleared:
                self._cleared.add(folder)
                # With shards, another one may be writing there.
                if not self._part and os.path.isdir(folder):
                    files.remove_leftovers(folder)
            yield source

    def _say_warning(self, outcome: image_job.Outcome) -> None:
        if outcome.row and outcome.warning:
            expected = float(outcome.row["expected_dice"])
            self._say(
                "warning",
                f"{outcome.row[prediction_tables.ID]}: {outcome.warning} "
                f"(expected Dice {expected:.2f})",
            )

    def _say(self, kind: str, text: str) -> None:
        """Prints the first lines about single images; tables hold them all."""
        number = self._printed[kind] = self._printed.get(kind, 0) + 1
        if number <= MAX_PRINTED:
            # One line, whatever a file is called.
            console.say(console.printable(f"{kind}: {text}", keep=""))
        elif number == MAX_PRINTED + 1:
            table = _TABLES.get(kind)
            where = f"only in {table}{self._part}.csv" if table else "left out"
            console.say(f"note: further lines of this kind are {where}")


def _count_workers(
    wanted: int, num_images: int, task: image_job.ImageJob
) -> int:
    if wanted:
        return min(wanted, num_images)
    if not backends.runs_in_tflite(task.job.model, task.job.runtime):
        return 1
    return min(environment.count_cores(), num_images // _IMAGES_PER_WORKER)


def _describe_lost(source: Source) -> image_job.Outcome:
    return image_job.Outcome(
        reason=f"{source.shown_as}: the process that predicted it was killed "
        "twice, perhaps for its memory; predict it alone"
    )


def _check_folders(config: Config) -> None:
    """Checks that no input can be overwritten by a label map."""
    if not os.path.exists(config.output_dir):
        return
    for path in config.input:
        folder = path if os.path.isdir(path) else os.path.dirname(path)
        if os.path.samefile(folder or os.curdir, config.output_dir):
            raise UserError(
                f"--output_dir ({config.output_dir}) is the folder of the "
                "images; give another, so that no image is overwritten."
            )
