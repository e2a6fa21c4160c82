"""Writes a run as it is trained: checkpoints, log, curves, validation."""

import time

import numpy as np
import tensorflow as tf
import tqdm

from segan_tf import checkpoint_files, console, run_dir, run_swap
from segan_tf import labels as labels_lib
from segan_tf import styles as styles_lib
from segan_tf.config import Config, UserError
from segan_tf.imaging import preprocessing
from segan_tf.input import cached_dataset
from segan_tf.models import blocks
from segan_tf.training import checkpoints, reporting, summaries, validation
from segan_tf.training.state import TrainState, load_start_weights


class RunWriter:
    """Writes what a run holds; of several workers, the chief does.

    Attributes:
      folder: where the run is written: the model_dir, or until the first
        checkpoint of a run that starts over, a folder that will replace it.
      saved_step: the step of the last checkpoint; 0 before there is one.
    """

    def __init__(
        self,
        config: Config,
        state: TrainState,
        *,
        validation: cached_dataset.CachedDataset,
        labels: labels_lib.Labels,
        styles: styles_lib.AssignedStyles,
    ) -> None:
        """Names the files of the run.

        Args:
          config: all settings of the run.
          state: what is trained.
          validation: records to choose the best checkpoint by; may be empty.
          labels: their names are used in the logs.
          styles: of the training pairs.

        Raises:
          UserError: the model_dir cannot be written.
        """
        self._config = config
        self._state = state
        self._validation = validation
        self._labels = labels
        self._styles = styles
        self.folder = _choose_folder(config)
        self._checkpoints = checkpoints.Checkpoints(self.folder, state)
        self._segment = tf.function(self._segment_batch, reduce_retracing=True)

    def open(self) -> None:
        """Restores the last checkpoint, or starts; opens log and curves.

        Raises:
          UserError: the checkpoint is not this run's, or the log or the curves
            cannot be written.
        """
        step = self._checkpoints.restore()
        if self._config.start_from and not step:
            load_start_weights(self._state)
        self._panels = summaries.SummaryWriter(self.folder)
        self.reporter = reporting.Reporter(
            self._state,
            labels=self._labels,
            summary_writer=self._panels,
            folder=self.folder,
            first_step=step,
        )
        self._saved_at, self.saved_step = time.monotonic(), step

    def validate(self, step: int) -> np.ndarray:
        """Computes each label's Dice; see `validation.compute_label_dice`."""
        return validation.compute_label_dice(
            self._config,
            self._validation,
            self._segment,
            labels=self._labels,
            summary_writer=self._panels,
            step=step,
        )

    def end_epoch(self, step: int, epoch: int, *, bar: tqdm.tqdm) -> None:
        """Validates, saves and reports.

        Raises:
          UserError: a file cannot be written, or a pair no longer be read.
        """
        line = f"epoch {epoch}/{self._config.epochs}"
        label_dice = None
        if self._validation.count:
            try:
                label_dice = self.validate(step)
            except tf.errors.OpError as error:
                if not self._validation.failures:
                    raise
                reason = str(self._validation.failures[0])
                raise describe_failure(
                    self._config, reason, self.saved_step
                ) from error
            dice = float(np.nanmean(label_dice))
            best = self._checkpoints.save_best(step, dice)
            line += (
                f": validation dice {dice:.4f}{' (best)' if best else ''}"
                f"{reporting.format_labels(self._labels, label_dice)}"
            )
            self.reporter.report_validation(label_dice, step=step, epoch=epoch)
        self.save(step)
        console.say(line)
        self.reporter.report_collapse(label_dice, epoch=epoch)
        coming = min(epoch + 1, self._config.epochs)
        bar.set_description(f"epoch {coming}/{self._config.epochs}")

    def checkpoint_is_due(self) -> bool:
        """Returns whether the last one is older than checkpoint_minutes."""
        minutes = (time.monotonic() - self._saved_at) / 60
        return minutes >= self._config.checkpoint_minutes

    def save(self, step: int) -> None:
        """Saves the last checkpoint, unless it is of this step.

        Raises:
          UserError: it cannot be written; earlier checkpoints are kept.
        """
        if step == self.saved_step:
            return
        self._checkpoints.save_last(step)
        self.saved_step = step
        if self.folder != self._config.model_dir:
            self._replace_old_run()
        self._saved_at = time.monotonic()

    def complete(self, step: int) -> None:
        """Does what a process killed after its last step had left to do."""
        if run_dir.read_training(self.folder):
            return
        self._checkpoints.save_last(step)
        summary = reporting.summarize_log(
            self.reporter.log.read_loops(), batch_size=self._config.batch_size
        )
        run_dir.write_training(self.folder, summary)

    def _segment_batch(self, image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        style = None
        if self._styles.styles.count:  # validation is untold
            mean = tf.constant([self._styles.styles.mean], tf.float32)
            style = tf.repeat(mean, tf.shape(image)[0], axis=0)
        inputs = blocks.with_style(image, style)
        predicted = self._state.eval_model(inputs, training=False)
        return predicted, preprocessing.decide_label_map(
            predicted, multiclass=self._config.multiclass
        )

    def _replace_old_run(self) -> None:
        """Moves the new run, which has a checkpoint now, into the model_dir."""
        model_dir = self._config.model_dir
        self._panels.close()
        with run_dir.reported(model_dir):
            run_swap.publish(model_dir)
        self.folder = self.reporter.log.folder = model_dir
        self._checkpoints.move(model_dir)
        self._panels.open(model_dir)


def describe_failure(config: Config, reason: str, saved_step: int) -> UserError:
    """Makes the error of a pair that can no longer be read.

    Args:
      config: of the run.
      reason: why it cannot.
      saved_step: of the last checkpoint, 0 if there is none.
    """
    saved = "nothing is saved yet"
    if saved_step:
        without = "" if config.resume else ", without --noresume,"
        saved = (
            f"the run is saved at step {saved_step}, and the same "
            f"command{without} resumes from there"
        )
    return UserError(f"{reason.rstrip('.')}; {saved}.")


def _choose_folder(config: Config) -> str:
    """Returns a folder of its own for a run that starts over."""
    model_dir = config.model_dir
    if config.resume or not (
        run_dir.has_flags(model_dir) or checkpoint_files.has_any(model_dir)
    ):
        return model_dir
    with run_dir.reported(model_dir):
        return run_swap.begin(model_dir)
