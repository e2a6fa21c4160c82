"""Checkpoints of a run: the last one to resume from, the best one to use."""

import glob
import os
import shutil

import tensorflow as tf

from segan_tf.config import UserError
from segan_tf.models import restore
from segan_tf.training.state import TrainState

_KEPT = 2  # the newest and the one before it, should a disk fail


class Checkpoints:
    """Saves and restores S, C, both optimizers and the step.

    The order of the data follows from the seed and the step, so only the step
    is saved. TensorFlow writes a checkpoint under a temporary name and then
    renames it: a process that is killed while saving loses nothing.
    """

    def __init__(self, model_dir: str, state: TrainState) -> None:
        """Finds the checkpoints of the run.

        Args:
          model_dir: the run's folder.
          state: what is saved and restored.

        Raises:
          UserError: the list of checkpoints is damaged.
        """
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.best_dice = tf.Variable(-1.0, trainable=False)
        tracked = {
            "segmentor": state.segmentor,
            "segmentor_optimizer": state.segmentor_optimizer,
        }
        if state.critic is not None:
            tracked["critic"] = state.critic
            tracked["critic_optimizer"] = state.critic_optimizer
        if state.ema_model is not None:
            tracked["averaged"] = state.ema_model
        checkpoint = tf.train.Checkpoint(
            step=self.step, best_dice=self.best_dice, **tracked
        )
        best = tf.train.Checkpoint(
            step=self.step,
            best_dice=self.best_dice,
            **{restore.eval_model_key(state.config): state.eval_model},
        )
        self._model_dir = model_dir
        self._folder = os.path.join(model_dir, restore.FOLDER)
        self._last = _make_manager(
            checkpoint, os.path.join(self._folder, restore.LAST), kept=_KEPT
        )
        self._best = _make_manager(
            best, os.path.join(self._folder, restore.BEST), kept=1
        )

    def restore(self) -> int:
        """Restores the last checkpoint, if there is one.

        Returns:
          The step to resume at, 0 for a new run.

        Raises:
          UserError: the checkpoint is damaged, of another configuration or
            of the other edition.
        """
        listed = {*self._last.checkpoints, self._last.latest_checkpoint}
        existing = filter(_exists, listed - {None})
        path = max(existing, key=_step_of, default=None)
        if path is None:
            return 0
        restore.check_edition(self._model_dir)
        restore.restore_checkpoint(self._last.checkpoint, path, expect_all=True)
        return int(self.step.numpy())

    def save_last(self, step: int) -> None:
        """Saves everything that resuming needs.

        Raises:
          UserError: it cannot be written; earlier checkpoints are kept.
        """
        self._save(self._last, step)

    def save_best(self, step: int, dice: float) -> bool:
        """Saves the segmentor if its validation Dice is the best so far.

        Returns:
          Whether it is.

        Raises:
          UserError: it cannot be written.
        """
        if dice <= float(self.best_dice.numpy()):
            return False
        self.best_dice.assign(dice)
        self._save(self._best, step)
        return True

    def _save(self, manager: tf.train.CheckpointManager, step: int) -> None:
        self.step.assign(step)
        try:
            manager.save(checkpoint_number=step)
        except (tf.errors.OpError, OSError) as error:
            kept = self._last.latest_checkpoint
            raise UserError(
                f"--model_dir ({self._folder}): the checkpoint of step {step} "
                f"cannot be written ({restore.reason_of(error)}); make room "
                "and start again, the run resumes from step "
                f"{_step_of(kept) if kept else 0}."
            ) from error


def clear(model_dir: str) -> None:
    """Removes the checkpoints of a run that starts over.

    Otherwise the new run would resume from them if it was stopped before its
    own first one.
    """
    shutil.rmtree(os.path.join(model_dir, restore.FOLDER), ignore_errors=True)


def _make_manager(
    checkpoint: tf.train.Checkpoint, folder: str, *, kept: int
) -> tf.train.CheckpointManager:
    restore.check_list(folder)
    # Left by a process that was killed while saving; as large as a checkpoint.
    for leftover in glob.glob(os.path.join(glob.escape(folder), "*_temp")):
        shutil.rmtree(leftover, ignore_errors=True)
    return tf.train.CheckpointManager(checkpoint, folder, max_to_keep=kept)


def _exists(path: str) -> bool:
    return os.path.exists(f"{path}.index")


def _step_of(path: str) -> int:
    return int(path.rpartition("-")[2])
