"""The training loop: steps, logs, validation, checkpoints, stopping."""

import collections
import resource
import signal
import sys
import time

import numpy as np
import tensorflow as tf

from segan_tf import config, editions, pretrained, progress
from segan_tf import labels as labels_lib
from segan_tf.data import cache, pipeline, preprocessing
from segan_tf.training import (
    checkpoints,
    distribution,
    panels,
    run_dir,
    steps,
    watch,
)

STOPPED = 128 + signal.SIGTERM  # exit status of a run that was told to stop


class Trainer:
    """Trains one run; everything it needs to go on is in its model_dir."""

    def __init__(
        self,
        run: config.Config,
        *,
        training: cache.Records,
        validation: cache.Records,
        strategy: tf.distribute.Strategy,
        labels: labels_lib.Labels = labels_lib.LESION,
    ):
        """Builds the models and takes up the last checkpoint.

        Args:
          run: the configuration.
          training: records to train on.
          validation: records for the choice of the best checkpoint; may be
            empty.
          strategy: from `distribution.create_strategy`.
          labels: whose names the logs use.

        Raises:
          UserError: the batch size does not fit, the checkpoint is not
            this run's, the model_dir cannot be written, or
            tensorflow-addons are needed and missing.
        """
        self._run = run
        self._labels = labels
        self._strategy = strategy
        self._training = training
        self._validation = validation
        replicas = strategy.num_replicas_in_sync
        distribution.check_batch_size(run.batch_size, replicas)
        distribution.check_xla(run.xla, replicas)
        if run.augment == "strong":
            editions.find_addons()  # refuses now, not within a graph
        self._steps_per_epoch = pipeline.steps_per_epoch(
            training.count, run.batch_size
        )
        if not run.resume:
            checkpoints.clear(run.model_dir)
        with strategy.scope():
            self.game = distribution.build_game(
                run,
                steps_per_epoch=self._steps_per_epoch,
                num_replicas=replicas,
            )
            self._checkpoints = checkpoints.Checkpoints(
                run.model_dir, self.game
            )
            self.step = self._checkpoints.restore()
            if run.start_from and not self.step:
                self._start_from()
        self._first_step = self.step
        self._last_step = run.epochs * self._steps_per_epoch
        self._log = run_dir.Log(run.model_dir, first_step=self.step)
        self._panels = panels.Panels(run.model_dir)
        self._watch = watch.Watch(run.critic_clip)
        self._distributed_step = self._make_distributed_step()
        self._segment = tf.function(self._segment_batch, reduce_retracing=True)
        self._stop = False
        self._saved_at = time.monotonic()

    def train(self) -> dict:
        """Trains until the last epoch, or until SIGTERM or SIGINT.

        Returns:
          What training took: seconds, images per second, peak memory.

        Raises:
          Diverged: a loss or a weight is NaN or infinite.
          UserError: a checkpoint or the log cannot be written.
          SystemExit: the run was told to stop; it is saved.
        """
        if self.step >= self._last_step:
            progress.say(
                f"{self._run.model_dir} has all {self._run.epochs} epochs; "
                "raise --epochs to go on."
            )
            return {}
        if self.step:
            progress.say(f"resuming at step {self.step} of {self._last_step}")
        run_dir.forget_training(self._run.model_dir)
        began = time.monotonic()
        with _Signals(self._ask_to_stop), self._bar() as bar:
            batches = iter(self._make_batches())
            while self.step < self._last_step:
                self._run_loop(batches, bar)
                if self.step % self._steps_per_epoch == 0:
                    self._end_epoch(bar)
                elif self._stop or self._checkpoint_is_due():
                    self._save()
                if self._stop and self.step < self._last_step:
                    progress.say(
                        f"stopped and saved at step {self.step}; the same "
                        "command goes on from there."
                    )
                    raise SystemExit(STOPPED)
        return self._summarise(time.monotonic() - began)

    def _start_from(self) -> None:
        """Begins with the weights of a segmentor that is trained already."""
        if self._run.start_from == config.PRETRAINED:
            run_dir.refuse_other_segmentor(self._run, pretrained.read_config())
            start = pretrained.load()
        else:
            run_dir.refuse_other_start(self._run)
            saved = run_dir.read_flags(self._run.start_from)
            start, _ = checkpoints.load_segmentor(saved)
        for model in filter(None, (self.game.segmentor, self.game.averaged)):
            model.set_weights(start.get_weights())

    def _run_loop(self, batches, bar) -> None:
        """Makes steps until it is time to look at the losses, then does."""
        first, began, rows = self.step, time.monotonic(), []
        epoch_end = (first // self._steps_per_epoch + 1) * self._steps_per_epoch
        while self.step < epoch_end and len(rows) < config.LOOP_STEPS:
            rows.append(self._distributed_step(*next(batches)))
            self.step += 1
            bar.update(self._run.batch_size)
            late = time.monotonic() - began > config.LOOP_SECONDS
            if self._stop or late:
                break
        logs = {
            name: np.stack([row[name].numpy() for row in rows])
            for name in rows[0]
        }
        seconds = time.monotonic() - began
        watch.refuse_not_finite(first, logs)
        # The losses are of the weights before each step: a checkpoint of
        # weights gone bad in the last one would end the run for good.
        for model in filter(None, (self.game.segmentor, self.game.critic)):
            watch.refuse_not_finite_weights(self.step, model)
        self._report_loop(logs, seconds, bar)

    def _report_loop(self, logs, seconds, bar) -> None:
        means = {name: values.mean(axis=0) for name, values in logs.items()}
        distances = means.pop("scale_distances", ())
        label_dice = means.pop("label_dice")
        means = {name: float(value) for name, value in means.items()}
        for scale, distance in enumerate(distances, start=1):
            means[f"distance_scale{scale}"] = float(distance)
        means.update(self._by_label("dice", label_dice))
        if self.game.critic is not None:
            means["clipped_share"] = watch.clipped_share(
                self.game.critic, self._run.critic_clip
            )
        count = len(logs["segmentor_loss"]) * self._run.batch_size
        means["images_per_second"] = count / seconds
        self._log.write(kind="loop", step=self.step, epoch=self._epoch, **means)
        self._panels.write_scalars("train", means, step=self.step)
        shown = ("critic_loss", "segmentor_loss", "dice")
        bar.set_postfix(
            {name: f"{means[name]:.4f}" for name in shown if name in means}
        )
        for warning in self._watch.observe(means):
            progress.say(f"warning: step {self.step}: {warning}")

    def _end_epoch(self, bar) -> None:
        line = f"epoch {self._epoch}/{self._run.epochs}"
        if self._validation.count:
            label_dice = self._validate()
            dice = float(label_dice.mean())
            best = self._checkpoints.save_best(self.step, dice)
            line += f": validation dice {dice:.4f}{' (best)' if best else ''}"
            dices = {"dice": dice, **self._by_label("dice", label_dice)}
            self._log.write(
                kind="epoch",
                step=self.step,
                epoch=self._epoch,
                **{f"validation_{name}": v for name, v in dices.items()},
            )
            self._panels.write_scalars("validation", dices, step=self.step)
        self._save()
        progress.say(line)
        coming = min(self._epoch + 1, self._run.epochs)
        bar.set_description(f"epoch {coming}/{self._run.epochs}")

    def _by_label(self, name: str, values: np.ndarray) -> dict[str, float]:
        """Names a value of each label; one label has the mean alone."""
        if self._labels.count == 1:
            return {}
        return {
            f"{name}_{slug}": float(value)
            for slug, value in zip(self._labels.slugs, values, strict=True)
        }

    def _segment_batch(self, image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        predicted = self.game.result(image, training=False)
        return predicted, preprocessing.decide_label_map(
            predicted, exclusive=self._run.exclusive
        )

    def _validate(self) -> np.ndarray:
        """Computes each label's mean Dice of validation at image_size.

        A label counts in the images that have it or where it is predicted:
        counted as right wherever it is absent, a rare label would choose the
        checkpoint that never predicts it.
        """
        dices, counted, confusion = [], [], 0
        counts_pixels = self._labels.count > 1 and self._labels.exclusive
        dataset = pipeline.make_evaluation_dataset(
            self._validation,
            batch_size=self._run.batch_size,
            image_size=self._run.image_size,
        )
        for image, true_label_map in dataset:
            predicted, decided = self._segment(image)
            if not dices:
                self._panels.write_pictures(
                    image, true_label_map, predicted, step=self.step
                )
            dices.extend(steps.hard_dice(decided, true_label_map).numpy())
            either = tf.maximum(decided, true_label_map)
            counted.extend(tf.reduce_max(either, axis=(1, 2)).numpy())
            if counts_pixels:
                confusion += steps.confusion_matrix(decided, true_label_map)
        if counts_pixels:
            self._panels.write_confusion(
                confusion.numpy(), self._labels, step=self.step
            )
        count = np.sum(counted, axis=0)
        total = np.sum(np.multiply(dices, counted), axis=0)
        return np.where(count > 0, total / np.maximum(count, 1), 1.0)

    def _make_distributed_step(self):
        def replica_step(image, true_label_map):
            return steps.train_step(self.game, image, true_label_map)

        if self._run.xla:
            replica_step = tf.function(replica_step, jit_compile=True)
        strategy = self._strategy

        @tf.function
        def distributed_step(image, true_label_map):
            logs = strategy.run(replica_step, args=(image, true_label_map))
            if self.game.averaged is not None:
                steps.average_weights(self.game)
            return {
                name: strategy.reduce("SUM", value, axis=None)
                for name, value in logs.items()
            }

        return distributed_step

    def _make_batches(self):
        dataset = pipeline.make_training_dataset(
            self._training,
            batch_size=self._run.batch_size,
            image_size=self._run.image_size,
            first_step=self.step,
            last_step=self._last_step,
            seed=self._run.seed,
            strong=self._run.augment == "strong",
        )
        return self._strategy.experimental_distribute_dataset(dataset)

    def _bar(self):
        size = self._run.batch_size
        return progress.bar(
            total=self._last_step * size,
            initial=self.step * size,
            unit="img",
            desc=f"epoch {self.step // self._steps_per_epoch + 1}"
            f"/{self._run.epochs}",
        )

    @property
    def _epoch(self) -> int:
        """The epoch of the step made last, from 1."""
        return -(-self.step // self._steps_per_epoch)

    def _checkpoint_is_due(self) -> bool:
        minutes = (time.monotonic() - self._saved_at) / 60
        return minutes >= self._run.checkpoint_minutes

    def _save(self) -> None:
        self._checkpoints.save_last(self.step)
        self._saved_at = time.monotonic()

    def _ask_to_stop(self) -> None:
        self._stop = True

    def _summarise(self, seconds: float) -> dict:
        images = (self.step - self._first_step) * self._run.batch_size
        usage = resource.getrusage(resource.RUSAGE_SELF)
        # Linux counts kilobytes, macOS bytes.
        unit = 1 if sys.platform == "darwin" else 1024
        summary = {
            "first_step": self._first_step,
            "last_step": self.step,
            "train_seconds": round(seconds, 1),
            "images_per_second": round(images / seconds, 1),
            "peak_memory_gb": round(usage.ru_maxrss * unit / 1e9, 2),
        }
        run_dir.write_training(self._run.model_dir, summary)
        return summary


class _Signals(collections.UserDict):
    """Calls a function on SIGTERM and SIGINT instead of dying at once."""

    def __init__(self, function):
        super().__init__()
        self._function = function

    def __enter__(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            self[number] = signal.signal(number, lambda *_: self._function())
        return self

    def __exit__(self, *_):
        for number, handler in self.items():
            signal.signal(number, handler)
