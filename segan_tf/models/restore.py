"""Builds the segmentor of a run and restores its trained weights."""

import dataclasses
import os
import re

import keras
import tensorflow as tf

from segan_tf import compat, run_dir
from segan_tf.config import Config, UserError
from segan_tf.models.segmentors import SEGMENTORS

FOLDER = "checkpoints"
LAST = "last"  # to resume from
BEST = "best"  # the best Dice on the validation split


def build_segmentor(
    config: Config, *, synchronized: bool = False
) -> keras.Model:
    """Builds the segmentor of a configuration, with random weights."""
    return SEGMENTORS[config.segmentor].build(
        image_size=config.image_size,
        width=config.width,
        num_labels=config.num_labels,
        multiclass=config.multiclass,
        synchronized=synchronized,
        dtype=config.precision,
    )


def eval_model_key(config: Config) -> str:
    """Returns the evaluated segmentor's name in both kinds of checkpoint."""
    return "averaged" if config.ema else "segmentor"


def find_segmentor(model_dir: str) -> str:
    """Finds the checkpoint to use: the best by validation, else the last.

    Raises:
      UserError: the folder holds no checkpoint.
    """
    for name in (BEST, LAST):
        folder = os.path.join(model_dir, FOLDER, name)
        check_list(folder)
        path = tf.train.latest_checkpoint(folder)
        if path is not None:
            return path
    raise UserError(
        f"--model_dir ({model_dir}) holds no checkpoint; train first with "
        f"--mode=train --model_dir={model_dir}."
    )


def load_segmentor(config: Config) -> tuple[keras.Model, int]:
    """Builds the run's segmentor with its trained weights.

    Args:
      config: the configuration that the run recorded.

    Returns:
      The segmentor and the step of its weights.

    Raises:
      UserError: there is no checkpoint, or it is damaged, of another
        configuration or written by another major version of Keras.
    """
    path = find_segmentor(config.model_dir)
    check_edition(config.model_dir)
    # Whatever precision it was trained in, inference and export use float32.
    model = build_segmentor(dataclasses.replace(config, precision="float32"))
    step = tf.Variable(0, dtype=tf.int64, trainable=False)
    checkpoint = tf.train.Checkpoint(
        step=step, **{eval_model_key(config): model}
    )
    restore_checkpoint(checkpoint, path, expect_all=False)
    return model, int(step.numpy())


def check_edition(model_dir: str) -> None:
    """Checks that the installed Keras can read a run's checkpoints.

    Raises:
      UserError: another major version of Keras wrote them.
    """
    written_by = run_dir.read_versions(model_dir).get("keras")
    if written_by and not compat.reads_checkpoints_of(written_by):
        raise UserError(
            f"--model_dir ({model_dir}) was trained with Keras {written_by}, "
            f"whose checkpoints Keras {keras.__version__} cannot read; use it "
            "with the Keras that trained it. Models exported there work here "
            "too (docs/editions.md)."
        )


def restore_checkpoint(
    checkpoint: tf.train.Checkpoint, path: str, *, expect_all: bool
) -> None:
    """Restores a checkpoint into objects that exist.

    Args:
      checkpoint: what to restore.
      path: of the checkpoint, without the extension.
      expect_all: whether everything in the file must be in `checkpoint`.

    Raises:
      UserError: the checkpoint is damaged or of another configuration.
    """
    try:
        # Without expect_partial an error is followed by a warning for every
        # variable.
        status = checkpoint.restore(path).expect_partial()
        if expect_all:
            status.assert_consumed()
        status.assert_existing_objects_matched()
    except (ValueError, AssertionError) as error:
        raise UserError(
            f"{path} is of another configuration ({reason_of(error)}); give "
            "the flags it was trained with, or another --model_dir."
        ) from error
    except (tf.errors.OpError, IndexError) as error:
        raise UserError(
            f"{path} is damaged ({reason_of(error)}); remove the files "
            f"{path}.* to fall back on another checkpoint."
        ) from error


def check_list(folder: str) -> None:
    """Checks that a folder's list of checkpoints is readable.

    TensorFlow may read a damaged list as an empty one.

    Raises:
      UserError: the list is damaged.
    """
    path = os.path.join(folder, "checkpoint")
    try:
        damaged = os.path.exists(path) and not tf.train.get_checkpoint_state(
            folder
        )
    except ValueError:
        damaged = True
    if damaged:
        raise UserError(
            f"{path}, the list of checkpoints, is damaged; write "
            'model_checkpoint_path: "ckpt-STEP" into it with the step of a '
            "checkpoint in this folder, or start again with --noresume."
        )


def reason_of(error: Exception) -> str:
    """Extracts the cause from TensorFlow's message, without node names."""
    line = (str(error).splitlines() or [type(error).__name__])[0]
    return re.sub(r"\{\{.*?\}\} | \[Op:\w+\].*", "", line).rpartition("; ")[2]
