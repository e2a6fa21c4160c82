"""Reports of training: log.jsonl, TensorBoard, progress bar, warnings."""

import resource
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tqdm

from segan_tf import console, run_dir
from segan_tf import labels as labels_lib
from segan_tf.training import monitor, summaries
from segan_tf.training.state import TrainState

_SHOWN = ("critic_loss", "segmentor_loss", "dice")  # next to the bar
_SHOWN_LABELS = 8  # in the line of an epoch; of more labels, the lowest


class Reporter:
    """Reports the losses of every loop and the Dice of every epoch.

    Attributes:
      log: of the run.
    """

    def __init__(
        self,
        state: TrainState,
        *,
        labels: labels_lib.Labels,
        summary_writer: summaries.SummaryWriter,
        folder: str,
        first_step: int,
    ) -> None:
        """Opens the log.

        Args:
          state: what is trained.
          labels: their names are used for the metrics of each label.
          summary_writer: of TensorBoard.
          folder: of the log.
          first_step: of this training; later lines of the log are dropped.

        Raises:
          UserError: the log cannot be written.
        """
        self._state = state
        self._labels = labels
        self._summary_writer = summary_writer
        self.log = run_dir.Log(folder, first_step=first_step)
        self._monitor = monitor.TrainingMonitor(state.config)
        # Over the epoch: the sum of each label's Dice, and its images.
        self._dice_sum, self._images = np.zeros((2, labels.count))

    def report_loop(
        self,
        logs: dict[str, np.ndarray],
        *,
        step: int,
        epoch: int,
        seconds: float,
        bar: tqdm.tqdm,
    ) -> None:
        """Reports the means over a loop.

        Args:
          logs: name -> float32 [steps, ...], what `train_step` returned.
          step: the last step.
          epoch: of that step.
          seconds: that the loop took.
          bar: shows the losses.

        Raises:
          UserError: the log cannot be written.
        """
        means = self._means(logs)
        config, critic = self._state.config, self._state.critic
        if critic is not None:
            means["clipped_share"] = monitor.clipped_share(
                critic, config.critic_clip
            )
        count = len(logs["segmentor_loss"]) * config.batch_size
        means["images_per_second"] = count / seconds
        self.log.write(kind="loop", step=step, epoch=epoch, **means)
        self._summary_writer.write_scalars("train", means, step=step)
        bar.set_postfix(
            {name: f"{means[name]:.4f}" for name in _SHOWN if name in means}
        )
        for warning in self._monitor.observe(means):
            console.say(f"warning: step {step}: {warning}")

    def report_validation(
        self, label_dice: np.ndarray, *, step: int, epoch: int
    ) -> None:
        """Reports the Dice on the validation split.

        Args:
          label_dice: float [labels]; NaN where no label map has the label.
          step: the last step of the epoch.
          epoch: the epoch.

        Raises:
          UserError: the log cannot be written.
        """
        dices = {
            "dice": float(np.nanmean(label_dice)),
            **self._by_label(label_dice),
        }
        self.log.write(
            kind="epoch",
            step=step,
            epoch=epoch,
            **{f"validation_{name}": value for name, value in dices.items()},
        )
        self._summary_writer.write_scalars("validation", dices, step=step)

    def report_collapse(
        self, label_dice: np.ndarray | None, *, epoch: int
    ) -> None:
        """Warns, after an epoch, of each label that is no longer found.

        Args:
          label_dice: on the validation split, see `report_validation`; None
            without one. What it does not tell, training does.
          epoch: that ended.
        """
        of_training = _divide(self._dice_sum, self._images)
        self._dice_sum, self._images = np.zeros((2, self._labels.count))
        if label_dice is None:
            label_dice = of_training
        dices = np.where(np.isnan(label_dice), of_training, label_dice)
        named = dict(zip(self._labels.names, map(float, dices), strict=True))
        for warning in self._monitor.observe_epoch(named):
            console.say(f"warning: epoch {epoch}: {warning}")

    def _means(self, logs: dict[str, np.ndarray]) -> dict[str, float]:
        """Averages over the steps; gives each scale and label a name.

        The Dice is that of the images that have the label, see
        `train_step.train_step`; without any there is none.
        """
        logs = dict(logs)
        dice_sum = logs.pop("label_dice_sum").sum(axis=0)
        images = logs.pop("label_images").sum(axis=0)
        self._dice_sum += dice_sum
        self._images += images
        arrays = {name: values.mean(axis=0) for name, values in logs.items()}
        distances = arrays.pop("scale_distances", ())
        means = {name: float(value) for name, value in arrays.items()}
        for scale, distance in enumerate(distances, start=1):
            means[f"distance_scale{scale}"] = float(distance)
        label_dice = _divide(dice_sum, images)
        if images.any():
            means["dice"] = float(np.nanmean(label_dice))
        return {**means, **self._by_label(label_dice)}

    def _by_label(self, label_dice: np.ndarray) -> dict[str, float]:
        """Names the Dice of each label; one label has only the mean."""
        if self._labels.count == 1:
            return {}
        return {
            f"dice_{slug}": float(value)
            for slug, value in zip(self._labels.slugs, label_dice, strict=True)
            if not np.isnan(value)
        }


def _divide(total: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Divides; NaN where there is nothing."""
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def format_labels(labels: labels_lib.Labels, label_dice: np.ndarray) -> str:
    """Formats the Dice of each of several labels: "; lesion 0.71, hair -".

    Args:
      labels: of the run.
      label_dice: float [labels]; NaN, shown as "-", if no label map has it.

    Returns:
      Of many labels, those with the lowest Dice; "" for one label.
    """
    if labels.count == 1:
        return ""
    dices = dict(zip(labels.names, label_dice, strict=True))
    start = "; "
    if labels.count > _SHOWN_LABELS:
        start = "; lowest "
        # NaN, which nothing is below, at the end.
        names = sorted(
            dices, key=lambda name: np.nan_to_num(dices[name], nan=2)
        )
        dices = {name: dices[name] for name in names[:_SHOWN_LABELS]}
    return start + ", ".join(
        f"{name} {'-' if np.isnan(dice) else f'{dice:.2f}'}"
        for name, dice in dices.items()
    )


def summarize_log(
    loops: Sequence[Mapping[str, Any]], *, batch_size: int
) -> dict[str, Any]:
    """Summarizes a training by its log, as far as that tells.

    Args:
      loops: the lines of its loops, see `run_dir.Log`.
      batch_size: images per step.
    """
    seconds, step = 0.0, 0
    for loop in loops:
        count = (loop["step"] - step) * batch_size
        seconds += count / loop["images_per_second"]
        step = loop["step"]
    return {
        "first_step": 0,
        "last_step": step,
        "train_seconds": round(seconds, 1),
        "images_per_second": round(step * batch_size / (seconds or 1), 1),
    }


def summarize_training(
    *, first_step: int, last_step: int, batch_size: int, seconds: float
) -> dict[str, Any]:
    """Summarizes what training took, for training.json."""
    images = (last_step - first_step) * batch_size
    usage = resource.getrusage(resource.RUSAGE_SELF)
    # Linux counts kilobytes, macOS bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    return {
        "first_step": first_step,
        "last_step": last_step,
        "train_seconds": round(seconds, 1),
        "images_per_second": round(images / seconds, 1),
        "peak_memory_gb": round(usage.ru_maxrss * unit / 1e9, 2),
    }
