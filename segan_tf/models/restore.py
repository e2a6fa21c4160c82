"""Builds the segmentor of a run and restores its trained weights."""

import dataclasses
import os
import re

import keras
import tensorflow as tf

from segan_tf import checkpoint_files, compat, console, files, run_dir
from segan_tf import styles as styles_lib
from segan_tf.config import Config, UserError
from segan_tf.models import weights
from segan_tf.models.segmentors import SEGMENTORS

FOLDER = checkpoint_files.FOLDER
LAST = checkpoint_files.LAST
BEST = checkpoint_files.BEST


def build_segmentor(
    config: Config, *, num_styles: int = 0, synchronized: bool = False
) -> keras.Model:
    """Builds the segmentor of a configuration, with random weights."""
    # A segmentor that is added needs no argument that it does not use.
    with_styles = {"num_styles": num_styles} if num_styles else {}
    return SEGMENTORS[config.segmentor].build(
        image_size=config.image_size,
        width=config.width,
        num_labels=config.num_labels,
        multiclass=config.multiclass,
        **with_styles,
        synchronized=synchronized,
        dtype=config.precision,
    )


def eval_model_key(config: Config) -> str:
    """Returns the evaluated segmentor's name in both kinds of checkpoint."""
    return "averaged" if config.ema else "segmentor"


def find_segmentor(model_dir: str) -> str:
    """Finds the checkpoint to use: the best by validation, else the last.

    Raises:
      UserError: the folder holds no checkpoint, or it cannot be read.
    """
    for name in (BEST, LAST):
        found = checkpoint_files.find(os.path.join(model_dir, FOLDER, name))
        if found:
            return found[0]
    raise UserError(
        f"--model_dir ({model_dir}) holds no checkpoint; train first with "
        f"--mode=train --model_dir={model_dir}."
    )


@dataclasses.dataclass(frozen=True)
class Restored:
    """The segmentor of a run.

    Attributes:
      segmentor: with its trained weights; of [image, style] if it has styles.
      step: of the weights.
      path: of their checkpoint.
      styles: that it can draw in.
    """

    segmentor: keras.Model
    step: int
    path: str
    styles: styles_lib.Styles = styles_lib.PLAIN


def load(config: Config) -> Restored:
    """Builds the run's segmentor with its trained weights.

    Args:
      config: the configuration that the run recorded.

    Raises:
      UserError: there is no checkpoint, or it is damaged, of another
        configuration or written by another major version of Keras.
    """
    folder = os.path.dirname(find_segmentor(config.model_dir))
    check_edition(config.model_dir)
    # Whatever precision it was trained in, inference and export use float32.
    styles = styles_lib.read(config.model_dir).styles
    model = build_segmentor(
        dataclasses.replace(config, precision="float32"),
        num_styles=styles.count,
    )
    step = tf.Variable(0, dtype=tf.int64, trainable=False)
    checkpoint = tf.train.Checkpoint(
        step=step, **{eval_model_key(config): model}
    )
    path = restore_newest(checkpoint, folder, expect_all=False)
    if os.path.basename(folder) == LAST and _had_best(path):
        console.say(
            f"note: {os.path.join(config.model_dir, FOLDER, BEST)}, the best "
            f"checkpoint by validation, is missing; {path} is used instead"
        )
    return Restored(model, int(step.numpy()), path, styles)


def load_segmentor(config: Config) -> tuple[keras.Model, int]:
    """Returns a segmentor of the image alone and the step of its weights.

    One that has styles draws in their mean.
    """
    restored = load(config)
    return fix_style(config, restored), restored.step


def fix_style(
    config: Config, restored: Restored, style: tuple[float, ...] = ()
) -> keras.Model:
    """Returns the segmentor of a run as one of the image alone.

    Args:
      config: the configuration that the run recorded.
      restored: from `load`.
      style: the weight of each style, if it has styles; the mean by default.
    """
    if not restored.styles.count:
        return restored.segmentor
    plain = build_segmentor(dataclasses.replace(config, precision="float32"))
    weights.fix_style(restored.segmentor, plain, style or restored.styles.mean)
    return plain


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


def restore_newest(
    checkpoint: tf.train.Checkpoint, folder: str, *, expect_all: bool
) -> str:
    """Restores the newest whole checkpoint of a folder.

    A note names those that are damaged. A checkpoint may disappear meanwhile,
    since a training that saves a new one removes the oldest.

    Args:
      checkpoint: objects that exist.
      folder: holds at least one checkpoint.
      expect_all: whether everything in the file must be in `checkpoint`.

    Returns:
      The path of the checkpoint.

    Raises:
      UserError: all are damaged, or one cannot be read or is of another
        configuration.
    """
    coming = checkpoint_files.find(folder)
    passed_over: list[str] = []
    while coming:
        path = coming.pop(0)
        try:
            checkpoint_files.check_readable(path)
            _restore(checkpoint, path, expect_all=expect_all)
        except DamagedCheckpointError as error:
            if not os.path.exists(f"{path}.index"):
                coming = [
                    path
                    for path in checkpoint_files.find(folder)
                    if path not in passed_over
                ]
            elif not coming:
                raise
            else:
                console.say(f"note: {error.reason}; {coming[0]} is used")
            passed_over.append(path)
        else:
            return path
    raise DamagedCheckpointError(f"{folder} holds no checkpoint any more")


def _had_best(path: str) -> bool:
    """Returns whether the run of a last checkpoint had a best one, too."""
    reader = tf.train.load_checkpoint(files.literal(path))
    name = "best_dice/.ATTRIBUTES/VARIABLE_VALUE"
    return reader.has_tensor(name) and reader.get_tensor(name) >= 0


class DamagedCheckpointError(UserError):
    """A checkpoint can be read, and does not hold what it should.

    Attributes:
      reason: names the checkpoint and what is wrong with it.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(
            f"{reason}; copy its files again from where they are whole. "
            f"Without a copy: if it is in {BEST}/, rename that folder to use "
            f"the last checkpoint; if it is in {LAST}/, start over with "
            "--noresume."
        )


def _restore(
    checkpoint: tf.train.Checkpoint, path: str, *, expect_all: bool
) -> None:
    try:
        # Without expect_partial an error is followed by a warning for every
        # variable.
        status = checkpoint.restore(files.literal(path)).expect_partial()
        if expect_all:
            status.assert_consumed()
        status.assert_existing_objects_matched()
    except (ValueError, AssertionError) as error:
        raise UserError(
            f"{path} is of another configuration ({reason_of(error)}); give "
            "the flags it was trained with, or another --model_dir."
        ) from error
    except (tf.errors.OpError, IndexError) as error:
        raise DamagedCheckpointError(
            f"{path} is damaged ({reason_of(error)})"
        ) from error


def reason_of(error: Exception) -> str:
    """Extracts the cause from TensorFlow's message, without node names."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    line = (str(error).splitlines() or [type(error).__name__])[0]
    return re.sub(r"\{\{.*?\}\} | \[Op:\w+\].*", "", line).rpartition("; ")[2]
