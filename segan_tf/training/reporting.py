"""Reports of training: log.jsonl, TensorBoard, progress bar, warnings."""

import resource
import sys
from typing import Any

import numpy as np
import tqdm

from segan_tf import console, run_dir
from segan_tf import labels as labels_lib
from segan_tf.training import monitor, summaries
from segan_tf.training.state import TrainState

_SHOWN = ("critic_loss", "segmentor_loss", "dice")  # next to the bar


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
        self._monitor = monitor.TrainingMonitor(state.config.critic_clip)

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
          label_dice: float [labels].
          step: the last step of the epoch.
          epoch: the epoch.

        Raises:
          UserError: the log cannot be written.
        """
        dices = {"dice": float(label_dice.mean()), **self._by_label(label_dice)}
        self.log.write(
            kind="epoch",
            step=step,
            epoch=epoch,
            **{f"validation_{name}": value for name, value in dices.items()},
        )
        self._summary_writer.write_scalars("validation", dices, step=step)

    def _means(self, logs: dict[str, np.ndarray]) -> dict[str, float]:
        """Averages over the steps; gives each scale and label a name."""
        arrays = {name: values.mean(axis=0) for name, values in logs.items()}
        distances = arrays.pop("scale_distances", ())
        label_dice = arrays.pop("label_dice")
        means = {name: float(value) for name, value in arrays.items()}
        for scale, distance in enumerate(distances, start=1):
            means[f"distance_scale{scale}"] = float(distance)
        return {**means, **self._by_label(label_dice)}

    def _by_label(self, label_dice: np.ndarray) -> dict[str, float]:
        """Names the Dice of each label; one label has only the mean."""
        if self._labels.count == 1:
            return {}
        return {
            f"dice_{slug}": float(value)
            for slug, value in zip(self._labels.slugs, label_dice, strict=True)
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
