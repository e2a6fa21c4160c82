"""Checkpoints of a run: the last one to go on from, the best one to use."""

import glob
import os
import shutil

import tensorflow as tf

from segan_tf.config import UserError
from segan_tf.models import restore
from segan_tf.training.state import TrainState

_KEPT = 2  # the newest and the one before it, should a disk fail


class Checkpoints:
    """Saves and restores S, C, both optimizers and where the run stands.

    The order of the data follows from the seed and the step, so the step is
    all that has to be kept of it. TensorFlow writes a checkpoint beside the
    old ones and then renames; a process killed while saving loses nothing.
    """

    def __init__(self, model_dir: str, state: TrainState) -> None:
        """Finds the checkpoints that are there.

        Raises:
          UserError: their list is damaged.
        """
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.best_dice = tf.Variable(-1.0, trainable=False)
        players = {
            "segmentor": state.segmentor,
            "segmentor_optimizer": state.segmentor_optimizer,
        }
        if state.critic is not None:
            players["critic"] = state.critic
            players["critic_optimizer"] = state.critic_optimizer
        if state.ema_model is not None:
            players["averaged"] = state.ema_model
        checkpoint = tf.train.Checkpoint(
            step=self.step, best_dice=self.best_dice, **players
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
        """Takes up the last checkpoint, if there is one.

        Returns:
          The step to go on with, 0 for a new run.

        Raises:
          UserError: the checkpoint is damaged, of another configuration or
            of the other edition.
        """
        listed = {*self._last.checkpoints, self._last.latest_checkpoint}
        there = filter(_is_there, listed - {None})
        path = max(there, key=_step_of, default=None)
        if path is None:
            return 0
        restore.check_edition(self._model_dir)
        restore.restore_checkpoint(self._last.checkpoint, path, expect_all=True)
        return int(self.step.numpy())

    def save_last(self, step: int) -> None:
        """Saves everything that going on needs.

        Raises:
          UserError: it cannot be written; the checkpoints before it stay.
        """
        self._save(self._last, step)

    def save_best(self, step: int, dice: float) -> bool:
        """Saves the segmentor if its validation Dice is the best so far."""
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
            goes_on = f"step {_step_of(kept) if kept else 0}"
            raise UserError(
                f"--model_dir ({self._folder}): the checkpoint of step {step} "
                f"cannot be written ({restore.reason_of(error)}); make room and start "
                f"again, the run goes on from {goes_on}."
            ) from error


def clear(model_dir: str) -> None:
    """Removes the checkpoints of a run that is started anew.

    They would be taken for the new run's if that was stopped before its own
    first one.
    """
    shutil.rmtree(os.path.join(model_dir, restore.FOLDER), ignore_errors=True)


def _make_manager(
    checkpoint: tf.train.Checkpoint, folder: str, *, kept: int
) -> tf.train.CheckpointManager:
    restore.check_list(folder)
    # What a killed process was writing: each as large as a checkpoint.
    for leftover in glob.glob(os.path.join(glob.escape(folder), "*_temp")):
        shutil.rmtree(leftover, ignore_errors=True)
    return tf.train.CheckpointManager(checkpoint, folder, max_to_keep=kept)


def _is_there(path: str) -> bool:
    return os.path.exists(f"{path}.index")


def _step_of(path: str) -> int:
    return int(path.rpartition("-")[2])
