"""The training loop: steps, logs, validation, checkpoints, stopping."""

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf
import tqdm

from segan_tf import (
    checkpoint_files,
    compat,
    console,
    run_dir,
    run_swap,
)
from segan_tf import labels as labels_lib
from segan_tf import styles as styles_lib
from segan_tf.config import Config, UserError
from segan_tf.datasets import pairs
from segan_tf.imaging import preprocessing
from segan_tf.input import cached_dataset, pipeline
from segan_tf.models import blocks
from segan_tf.training import (
    checkpoints,
    distribution,
    monitor,
    reporting,
    signals,
    summaries,
    train_step,
    validation,
)
from segan_tf.training.state import build_train_state, load_start_weights

LOOP_STEPS = 50  # at most so many steps between two reports
LOOP_SECONDS = 10.0  # about how often losses are read and logged


class Trainer:
    """Trains one run; its model_dir holds everything needed to resume it.

    Attributes:
      state: the models and their optimizers.
      step: the number of steps made.
      folder: where the run is written: the model_dir, or until the first
        checkpoint of a run that starts over, a folder that will replace it.
    """

    def __init__(
        self,
        config: Config,
        *,
        training: cached_dataset.CachedDataset,
        validation: cached_dataset.CachedDataset,
        strategy: tf.distribute.Strategy,
        labels: labels_lib.Labels = labels_lib.LESION,
        styles: styles_lib.AssignedStyles = styles_lib.UNASSIGNED,
    ) -> None:
        """Builds the models and restores the last checkpoint.

        Args:
          config: all settings of the run.
          training: records to train on.
          validation: records to choose the best checkpoint by; may be empty.
          strategy: from `distribution.create_strategy`.
          labels: their names are used in the logs.
          styles: of the training pairs.

        Raises:
          UserError: the batch size does not fit, the checkpoint is not
            this run's, the model_dir cannot be written, or
            tensorflow-addons is needed and missing.
        """
        self._config = config
        self._labels = labels
        self._styles = styles
        self._strategy = strategy
        self._training = training
        self._validation = validation
        _check_before_building(config, strategy.num_replicas_in_sync)
        self._steps_per_epoch = pipeline.steps_per_epoch(
            training.count, config.batch_size
        )
        self.folder = _choose_folder(config)
        with strategy.scope():
            self.state = build_train_state(
                config,
                steps_per_epoch=self._steps_per_epoch,
                num_replicas=strategy.num_replicas_in_sync,
                styles=styles.styles,
            )
            self._checkpoints = checkpoints.Checkpoints(self.folder, self.state)
            self.step = self._checkpoints.restore()
            if config.start_from and not self.step:
                load_start_weights(self.state)
        self._first_step = self.step
        self._last_step = config.epochs * self._steps_per_epoch
        self._panels = summaries.SummaryWriter(self.folder)
        self._reporter = reporting.Reporter(
            self.state,
            labels=labels,
            summary_writer=self._panels,
            folder=self.folder,
            first_step=self.step,
        )
        self._distributed_step = train_step.make_distributed_step(
            self.state, strategy
        )
        self._segment = tf.function(self._segment_batch, reduce_retracing=True)
        self._saved_at, self._saved_step = time.monotonic(), self.step

    def train(self) -> dict[str, Any]:
        """Trains until the last epoch, or until SIGTERM or SIGINT.

        Returns:
          What training took: seconds, images per second, peak memory. Empty
          if the run already has all its epochs.

        Raises:
          Diverged: a loss or a weight is NaN or infinite.
          UserError: a checkpoint or the log cannot be written; or a pair can
            no longer be read, and the run is saved.
          SystemExit: the run was told to stop; it is saved.
        """
        if self.step >= self._last_step:
            if not run_dir.read_training(self.folder):
                self._complete()
            console.say(
                f"{self._config.model_dir} has all {self._config.epochs} "
                "epochs; raise --epochs to continue."
            )
            return {}
        if self.step:
            console.say(f"resuming at step {self.step} of {self._last_step}")
        run_dir.remove_training(self.folder)
        started = time.monotonic()
        with signals.StopSignals() as stop, self._bar() as bar:
            self._run(stop, bar)
        summary = reporting.summarize_training(
            first_step=self._first_step,
            last_step=self.step,
            batch_size=self._config.batch_size,
            seconds=time.monotonic() - started,
        )
        run_dir.write_training(self.folder, summary)
        return summary

    def _complete(self) -> None:
        """Does what a process killed after its last step had left to do."""
        self._checkpoints.save_last(self.step)
        summary = reporting.summarize_log(
            self._reporter.log.read_loops(), batch_size=self._config.batch_size
        )
        run_dir.write_training(self.folder, summary)

    def validate(self) -> np.ndarray:
        """Computes each label's Dice; see `validation.compute_label_dice`."""
        return validation.compute_label_dice(
            self._config,
            self._validation,
            self._segment,
            labels=self._labels,
            summary_writer=self._panels,
            step=self.step,
        )

    def _run(self, stop: signals.StopSignals, bar: tqdm.tqdm) -> None:
        """Runs loops until the last epoch or a signal."""
        batches = iter(self._make_batches())
        while self.step < self._last_step:
            before = self.step
            self._run_loop(batches, stop, bar=bar)
            unreadable = bool(self._training.failures)
            if self.step % self._steps_per_epoch == 0 and self.step > before:
                self._end_epoch(bar)
            elif stop.requested or unreadable or self._checkpoint_is_due():
                self._save()
            if unreadable:
                raise self._describe_failure(self._training)
            if stop.requested and self.step < self._last_step:
                without = "" if self._config.resume else " without --noresume"
                console.say(
                    f"stopped and saved at step {self.step}; the same "
                    f"command{without} resumes from there."
                )
                raise SystemExit(signals.EXIT_STATUS)

    def _run_loop(
        self, batches: Iterator, stop: signals.StopSignals, *, bar: tqdm.tqdm
    ) -> None:
        """Makes steps until it is time to read the losses, and reports them."""
        first, started = self.step, time.monotonic()
        rows: list[dict[str, tf.Tensor]] = []
        epoch_end = (first // self._steps_per_epoch + 1) * self._steps_per_epoch
        while self.step < epoch_end and len(rows) < LOOP_STEPS:
            try:
                batch = next(batches)
            except tf.errors.OpError:
                if self._training.failures:
                    break
                raise
            rows.append(self._distributed_step(*batch))
            self.step += 1
            bar.update(self._config.batch_size)
            late = time.monotonic() - started > LOOP_SECONDS
            if stop.requested or late:
                break
        if not rows:
            return
        logs = {
            name: np.stack([row[name].numpy() for row in rows])
            for name in rows[0]
        }
        seconds = time.monotonic() - started
        monitor.check_not_finite(first, logs)
        # A loss is computed before its step changes the weights: a checkpoint
        # of weights spoiled by the last step could never be resumed.
        for model in filter(None, (self.state.segmentor, self.state.critic)):
            monitor.check_not_finite_weights(self.step, model)
        self._reporter.report_loop(
            logs, step=self.step, epoch=self._epoch, seconds=seconds, bar=bar
        )

    def _end_epoch(self, bar: tqdm.tqdm) -> None:
        line = f"epoch {self._epoch}/{self._config.epochs}"
        label_dice = None
        if self._validation.count:
            try:
                label_dice = self.validate()
            except tf.errors.OpError as error:
                if not self._validation.failures:
                    raise
                raise self._describe_failure(self._validation) from error
            dice = float(np.nanmean(label_dice))
            best = self._checkpoints.save_best(self.step, dice)
            line += (
                f": validation dice {dice:.4f}{' (best)' if best else ''}"
                f"{reporting.format_labels(self._labels, label_dice)}"
            )
            self._reporter.report_validation(
                label_dice, step=self.step, epoch=self._epoch
            )
        self._save()
        console.say(line)
        self._reporter.report_collapse(label_dice, epoch=self._epoch)
        coming = min(self._epoch + 1, self._config.epochs)
        bar.set_description(f"epoch {coming}/{self._config.epochs}")

    def _segment_batch(self, image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        style = None
        if self._styles.styles.count:  # validation is untold
            mean = tf.constant([self._styles.styles.mean], tf.float32)
            style = tf.repeat(mean, tf.shape(image)[0], axis=0)
        inputs = blocks.with_style(image, style)
        predicted = self.state.eval_model(inputs, training=False)
        return predicted, preprocessing.decide_label_map(
            predicted, multiclass=self._config.multiclass
        )

    def _make_batches(self) -> tf.distribute.DistributedDataset:
        dataset = pipeline.make_training_dataset(
            self._training,
            batch_size=self._config.batch_size,
            image_size=self._config.image_size,
            first_step=self.step,
            last_step=self._last_step,
            seed=self._config.seed,
            strong=self._config.augment == "strong",
            flip=self._config.resolved_flip,
            styles=self._make_style_rows(),
        )
        return self._strategy.experimental_distribute_dataset(dataset)

    def _make_style_rows(self) -> pipeline.StyleRows | None:
        if not self._styles.styles.count:
            return None
        rows = [
            self._styles.mixture_of(pairs.normalized(pair_id))
            for pair_id in self._training.facts
        ]
        return pipeline.StyleRows(
            np.array(rows, np.float32),
            np.array(self._styles.styles.mean, np.float32),
            self._config.style_dropout,
        )

    def _bar(self) -> tqdm.tqdm:
        size = self._config.batch_size
        return console.bar(
            total=self._last_step * size,
            initial=self.step * size,
            unit="img",
            desc=f"epoch {self.step // self._steps_per_epoch + 1}"
            f"/{self._config.epochs}",
        )

    @property
    def _epoch(self) -> int:
        """The epoch of the step made last, from 1."""
        return -(-self.step // self._steps_per_epoch)

    def _checkpoint_is_due(self) -> bool:
        minutes = (time.monotonic() - self._saved_at) / 60
        return minutes >= self._config.checkpoint_minutes

    def _describe_failure(
        self, records: cached_dataset.CachedDataset
    ) -> UserError:
        """Makes the error of a pair that can no longer be read."""
        reason = str(records.failures[0]).rstrip(".")
        saved = "nothing is saved yet"
        if self._saved_step:
            without = "" if self._config.resume else ", without --noresume,"
            saved = (
                f"the run is saved at step {self._saved_step}, and the same "
                f"command{without} resumes from there"
            )
        return UserError(f"{reason}; {saved}.")

    def _save(self) -> None:
        if self.step == self._saved_step:
            return
        self._checkpoints.save_last(self.step)
        self._saved_step = self.step
        if self.folder != self._config.model_dir:
            self._replace_old_run()
        self._saved_at = time.monotonic()

    def _replace_old_run(self) -> None:
        """Moves the new run, which has a checkpoint now, into the model_dir."""
        model_dir = self._config.model_dir
        self._panels.close()
        with run_dir.reported(model_dir):
            run_swap.publish(model_dir)
        self.folder = self._reporter.log.folder = model_dir
        self._checkpoints.move(model_dir)
        self._panels.open(model_dir)


def _choose_folder(config: Config) -> str:
    """Returns a folder of its own for a run that starts over."""
    model_dir = config.model_dir
    if config.resume or not (
        run_dir.has_flags(model_dir) or checkpoint_files.has_any(model_dir)
    ):
        return model_dir
    with run_dir.reported(model_dir):
        return run_swap.begin(model_dir)


def _check_before_building(config: Config, num_replicas: int) -> None:
    distribution.check_batch_size(config.batch_size, num_replicas)
    distribution.check_xla(config.xla, num_replicas)
    if config.augment == "strong":
        compat.find_addons()  # raises here rather than within a graph
