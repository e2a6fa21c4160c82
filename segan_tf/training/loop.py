"""The training loop: steps, logs, validation, checkpoints, stopping."""

import collections
import resource
import signal
import sys
import time

import numpy as np
import tensorflow as tf

from segan_tf import compat, console, metrics, run_dir
from segan_tf import labels as labels_lib
from segan_tf.config import PRETRAINED, Config
from segan_tf.imaging import preprocessing
from segan_tf.input import cached_dataset, pipeline
from segan_tf.metrics import batch as batch_metrics
from segan_tf.models import pretrained, restore
from segan_tf.training import (
    checkpoints,
    distribution,
    monitor,
    summaries,
    train_step,
)
from segan_tf.training.state import build_train_state

LOOP_STEPS = 50  # at most so many steps between two looks at the losses
LOOP_SECONDS = 10.0  # about how often losses are read and logged

STOPPED = 128 + signal.SIGTERM  # exit status of a run that was told to stop


class Trainer:
    """Trains one run; everything it needs to go on is in its model_dir."""

    def __init__(
        self,
        config: Config,
        *,
        training: cached_dataset.CachedDataset,
        validation: cached_dataset.CachedDataset,
        strategy: tf.distribute.Strategy,
        labels: labels_lib.Labels = labels_lib.LESION,
    ) -> None:
        """Builds the models and takes up the last checkpoint.

        Args:
          config: the configuration.
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
        self._config = config
        self._labels = labels
        self._strategy = strategy
        self._training = training
        self._validation = validation
        replicas = strategy.num_replicas_in_sync
        distribution.check_batch_size(config.batch_size, replicas)
        distribution.check_xla(config.xla, replicas)
        if config.augment == "strong":
            compat.find_addons()  # refuses now, not within a graph
        self._steps_per_epoch = pipeline.steps_per_epoch(
            training.count, config.batch_size
        )
        if not config.resume:
            checkpoints.clear(config.model_dir)
        with strategy.scope():
            self.state = build_train_state(
                config,
                steps_per_epoch=self._steps_per_epoch,
                num_replicas=replicas,
            )
            self._checkpoints = checkpoints.Checkpoints(
                config.model_dir, self.state
            )
            self.step = self._checkpoints.restore()
            if config.start_from and not self.step:
                self._start_from()
        self._first_step = self.step
        self._last_step = config.epochs * self._steps_per_epoch
        self._log = run_dir.Log(config.model_dir, first_step=self.step)
        self._panels = summaries.SummaryWriter(config.model_dir)
        self._watch = monitor.TrainingMonitor(config.critic_clip)
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
            console.say(
                f"{self._config.model_dir} has all {self._config.epochs} "
                "epochs; raise --epochs to continue."
            )
            return {}
        if self.step:
            console.say(f"resuming at step {self.step} of {self._last_step}")
        run_dir.remove_training(self._config.model_dir)
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
                    console.say(
                        f"stopped and saved at step {self.step}; the same "
                        "command goes on from there."
                    )
                    raise SystemExit(STOPPED)
        return self._summarize(time.monotonic() - began)

    def _start_from(self) -> None:
        """Begins with the weights of a segmentor that is trained already."""
        if self._config.start_from == PRETRAINED:
            run_dir.check_same_segmentor(
                self._config, pretrained.read_config()
            )
            start = pretrained.load()
        else:
            run_dir.check_start_from(self._config)
            saved = run_dir.read_flags(self._config.start_from)
            start, _ = restore.load_segmentor(saved)
        for model in filter(None, (self.state.segmentor, self.state.ema_model)):
            model.set_weights(start.get_weights())

    def _run_loop(self, batches, bar) -> None:
        """Makes steps until it is time to look at the losses, then does."""
        first, began, rows = self.step, time.monotonic(), []
        epoch_end = (first // self._steps_per_epoch + 1) * self._steps_per_epoch
        while self.step < epoch_end and len(rows) < LOOP_STEPS:
            rows.append(self._distributed_step(*next(batches)))
            self.step += 1
            bar.update(self._config.batch_size)
            late = time.monotonic() - began > LOOP_SECONDS
            if self._stop or late:
                break
        logs = {
            name: np.stack([row[name].numpy() for row in rows])
            for name in rows[0]
        }
        seconds = time.monotonic() - began
        monitor.check_not_finite(first, logs)
        # The losses are of the weights before each step: a checkpoint of
        # weights gone bad in the last one would end the run for good.
        for model in filter(None, (self.state.segmentor, self.state.critic)):
            monitor.check_not_finite_weights(self.step, model)
        self._report_loop(logs, seconds, bar)

    def _report_loop(self, logs, seconds, bar) -> None:
        means = {name: values.mean(axis=0) for name, values in logs.items()}
        distances = means.pop("scale_distances", ())
        label_dice = means.pop("label_dice")
        means = {name: float(value) for name, value in means.items()}
        for scale, distance in enumerate(distances, start=1):
            means[f"distance_scale{scale}"] = float(distance)
        means.update(self._by_label("dice", label_dice))
        if self.state.critic is not None:
            means["clipped_share"] = monitor.clipped_share(
                self.state.critic, self._config.critic_clip
            )
        count = len(logs["segmentor_loss"]) * self._config.batch_size
        means["images_per_second"] = count / seconds
        self._log.write(kind="loop", step=self.step, epoch=self._epoch, **means)
        self._panels.write_scalars("train", means, step=self.step)
        shown = ("critic_loss", "segmentor_loss", "dice")
        bar.set_postfix(
            {name: f"{means[name]:.4f}" for name in shown if name in means}
        )
        for warning in self._watch.observe(means):
            console.say(f"warning: step {self.step}: {warning}")

    def _end_epoch(self, bar) -> None:
        line = f"epoch {self._epoch}/{self._config.epochs}"
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
        console.say(line)
        coming = min(self._epoch + 1, self._config.epochs)
        bar.set_description(f"epoch {coming}/{self._config.epochs}")

    def _by_label(self, name: str, values: np.ndarray) -> dict[str, float]:
        """Names a value of each label; one label has the mean alone."""
        if self._labels.count == 1:
            return {}
        return {
            f"{name}_{slug}": float(value)
            for slug, value in zip(self._labels.slugs, values, strict=True)
        }

    def _segment_batch(self, image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        predicted = self.state.eval_model(image, training=False)
        return predicted, preprocessing.decide_label_map(
            predicted, multiclass=self._config.multiclass
        )

    def _validate(self) -> np.ndarray:
        """Computes each label's mean validation Dice at image_size."""
        config = self._config
        confusion = tf.zeros((), tf.int32)
        dice = metrics.Dice(config.num_labels, config.multiclass)
        counts_pixels = config.num_labels > 1 and config.multiclass
        dataset = pipeline.make_evaluation_dataset(
            self._validation,
            batch_size=config.batch_size,
            image_size=config.image_size,
        )
        for number, (image, true_label_map) in enumerate(dataset):
            predicted, decided = self._segment(image)
            if number == 0:
                self._panels.write_images(
                    image, true_label_map, predicted, step=self.step
                )
            dice.update_state(true_label_map, predicted)
            if counts_pixels:
                confusion += batch_metrics.confusion_matrix(
                    decided, true_label_map
                )
        if counts_pixels:
            self._panels.write_confusion(
                confusion.numpy(), self._labels, step=self.step
            )
        return dice.per_label().numpy()

    def _make_distributed_step(self):
        def replica_step(image, true_label_map):
            return train_step.train_step(self.state, image, true_label_map)

        if self._config.xla:
            replica_step = tf.function(replica_step, jit_compile=True)
        strategy = self._strategy

        @tf.function
        def distributed_step(image, true_label_map):
            logs = strategy.run(replica_step, args=(image, true_label_map))
            if self.state.ema_model is not None:
                train_step.update_ema(self.state)
            return {
                name: strategy.reduce("SUM", value, axis=None)
                for name, value in logs.items()
            }

        return distributed_step

    def _make_batches(self):
        dataset = pipeline.make_training_dataset(
            self._training,
            batch_size=self._config.batch_size,
            image_size=self._config.image_size,
            first_step=self.step,
            last_step=self._last_step,
            seed=self._config.seed,
            strong=self._config.augment == "strong",
        )
        return self._strategy.experimental_distribute_dataset(dataset)

    def _bar(self):
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

    def _save(self) -> None:
        self._checkpoints.save_last(self.step)
        self._saved_at = time.monotonic()

    def _ask_to_stop(self) -> None:
        self._stop = True

    def _summarize(self, seconds: float) -> dict:
        images = (self.step - self._first_step) * self._config.batch_size
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
        run_dir.write_training(self._config.model_dir, summary)
        return summary


class _Signals(collections.UserDict):
    """Calls a function on SIGTERM and SIGINT instead of dying at once."""

    def __init__(self, function) -> None:
        super().__init__()
        self._function = function

    def __enter__(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            self[number] = signal.signal(number, lambda *_: self._function())
        return self

    def __exit__(self, *_):
        for number, handler in self.items():
            signal.signal(number, handler)
