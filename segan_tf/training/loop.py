"""The training loop: steps, logs, validation, checkpoints, stopping."""

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf
import tqdm

from segan_tf import compat, console, run_dir
from segan_tf import labels as labels_lib
from segan_tf import styles as styles_lib
from segan_tf.config import Config, UserError
from segan_tf.datasets import pairs
from segan_tf.input import cached_dataset, pipeline
from segan_tf.training import (
    distributed_step,
    distribution,
    monitor,
    reporting,
    run_writer,
    signals,
)
from segan_tf.training.state import build_train_state
from segan_tf.training.workers import Workers

LOOP_STEPS = 50  # at most so many steps between two reports
LOOP_SECONDS = 10.0  # about how often losses are read and logged


class Trainer:
    """Trains one run; its model_dir holds everything needed to resume it.

    Attributes:
      state: the models and their optimizers.
      step: the number of steps made.
      writer: of the run; None if another worker writes it.
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
        workers: Workers | None = None,
    ) -> None:
        """Builds the models and restores the last checkpoint.

        Args:
          config: all settings of the run.
          training: records to train on.
          validation: records to choose the best checkpoint by; may be empty.
            Only the chief uses them.
          strategy: from `distribution.create_strategy`.
          labels: their names are used in the logs.
          styles: of the training pairs.
          workers: that train together; by default this process alone.

        Raises:
          UserError: the batch size does not fit, the checkpoint is not
            this run's, the model_dir cannot be written, or
            tensorflow-addons is needed and missing.
        """
        self._config = config
        self._styles = styles
        self._strategy = strategy
        self._training = training
        self._workers = workers or Workers(strategy)
        _check_before_building(config, strategy.num_replicas_in_sync)
        self._steps_per_epoch = pipeline.steps_per_epoch(
            training.count, config.batch_size
        )
        self._last_step = config.epochs * self._steps_per_epoch
        with strategy.scope():
            self.state = build_train_state(
                config,
                steps_per_epoch=self._steps_per_epoch,
                num_replicas=strategy.num_replicas_in_sync,
                styles=styles.styles,
            )
        self.writer: run_writer.RunWriter | None = None
        if self._workers.is_chief:
            self.writer = run_writer.RunWriter(
                config,
                self.state,
                validation=validation,
                labels=labels,
                styles=styles,
            )
            self.writer.open()
        self._first_step = self.step = self._share_state()
        self._distributed_step = distributed_step.make_distributed_step(
            self.state, strategy
        )
        self._batch: tuple[tf.Tensor, ...] | None = None

    @property
    def folder(self) -> str:
        """Where the run is written; "" if another worker writes it."""
        return self.writer.folder if self.writer else ""

    def _share_state(self) -> int:
        """Gives all workers the chief's state; returns the step made last."""
        step = self.writer.saved_step if self.writer else 0
        if self._workers.count > 1:
            step = int(self._workers.share(str(step)))
            self._workers.share_variables(self.state.variables)
        return step

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
            if self.writer:
                self.writer.complete(self.step)
            console.say(
                f"{self._config.model_dir} has all {self._config.epochs} "
                "epochs; raise --epochs to continue."
            )
            return {}
        if self.step:
            console.say(f"resuming at step {self.step} of {self._last_step}")
        if self.writer:
            run_dir.remove_training(self.folder)
        started = time.monotonic()
        with signals.StopSignals() as stop, self._bar() as bar:
            self._run(stop, bar)
        if not self.writer:
            return {}
        summary = reporting.summarize_training(
            first_step=self._first_step,
            last_step=self.step,
            batch_size=self._config.batch_size,
            seconds=time.monotonic() - started,
        )
        run_dir.write_training(self.folder, summary)
        return summary

    def _run(self, stop: signals.StopSignals, bar: tqdm.tqdm) -> None:
        """Runs loops until the last epoch or a signal."""
        batches = iter(self._make_batches())
        while self.step < self._last_step:
            before = self.step
            self._run_loop(batches, stop, bar=bar)
            unreadable, stopped = self._workers.any(
                bool(self._training.failures), stop.requested
            )
            if self.writer:
                ended = self.step % self._steps_per_epoch == 0
                if ended and self.step > before:
                    self.writer.end_epoch(self.step, self._epoch, bar=bar)
                elif stopped or unreadable or self.writer.checkpoint_is_due():
                    self.writer.save(self.step)
            if unreadable:
                raise self._describe_failure()
            if stopped and self.step < self._last_step:
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
            late = time.monotonic() - started > LOOP_SECONDS
            ends = bool(rows) and (late or stop.requested)
            batch = self._read_ahead(batches)
            # All workers make a step, or none.
            if any(self._workers.any(ends, batch is None)) or batch is None:
                break
            self._batch = None
            rows.append(self._distributed_step(*batch))
            self.step += 1
            bar.update(self._config.batch_size)
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
        if self.writer:
            self.writer.reporter.report_loop(
                logs,
                step=self.step,
                epoch=self._epoch,
                seconds=seconds,
                bar=bar,
            )

    def _read_ahead(self, batches: Iterator) -> tuple[tf.Tensor, ...] | None:
        """Reads the batch of the next step; None if a pair cannot be read.

        The batch is kept for the next call until its step is made.
        """
        if self._batch is None:
            try:
                self._batch = next(batches)
            except tf.errors.OpError:
                if not self._training.failures:
                    raise
        return self._batch

    def _describe_failure(self) -> UserError:
        """Makes the error of a pair that a worker can no longer read."""
        failures = self._training.failures
        reasons = self._workers.gather(str(failures[0]) if failures else "")
        worker, reason = next(r for r in enumerate(reasons) if r[1])
        if self._workers.index != worker:
            reason = f"worker {worker}: {reason}"
        return run_writer.describe_failure(self._config, reason, self.step)

    def _make_batches(self) -> tf.distribute.DistributedDataset:
        return self._strategy.distribute_datasets_from_function(
            self._make_dataset
        )

    def _make_dataset(
        self, context: tf.distribute.InputContext
    ) -> tf.data.Dataset:
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
            worker=context.input_pipeline_id,
            num_workers=context.num_input_pipelines,
            num_replicas=context.num_replicas_in_sync,
            parts=self._config.gradient_accumulation_steps,
        )
        # Otherwise every step would first ask all workers whether they have
        # another batch. They have equally many, and the loop counts them.
        endless = tf.data.experimental.assert_cardinality(
            tf.data.INFINITE_CARDINALITY
        )
        return dataset.apply(endless)

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


def _check_before_building(config: Config, num_replicas: int) -> None:
    distribution.check_batch_size(
        config.batch_size,
        num_replicas,
        parts=config.gradient_accumulation_steps,
    )
    distribution.check_xla(config.xla, num_replicas)
    if config.augment == "strong":
        compat.find_addons()  # raises here rather than within a graph
