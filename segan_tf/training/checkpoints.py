"""Checkpoints of a run: the last one to resume from, the best one to use."""

import contextlib
import os

import tensorflow as tf

from segan_tf import checkpoint_files, files, run_dir
from segan_tf.config import UserError
from segan_tf.models import restore
from segan_tf.training.state import TrainState

# How many are kept: of the last, the newest and the one before it, should a
# disk fail.
_KEPT = {restore.LAST: 2, restore.BEST: 1}


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
        """
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.best_dice = tf.Variable(-1.0, trainable=False)
        tracked = {
            "segmentor": state.segmentor,
            "segmentor_optimizer": state.segmentor_optimizer,
        }
        if state.critic is not None:
            tracked["critic"] = state.critic
        if state.critic_optimizer is not None:
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
        self._checkpoints = {restore.LAST: checkpoint, restore.BEST: best}
        self.move(model_dir)

    def move(self, model_dir: str) -> None:
        """Uses the checkpoints in this folder from now on."""
        self._model_dir = model_dir
        # Made when something is saved: a command that fails changes no file.
        self._managers: dict[str, tf.train.CheckpointManager] = {}

    def restore(self) -> int:
        """Restores the last checkpoint, if there is one.

        If the newest is damaged, the one before it is used: the run makes the
        steps after it again, with the same result.

        Returns:
          The step to resume at, 0 for a new run.

        Raises:
          UserError: all checkpoints are damaged, of another configuration or
            of the other edition; or the run has lost them.
        """
        folder = self._folder(restore.LAST)
        if not checkpoint_files.find(folder):
            if run_dir.has_saved(self._model_dir):
                raise UserError(
                    f"{folder} holds no checkpoint, although "
                    f"--model_dir ({self._model_dir}) tells of a training that "
                    "saved one; copy it again from where it is whole, or start "
                    "over with --noresume."
                )
            return 0
        restore.check_edition(self._model_dir)
        restore.restore_newest(
            self._checkpoints[restore.LAST], folder, expect_all=True
        )
        return int(self.step.numpy())

    def save_last(self, step: int) -> None:
        """Saves everything that resuming needs.

        Raises:
          UserError: it cannot be written; earlier checkpoints are kept.
        """
        self._save(restore.LAST, step)

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
        self._save(restore.BEST, step)
        return True

    def _save(self, name: str, step: int) -> None:
        self.step.assign(step)
        try:
            if name not in self._managers:
                self._managers[name] = _make_manager(
                    self._checkpoints[name],
                    self._folder(name),
                    kept=_KEPT[name],
                )
            self._managers[name].save(checkpoint_number=step)
        except (tf.errors.OpError, OSError) as error:
            with contextlib.suppress(OSError, UserError):
                checkpoint_files.remove_incomplete(self._folder(name))
            kept = checkpoint_files.find(self._folder(restore.LAST))
            raise UserError(
                f"--model_dir ({self._folder(name)}): the checkpoint of step "
                f"{step} cannot be written ({restore.reason_of(error)}); make "
                "room and start again, the run resumes from step "
                f"{checkpoint_files.step_of(kept[0]) if kept else 0}."
            ) from error

    def _folder(self, name: str) -> str:
        return os.path.join(self._model_dir, restore.FOLDER, name)


def _make_manager(
    checkpoint: tf.train.Checkpoint, folder: str, *, kept: int
) -> tf.train.CheckpointManager:
    found = checkpoint_files.find(folder)
    os.makedirs(folder, exist_ok=True)
    checkpoint_files.remove_incomplete(folder)
    # The manager removes only what its list names, and the list may be damaged
    # or older than the files. Those after the time 0 may be removed.
    lines = [
        f'all_model_checkpoint_paths: "{os.path.basename(path)}"\n'
        "all_model_checkpoint_timestamps: 1\n"
        for path in reversed(found)
    ]
    path = os.path.join(folder, checkpoint_files.LIST)
    if found:
        newest = os.path.basename(found[0])
        lines.append(f'model_checkpoint_path: "{newest}"\n')
        lines.append("last_preserved_timestamp: 0\n")
        files.write_text(path, "".join(lines))
    elif os.path.exists(path):
        os.remove(path)
    return tf.train.CheckpointManager(
        checkpoint, files.without_patterns(folder), max_to_keep=kept
    )
