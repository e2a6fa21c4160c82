"""The folder of a run: its settings, its log, and checks against both."""

import contextlib
import dataclasses
import errno
import json
import math
import os
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from segan_tf import (
    checkpoint_files,
    console,
    environment,
    files,
    records,
    run_swap,
)
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
    is_released,
    renamed,
)

_FLAGS = "flags.json"
_TRAINING = "training.json"
_LOG = "log.jsonl"
# The disk, the quota or the longest file is full.
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# (path, setting) of every note that this process has printed.
_noted: set[tuple[str, str]] = set()


def write_flags(
    config: Config, command: Sequence[str], *, folder: str = ""
) -> None:
    """Writes flags.json: the settings, command, versions and commit.

    Args:
      config: of the run.
      command: the command line, by word.
      folder: to write to; the model_dir if empty.

    Raises:
      UserError: the model_dir cannot be written.
    """
    folder = folder or config.model_dir
    with reported(config.model_dir):
        os.makedirs(folder, exist_ok=True)
        records.write(
            os.path.join(folder, _FLAGS),
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
    run_swap.complete(model_dir)
    path = os.path.join(model_dir, _FLAGS)
    try:
        with records.reported_read_errors(path):
            saved = {**VALUES_BEFORE, **renamed(records.read(path)["flags"])}
            config = Config(**_known_settings(saved, path))
    except FileNotFoundError as error:
        raise UserError(
            f"--model_dir ({model_dir}) holds no trained model ({_FLAGS} is "
            f"missing); train first with --mode=train --model_dir={model_dir}."
        ) from error
    return config.with_given((), model_dir=model_dir)


def read_versions(model_dir: str) -> dict[str, str]:
    """Reads the package versions of a run; empty if it recorded none."""
    try:
        versions = records.read(os.path.join(model_dir, _FLAGS))["versions"]
    except (OSError, ValueError, KeyError):
        return {}
    if not isinstance(versions, dict):
        return {}
    return {
        name: version
        for name, version in versions.items()
        if isinstance(version, str)
    }


def has_flags(model_dir: str) -> bool:
    """Returns whether a run was started in this folder."""
    run_swap.complete(model_dir)
    path = os.path.join(model_dir, _FLAGS)
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return os.path.islink(path)
    except OSError:
        return True  # reading it tells what is wrong
    return True


def read_start(model_dir: str) -> tuple[int, int] | None:
    """Returns what is new whenever a training has started in a folder.

    A run that starts over replaces the old one with its first checkpoint.
    """
    try:
        status = os.stat(os.path.join(model_dir, _FLAGS))
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns


def write_labels(labels: labels_lib.Labels, model_dir: str) -> None:
    """Writes labels.json: what the values of predicted label maps mean.

    Raises:
      UserError: the model_dir cannot be written.
    """
    with reported(model_dir):
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
    labels = labels_lib.read_labels(path, multiclass=config.multiclass)
    if labels.count != config.num_labels:
        raise UserError(
            f"{path} names {labels.count} label(s), and the run was trained "
            f"with --num_labels={config.num_labels}; restore the file."
        )
    return labels


def write_training(model_dir: str, summary: dict[str, Any]) -> None:
    """Writes training.json: the cost of a training that is complete.

    Raises:
      UserError: the model_dir cannot be written.
    """
    with reported(model_dir):
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


def check_resumable(config: Config) -> Config:
    """Checks that the run in model_dir was trained with the same settings.

    Where the pairs come from is compared by their content instead: their
    folder may have been moved, or named in another way. What the run started
    from may be left out, since its weights are in the checkpoint.

    Returns:
      The configuration, with what the run started from.

    Raises:
      UserError: names the first flag that differs, and both values.
    """
    saved = read_flags(config.model_dir)
    if "start_from" not in config.given or _same_place(
        saved.start_from, config.start_from
    ):
        config = config.with_given(config.given, start_from=saved.start_from)
    names = RUN_FIELDS
    if config.schedule == "cosine":  # which decays to 0 at the last epoch
        names += ("epochs",)
    for name in names:
        old, new = getattr(saved, name), getattr(config, name)
        if old == new or _is_found_elsewhere(name, saved, config):
            continue
        remedy = f"give --{name}={old}"
        if old in (None, ""):
            old, remedy = "default", f"leave --{name} out"
        raise UserError(
            f"--{name} ({new}) is not the {old} that --model_dir "
            f"({config.model_dir}) was trained with; {remedy}, another "
            "--model_dir, or --noresume to start over there."
        )
    return config


def _is_found_elsewhere(name: str, saved: Config, config: Config) -> bool:
    """Returns whether a setting only names the same source in another way."""
    if name in ("data_dir", "image_dir", "label_map_dir"):
        folders = [c.data_dir or c.image_dir for c in (saved, config)]
        return all(folders)
    if name == "styles":
        return True  # compared by what the pairs have
    if name in ("test_list", "groups"):
        return bool(getattr(saved, name)) and bool(getattr(config, name))
    if name == "label_names":
        return all(c.label_names.endswith(".json") for c in (saved, config))
    return False


def _same_place(path: str, other: str) -> bool:
    return bool(path and other) and os.path.realpath(path) == os.path.realpath(
        other
    )


def check_start_from(config: Config) -> None:
    """Checks that start_from is a run whose segmentor has the same weights.

    Raises:
      UserError: it is no run, it is the run in model_dir, or a flag differs,
        which is named.
    """
    if not config.start_from or is_released(config.start_from):
        return
    for part in ("", checkpoint_files.FOLDER):
        folders = (config.start_from, config.model_dir)
        if _same_place(*(os.path.join(folder, part) for folder in folders)):
            raise UserError(
                f"--start_from ({config.start_from}) is the run in --model_dir "
                f"({config.model_dir}) itself; give another --model_dir."
            )
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


def has_saved(model_dir: str) -> bool:
    """Returns whether the records tell of a checkpoint that was saved.

    The first is saved by the end of the first epoch.
    """
    if os.path.exists(os.path.join(model_dir, _TRAINING)):
        return True
    path = os.path.join(model_dir, _LOG)
    try:
        with files.open_regular(
            path, encoding="utf-8", errors="replace"
        ) as file:
            return any(_number(line, "epoch", 0) > 1 for line in file)
    except OSError:
        return False


class Log:
    """A JSON-lines file: one line per loop of steps and per epoch.

    Attributes:
      folder: where the file is.
    """

    def __init__(self, folder: str, *, first_step: int) -> None:
        """Opens the log and drops the lines after first_step.

        Raises:
          UserError: it cannot be written.
        """
        self.folder = folder
        path = os.path.join(folder, _LOG)
        kept = []
        with reported(folder):
            if os.path.exists(path):
                with files.open_regular(
                    path, encoding="utf-8", errors="replace"
                ) as file:
                    kept = [
                        line
                        for line in file
                        # One without its end was cut off.
                        if line.endswith("\n")
                        and _number(line, "step", math.inf) <= first_step
                    ]
            os.makedirs(folder, exist_ok=True)
            files.write_text(path, "".join(kept))

    def write(self, **values: Any) -> None:
        """Appends a line.

        Raises:
          UserError: it cannot be written.
        """
        path = os.path.join(self.folder, _LOG)
        with (
            reported(self.folder),
            open(path, "a", encoding="utf-8") as file,
        ):
            file.write(json.dumps(values) + "\n")

    def read_loops(self) -> list[dict[str, Any]]:
        """Returns the lines of the loops that have a step and a speed."""
        try:
            path = os.path.join(self.folder, _LOG)
            with files.open_regular(
                path, encoding="utf-8", errors="replace"
            ) as file:
                return [
                    json.loads(line)
                    for line in file
                    if _number(line, "step", 0) > 0
                    and _number(line, "images_per_second", 0) > 0
                ]
        except FileNotFoundError:
            return []


@contextlib.contextmanager
def reported(model_dir: str) -> Iterator[None]:
    """Reports an OSError of the block as a mistake in --model_dir.

    Raises:
      UserError: the folder cannot be written.
    """
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


def _number(line: str, key: str, default: float) -> float:
    """Reads a number of a line of the log; default if it has none."""
    try:
        value = json.loads(line)[key]
    except (ValueError, KeyError, TypeError, RecursionError):
        return default
    return value if isinstance(value, int | float) else default
