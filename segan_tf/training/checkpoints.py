"""Checkpoints of a run: the last one to go on from, the best one to use."""

import dataclasses
import os

import keras
import tensorflow as tf

from segan_tf import config
from segan_tf.training import distribution, steps

_LAST = "last"
_BEST = "best"
_KEPT = 2  # the newest and the one before it, should a disk fail


class Checkpoints:
    """Saves and restores S, C, both optimisers and where the run stands.

    The order of the data follows from the seed and the step, so the step is
    all that has to be kept of it. TensorFlow writes a checkpoint beside the
    old ones and then renames; a process killed while saving loses nothing.
    """

    def __init__(self, model_dir: str, game: steps.Game):
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.best_dice = tf.Variable(-1.0, trainable=False)
        players = {
            "segmentor": game.segmentor,
            "segmentor_optimizer": game.segmentor_optimizer,
        }
        if game.critic is not None:
            players["critic"] = game.critic
            players["critic_optimizer"] = game.critic_optimizer
        checkpoint = tf.train.Checkpoint(
            step=self.step, best_dice=self.best_dice, **players
        )
        best = tf.train.Checkpoint(
            step=self.step,
            best_dice=self.best_dice,
            segmentor=game.segmentor,
        )
        self._folder = folder = os.path.join(model_dir, "checkpoints")
        self._last = tf.train.CheckpointManager(
            checkpoint, os.path.join(folder, _LAST), max_to_keep=_KEPT
        )
        self._best = tf.train.CheckpointManager(
            best, os.path.join(folder, _BEST), max_to_keep=1
        )

    def restore(self) -> int:
        """Takes up the last checkpoint, if there is one.

        Returns:
          The step to go on with, 0 for a new run.

        Raises:
          UserError: the checkpoint is damaged or of another configuration.
        """
        path = self._last.latest_checkpoint
        if path is None:
            return 0
        _restore(self._last.checkpoint, path, expect_all=True)
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
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise config.UserError(
                f"--model_dir ({self._folder}): the checkpoint of step {step} "
                f"cannot be written ({reason}); make room and start again, "
                f"the run goes on from {manager.latest_checkpoint or 'step 0'}."
            ) from error


def find_segmentor(model_dir: str) -> str:
    """Finds the checkpoint to use: the best by validation, else the last.

    Raises:
      UserError: the folder holds no checkpoint.
    """
    for name in (_BEST, _LAST):
        folder = os.path.join(model_dir, "checkpoints", name)
        path = tf.train.latest_checkpoint(folder)
        if path is not None:
            return path
    raise config.UserError(
        f"--model_dir ({model_dir}) holds no checkpoint; train first with "
        f"--mode=train --model_dir={model_dir}."
    )


def load_segmentor(run: config.Config) -> tuple[keras.Model, int]:
    """Builds the run's segmentor with its trained weights.

    Args:
      run: the configuration saved beside the checkpoint.

    Returns:
      The segmentor and the step that its weights are from.

    Raises:
      UserError: there is no checkpoint, or it is damaged or of another
        configuration.
    """
    path = find_segmentor(run.model_dir)
    # Whatever it was trained in, it is used and exported in float32.
    model = distribution.build_segmentor(
        dataclasses.replace(run, precision="float32")
    )
    step = tf.Variable(0, dtype=tf.int64, trainable=False)
    _restore(
        tf.train.Checkpoint(segmentor=model, step=step), path, expect_all=False
    )
    return model, int(step.numpy())


def _restore(
    checkpoint: tf.train.Checkpoint, path: str, *, expect_all: bool
) -> None:
    try:
        status = checkpoint.restore(path)
        if expect_all:
            status.assert_consumed()
        else:
            status.expect_partial()
        status.assert_existing_objects_matched()
    except (tf.errors.OpError, ValueError, AssertionError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise config.UserError(
            f"{path} is damaged or of another configuration ({reason}); give "
            "the flags it was trained with, or another --model_dir."
        ) from error
