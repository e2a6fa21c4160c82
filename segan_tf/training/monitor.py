"""Detects saturation of the critic, collapse and non-finite losses."""

import collections
import dataclasses
from collections.abc import Mapping

import keras
import numpy as np

from segan_tf import config
from segan_tf.models import weights

# None of these is the paper's.
EMPTY_SHARE = 1e-4  # of all pixels: below it, predicted label maps are empty
BLIND_DISTANCE = 1e-5  # multi-scale L1: below it, the critic is blind
SATURATED_SHARE = 0.8  # of the critic's weights that are at the bound
COLLAPSED_DICE = 0.005  # below it, shown as 0.00, a label is not found
COLLAPSED_EPOCHS = 3  # so many in a row: at first no label may be found

# Terms that keep a segmentor from collapsing, with the flags of their weights.
_TERMS = {"dice_loss": "dice_weight", "cross_entropy": "cross_entropy_weight"}
_REMEDY = (
    "the last good checkpoint is kept. Start another --model_dir with a lower "
    "--learning_rate or --critic_clip."
)


class Diverged(config.UserError):
    """A loss or a weight is not finite."""


def check_not_finite(first_step: int, logs: dict[str, np.ndarray]) -> None:
    """Checks that every loss is finite.

    Args:
      first_step: step of the first row.
      logs: name -> float32 [steps] or [steps, scales].

    Raises:
      Diverged: names the step, the loss and what to do.
    """
    for row in range(len(next(iter(logs.values())))):
        for name, values in logs.items():
            if not np.all(np.isfinite(values[row])):
                value = np.asarray(values[row]).ravel()
                bad = value[~np.isfinite(value)][0]
                raise Diverged(
                    f"step {first_step + row}: {name} is {bad}; {_REMEDY}"
                )


def check_not_finite_weights(step: int, model: keras.Model) -> None:
    """Checks that every weight is finite, before weights are saved.

    Raises:
      Diverged: names the step, the weights and what to do.
    """
    for name, variable in weights.named_weights(model).items():
        if not np.all(np.isfinite(variable.numpy())):
            raise Diverged(
                f"step {step}: {name} of the {model.name} is not "
                f"finite; {_REMEDY}"
            )


def clipped_share(critic: keras.Model, clip: float) -> float:
    """Returns the share of the critic's trained weights that are clipped."""
    if not clip or not critic.trainable_variables:
        return 0.0
    values = np.concatenate(
        [np.ravel(variable.numpy()) for variable in critic.trainable_variables]
    )
    return float(np.mean(np.abs(values) >= np.float32(clip)))


@dataclasses.dataclass
class TrainingMonitor:
    """Warns when the critic saturates or S collapses.

    Each warning is given once, and again only after it no longer applied.

    Attributes:
      config: of the run.
    """

    config: config.Config
    _given: set[str] = dataclasses.field(default_factory=set)
    _epochs_at_zero: collections.Counter[str] = dataclasses.field(
        default_factory=collections.Counter
    )

    def observe(self, logs: dict[str, float]) -> list[str]:
        """Checks the means over a loop.

        Args:
          logs: ``predicted_share`` and, with a critic, ``multi_scale_l1`` and
            ``clipped_share``.

        Returns:
          New warnings, one line each.
        """
        found = {}
        share = logs["predicted_share"]
        if share < EMPTY_SHARE:
            found["empty"] = (
                f"the segmentor predicts empty label maps (share {share:.5f})."
                f" If it persists, {self._remedy()}."
            )
        if share > 1 - EMPTY_SHARE:
            found["full"] = (
                f"the segmentor predicts full label maps (share {share:.5f})."
                f" If it persists, {self._remedy()}."
            )
        distance = logs.get("multi_scale_l1")
        if distance is not None and distance < BLIND_DISTANCE:
            found["blind"] = (
                f"the critic sees no difference (multi-scale L1 {distance:.1e})"
                ": the segmentor learns nothing from it. Raise --critic_clip."
            )
        clipped = logs.get("clipped_share", 0.0)
        if clipped > SATURATED_SHARE:
            found["saturated"] = (
                f"the critic saturates: {clipped:.0%} of its weights "
                f"are at the bound {self.config.critic_clip}. Raise "
                "--critic_clip or lower --learning_rate."
            )
        new = [text for name, text in found.items() if name not in self._given]
        self._given = set(found)
        return new

    def observe_epoch(self, dices: Mapping[str, float]) -> list[str]:
        """Checks the Dice of each label after an epoch.

        Args:
          dices: from the names of the labels; NaN if no label map has it.

        Returns:
          New warnings, one line each: of labels that have not been found for
          `COLLAPSED_EPOCHS` epochs, although label maps have them.
        """
        warnings = []
        for name, dice in dices.items():
            if not dice < COLLAPSED_DICE:  # also NaN
                self._epochs_at_zero[name] = 0
                continue
            self._epochs_at_zero[name] += 1
            if self._epochs_at_zero[name] == COLLAPSED_EPOCHS:
                remedy = self._remedy()
                if len(dices) > 1:
                    remedy = "raise its weight in --label_weights"
                warnings.append(
                    f"label {name} is not found: its Dice has been 0 for "
                    f"{COLLAPSED_EPOCHS} epochs, although label maps have it. "
                    f"If it persists, {remedy}."
                )
        return warnings

    def _remedy(self) -> str:
        """Names what brings a collapsed segmentor back.

        Dice finds what is small; cross-entropy has a gradient also where a
        segmentor is wrong and sure.
        """
        for term, flag in _TERMS.items():
            if not self.config.loss_weights[term]:
                return f"lower --learning_rate or set --{flag}=1"
        return "lower --learning_rate"
