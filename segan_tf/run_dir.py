"""The folder of a run: its settings, its log, and checks against both."""

import contextlib
import dataclasses
import errno
import json
import os
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from segan_tf import console, environment, files, records
from segan_tf import labels as labels_lib
from segan_tf.config import (
    DATA_FIELDS,
    MODEL_FIELDS,
    PRETRAINED,
    RUN_FIELDS,
    SOURCE_FIELDS,
    VALUES_BEFORE,
    Config,
    UserError,
    renamed,
)

_FLAGS = "flags.json"
_TRAINING = "training.json"
# The disk, the quota or the longest file is full.
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# (path, setting) of every note that this process has printed.
_noted: set[tuple[str, str]] = set()


def write_flags(config: Config, command: Sequence[str]) -> None:
    """Writes flags.json: the settings, command, versions and commit.

    Raises:
      UserError: the model_dir cannot be written.
    """
    with _writing(config.model_dir):
        os.makedirs(config.model_dir, exist_ok=True)
        records.write(
            os.path.join(config.model_dir, _FLAGS),
            {
                "flags": dataclasses.asdict(config),
                **environment.describe(command),
            },
        )


def read_flags(model_dir: str) -> Config:
    """Reads the settings that a run was trained with.

    Names and values of older versions get the present ones. Settings of no
    known version are ignored, with a note.

    Raises:
      UserError: there is no run, or its settings cannot be read.
    """
    path = os.path.join(model_dir, _FLAGS)
    try:
        saved = {**VALUES_BEFORE, **renamed(records.read(path)["flags"])}
        config = Config(**_known_settings(saved, path))
    except FileNotFoundError as error:
        raise UserError(
            f"--model_dir ({model_dir}) holds no trained model ({_FLAGS} is "
            f"missing); train first with --mode=train --model_dir={model_dir}."
        ) from error
    except records.NewerFormatError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path} cannot be understood ({error}); it was written by another"
            " version or changed by hand."
        ) from error
    return config.with_given((), model_dir=model_dir)


def read_versions(model_dir: str) -> dict[str, str]:
    """Reads the package versions of a run; empty if it recorded none."""
    try:
        return records.read(os.path.join(model_dir, _FLAGS))["versions"]
    except (OSError, ValueError, KeyError):
        return {}


def has_flags(model_dir: str) -> bool:
    """Returns whether a run was started in this folder."""
    return os.path.exists(os.path.join(model_dir, _FLAGS))


def write_labels(labels: labels_lib.Labels, model_dir: str) -> None:
    """Writes labels.json: what the values of predicted label maps mean.

    Raises:
      UserError: the model_dir cannot be written.
    """
    with _writing(model_dir):
        records.write(
            os.path.join(model_dir, labels_lib.FILE_NAME),
            labels_lib.numbered(labels),
        )


def read_labels(config: Config) -> labels_lib.Labels:
    """Reads the names of a run's labels.

    Raises:
      UserError: labels.json cannot be read.
    """
    path = os.path.join(config.model_dir, labels_lib.FILE_NAME)
    if not os.path.exists(path):  # a run from before labels had names
        names = labels_lib.default_names(config.num_labels)
        return labels_lib.Labels(names, config.multiclass)
    return labels_lib.read_labels(path, multiclass=config.multiclass)


def write_training(model_dir: str, summary: dict[str, Any]) -> None:
    """Writes training.json: the cost of a training that is complete.

    Raises:
      UserError: the model_dir cannot be written.
    """
    with _writing(model_dir):
        records.write(os.path.join(model_dir, _TRAINING), summary)


def read_training(model_dir: str) -> dict[str, Any]:
    """Reads the cost of training; empty if training is not complete.

    Raises:
      UserError: training.json cannot be read.
    """
    path = os.path.join(model_dir, _TRAINING)
    try:
        return records.read(path)
    except FileNotFoundError:
        return {}
    except records.NewerFormatError:
        raise
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path} cannot be understood ({error}); remove it to continue "
            "without the cost of training."
        ) from error


def remove_training(model_dir: str) -> None:
    """Removes training.json, when a new training starts."""
    with contextlib.suppress(FileNotFoundError):
        os.remove(os.path.join(model_dir, _TRAINING))


def gives(config: Config, names: Collection[str]) -> bool:
    """Returns whether any of these settings was given."""
    return not config.given.isdisjoint(names)


def check_same_model(saved: Config, config: Config) -> None:
    """Checks that no given setting contradicts the trained model.

    Raises:
      UserError: one does; names it and both values.
    """
    for name in MODEL_FIELDS:
        old, new = getattr(saved, name), getattr(config, name)
        if name in config.given and new != old:
            raise UserError(
                f"--{name} ({new}) is not the {old} that the model in "
                f"{saved.model_dir} was trained with; leave it out."
            )


def check_no_model_settings(
    config: Config, model: str, *, names: Collection[str] = MODEL_FIELDS
) -> None:
    """Checks that no given setting is one that a model without a run fixes.

    Args:
      config: the settings.
      model: a SavedModel, a TFLite file or the released model.
      names: the settings that have no effect on it.

    Raises:
      UserError: one is given; names it.
    """
    for name in names:
        if name in config.given:
            raise UserError(
                f"--{name} has no effect on --model={model}, which is not a "
                "run; leave it out."
            )


def merge(saved: Config, config: Config) -> Config:
    """Returns the settings of a run, replaced by those that are given.

    Raises:
      UserError: a given setting contradicts the trained model.
    """
    check_same_model(saved, config)
    if gives(config, SOURCE_FIELDS):
        # For other images the run's own splits mean nothing.
        defaults = {f.name: f.default for f in dataclasses.fields(Config)}
        saved = saved.replace(**{name: defaults[name] for name in DATA_FIELDS})
    given = {name: getattr(config, name) for name in config.given}
    return saved.with_given(config.given, **given)


def check_resumable(config: Config) -> None:
    """Checks that the run in model_dir was trained with the same settings.

    Raises:
      UserError: names the first flag that differs, and both values.
    """
    saved = read_flags(config.model_dir)
    names = RUN_FIELDS
    if config.schedule == "cosine":  # which decays to 0 at the last epoch
        names += ("epochs",)
    for name in names:
        old, new = getattr(saved, name), getattr(config, name)
        if old != new:
            remedy = f"give --{name}={old}"
            if old in (None, ""):
                old, remedy = "default", f"leave --{name} out"
            raise UserError(
                f"--{name} ({new}) is not the {old} that --model_dir "
                f"({config.model_dir}) was trained with; {remedy}, another "
                "--model_dir, or --noresume to start over there."
            )


def check_start_from(config: Config) -> None:
    """Checks that start_from is a run whose segmentor has the same weights.

    Raises:
      UserError: it is no run, or names the first flag that differs.
    """
    if config.start_from in ("", PRETRAINED):
        return
    if not has_flags(config.start_from):
        raise UserError(
            f"--start_from ({config.start_from}) holds no trained model "
            f"({_FLAGS} is missing); give the --model_dir of a run, or "
            f"{PRETRAINED}."
        )
    check_same_segmentor(config, read_flags(config.start_from))


def check_same_segmentor(config: Config, start: Config) -> None:
    """Checks that the weights of a start fit; its image_size may differ.

    Raises:
      UserError: names the first flag that differs, and both values.
    """
    for name in MODEL_FIELDS:
        old, new = getattr(start, name), getattr(config, name)
        if old != new and name != "image_size":
            raise UserError(
                f"--{name} ({new}) is not the {old} of --start_from "
                f"({config.start_from}); give --{name}={old}."
            )


class Log:
    """A JSON-lines file: one line per loop of steps and per epoch."""

    def __init__(self, model_dir: str, *, first_step: int) -> None:
        """Opens the log and drops the lines after first_step.

        Raises:
          UserError: it cannot be written.
        """
        self._model_dir = model_dir
        self._path = os.path.join(model_dir, "log.jsonl")
        kept = []
        if os.path.exists(self._path):
            with open(self._path, encoding="utf-8", errors="replace") as file:
                kept = [line for line in file if _step_of(line) <= first_step]
        with _writing(model_dir):
            os.makedirs(model_dir, exist_ok=True)
            files.write_text(self._path, "".join(kept))

    def write(self, **values: Any) -> None:
        """Appends a line.

        Raises:
          UserError: it cannot be written.
        """
        with (
            _writing(self._model_dir),
            open(self._path, "a", encoding="utf-8") as file,
        ):
            file.write(json.dumps(values) + "\n")


@contextlib.contextmanager
def _writing(model_dir: str) -> Iterator[None]:
    """Reports an OSError of the block as a mistake in --model_dir."""
    try:
        yield
    except OSError as error:
        remedy = "give a folder that can"
        if error.errno in _NO_ROOM:
            remedy = "make room and start again"
        raise UserError(
            f"--model_dir ({model_dir}) cannot be written "
            f"({error.strerror}); {remedy}."
        ) from error


def _known_settings(saved: dict[str, Any], path: str) -> dict[str, Any]:
    """Drops unknown settings, with a note once per file and process."""
    known = {field.name for field in dataclasses.fields(Config)}
    for name in sorted(set(saved) - known):
        if (path, name) not in _noted:
            _noted.add((path, name))
            console.say(f"note: {path} has the unknown setting {name}, ignored")
    return {name: value for name, value in saved.items() if name in known}


def _step_of(line: str) -> float:
    try:
        if line.endswith("\n"):
            return json.loads(line)["step"]
    except (ValueError, KeyError, TypeError):
        pass
    return float("inf")  # cut off while it was written
