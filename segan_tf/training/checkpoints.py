"""Checkpoints of a run: the last one to go on from, the best one to use."""

import dataclasses
import glob
import os
import re
import shutil

import keras
import tensorflow as tf

from segan_tf import config, editions
from segan_tf.training import distribution, run_dir, steps

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
        """Finds the checkpoints that are there.

        Raises:
          UserError: their list is damaged.
        """
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.best_dice = tf.Variable(-1.0, trainable=False)
        players = {
            "segmentor": game.segmentor,
            "segmentor_optimizer": game.segmentor_optimizer,
        }
        if game.critic is not None:
            players["critic"] = game.critic
            players["critic_optimizer"] = game.critic_optimizer
        if game.averaged is not None:
            players["averaged"] = game.averaged
        checkpoint = tf.train.Checkpoint(
            step=self.step, best_dice=self.best_dice, **players
        )
        best = tf.train.Checkpoint(
            step=self.step,
            best_dice=self.best_dice,
            **{_name_of_result(game.run): game.result},
        )
        self._model_dir = model_dir
        self._folder = os.path.join(model_dir, "checkpoints")
        self._last = _make_manager(
            checkpoint, os.path.join(self._folder, _LAST), kept=_KEPT
        )
        self._best = _make_manager(
            best, os.path.join(self._folder, _BEST), kept=1
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
        _refuse_other_edition(self._model_dir)
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
            kept = self._last.latest_checkpoint
            goes_on = f"step {_step_of(kept) if kept else 0}"
            raise config.UserError(
                f"--model_dir ({self._folder}): the checkpoint of step {step} "
                f"cannot be written ({reason_of(error)}); make room and start "
                f"again, the run goes on from {goes_on}."
            ) from error


def _name_of_result(run: config.Config) -> str:
    """Names the segmentor to use, in both kinds of checkpoint."""
    return "averaged" if run.ema else "segmentor"


def clear(model_dir: str) -> None:
    """Removes the checkpoints of a run that is started anew.

    They would be taken for the new run's if that was stopped before its own
    first one.
    """
    shutil.rmtree(os.path.join(model_dir, "checkpoints"), ignore_errors=True)


def find_segmentor(model_dir: str) -> str:
    """Finds the checkpoint to use: the best by validation, else the last.

    Raises:
      UserError: the folder holds no checkpoint.
    """
    for name in (_BEST, _LAST):
        folder = os.path.join(model_dir, "checkpoints", name)
        _refuse_damaged_list(folder)
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
      UserError: there is no checkpoint, or it is damaged, of another
        configuration or of the other edition.
    """
    path = find_segmentor(run.model_dir)
    _refuse_other_edition(run.model_dir)
    # Whatever it was trained in, it is used and exported in float32.
    model = distribution.build_segmentor(
        dataclasses.replace(run, precision="float32")
    )
    step = tf.Variable(0, dtype=tf.int64, trainable=False)
    checkpoint = tf.train.Checkpoint(step=step, **{_name_of_result(run): model})
    _restore(checkpoint, path, expect_all=False)
    return model, int(step.numpy())


def _refuse_other_edition(model_dir: str) -> None:
    """Refuses the checkpoints that the other Keras wrote, in words."""
    written_by = run_dir.read_versions(model_dir).get("keras")
    if written_by and not editions.reads_checkpoints_of(written_by):
        raise config.UserError(
            f"--model_dir ({model_dir}) was trained with Keras {written_by}, "
            f"whose checkpoints Keras {keras.__version__} cannot read; use it "
            "in the edition that trained it. What is exported there works "
            "here too (docs/editions.md)."
        )


def _restore(
    checkpoint: tf.train.Checkpoint, path: str, *, expect_all: bool
) -> None:
    try:
        # Without expect_partial a refusal is followed by a line of warning
        # for every variable.
        status = checkpoint.restore(path).expect_partial()
        if expect_all:
            status.assert_consumed()
        status.assert_existing_objects_matched()
    except (ValueError, AssertionError) as error:
        raise config.UserError(
            f"{path} is of another configuration ({reason_of(error)}); give "
            "the flags it was trained with, or another --model_dir."
        ) from error
    except (tf.errors.OpError, IndexError) as error:
        raise config.UserError(
            f"{path} is damaged ({reason_of(error)}); remove the files "
            f"{path}.* to fall back on another checkpoint."
        ) from error


def _make_manager(
    checkpoint: tf.train.Checkpoint, folder: str, *, kept: int
) -> tf.train.CheckpointManager:
    _refuse_damaged_list(folder)
    # What a killed process was writing: each as large as a checkpoint.
    for leftover in glob.glob(os.path.join(glob.escape(folder), "*_temp")):
        shutil.rmtree(leftover, ignore_errors=True)
    return tf.train.CheckpointManager(checkpoint, folder, max_to_keep=kept)


def _refuse_damaged_list(folder: str) -> None:
    """Refuses an unreadable list, which TensorFlow may take for no list."""
    path = os.path.join(folder, "checkpoint")
    try:
        damaged = os.path.exists(path) and not tf.train.get_checkpoint_state(
            folder
        )
    except ValueError:
        damaged = True
    if damaged:
        raise config.UserError(
            f"{path}, the list of checkpoints, is damaged; write "
            'model_checkpoint_path: "ckpt-STEP" into it with the step of a '
            "checkpoint beside it, or start anew with --noresume."
        )


def _is_there(path: str) -> bool:
    return os.path.exists(f"{path}.index")


def _step_of(path: str) -> int:
    return int(path.rpartition("-")[2])


def reason_of(error: Exception) -> str:
    """Takes the cause out of TensorFlow's message, without its node names."""
    line = (str(error).splitlines() or [type(error).__name__])[0]
    return re.sub(r"\{\{.*?\}\} | \[Op:\w+\].*", "", line).rpartition("; ")[2]
