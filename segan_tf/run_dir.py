"""The run's folder: what is needed to repeat the run, and what it logged."""

import contextlib
import dataclasses
import errno
import json
import os
import platform
import subprocess
import sys
from collections.abc import Collection, Sequence
from importlib import metadata

from segan_tf import console, files, records
from segan_tf import labels as labels_lib
from segan_tf.config import (
    DATA_FIELDS,
    MODEL_FIELDS,
    PRETRAINED,
    RUN_FIELDS,
    SOURCE_FIELDS,
    Config,
    UserError,
    renamed,
)

_FLAGS = "flags.json"
_TRAINING = "training.json"
# The disk, the quota or the longest file is full.
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_PACKAGES = (
    "tensorflow",
    "tensorflow-cpu",
    "keras",
    "numpy",
    "pillow",
    "absl-py",
)


def write_flags(config: Config, command: Sequence[str]) -> None:
    """Records configuration, command, versions and commit in flags.json.

    Raises:
      UserError: the model_dir cannot be written.
    """
    with _writing(config.model_dir):
        os.makedirs(config.model_dir, exist_ok=True)
        records.write(
            os.path.join(config.model_dir, _FLAGS),
            {
                "flags": dataclasses.asdict(config),
                **describe_environment(command),
            },
        )


def write_labels(labels: labels_lib.Labels, model_dir: str) -> None:
    """Records what the numbers of predicted label maps mean.

    Raises:
      UserError: the model_dir cannot be written.
    """
    with _writing(model_dir):
        records.write(
            os.path.join(model_dir, labels_lib.FILE_NAME),
            labels_lib.numbered(labels),
        )


def read_labels(config: Config) -> labels_lib.Labels:
    """Reads what the labels of a run are called.

    Raises:
      UserError: the file cannot be understood.
    """
    path = os.path.join(config.model_dir, labels_lib.FILE_NAME)
    if not os.path.exists(path):  # a run of before labels had names
        names = labels_lib.default_names(config.num_labels)
        return labels_lib.Labels(names, config.multiclass)
    return labels_lib.read_labels(path, multiclass=config.multiclass)


def describe_environment(command: Sequence[str]) -> dict:
    """Describes under which a figure was made: command, versions, machine."""
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {
        "command": " ".join(command),
        "versions": versions,
        "commit": _commit(),
        "hardware": f"{os.cpu_count()} CPU cores, {_processor()}",
    }


def read_flags(model_dir: str) -> Config:
    """Reads the configuration that a model_dir was trained with.

    Raises:
      UserError: there is none, or it cannot be understood.
    """
    path = os.path.join(model_dir, _FLAGS)
    try:
        saved = renamed(records.read(path)["flags"])
        known = {field.name for field in dataclasses.fields(Config)}
        for name in sorted(set(saved) - known):
            console.say(f"note: {path} has the unknown setting {name}, ignored")
            del saved[name]
        config = Config(**saved)
    except FileNotFoundError as error:
        raise UserError(
            f"--model_dir ({model_dir}) holds no trained model ({_FLAGS} is "
            f"missing); train first with --mode=train --model_dir={model_dir}."
        ) from error
    except records.NewerFormatError:
        raise
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} cannot be understood ({error}); it was written by another"
            " version or changed by hand."
        ) from error
    return config.with_given((), model_dir=model_dir)


def read_versions(model_dir: str) -> dict[str, str]:
    """Reads which packages a run used last; empty before it was begun."""
    try:
        return records.read(os.path.join(model_dir, _FLAGS))["versions"]
    except (OSError, ValueError, KeyError):
        return {}


def write_training(model_dir: str, summary: dict) -> None:
    """Records what training took, once it has come to its end.

    Raises:
      UserError: the model_dir cannot be written.
    """
    with _writing(model_dir):
        records.write(os.path.join(model_dir, _TRAINING), summary)


def read_training(model_dir: str) -> dict:
    """Reads what training took; empty when it has not come to its end."""
    try:
        return records.read(os.path.join(model_dir, _TRAINING))
    except FileNotFoundError:
        return {}


def forget_training(model_dir: str) -> None:
    """Removes what an earlier training took: a new one has begun."""
    with contextlib.suppress(FileNotFoundError):
        os.remove(os.path.join(model_dir, _TRAINING))


def has_flags(model_dir: str) -> bool:
    """Says whether a run was begun in this folder."""
    return os.path.exists(os.path.join(model_dir, _FLAGS))


def gives(config: Config, names: Collection[str]) -> bool:
    """Tells whether the configuration gives any of these settings."""
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


def merge(saved: Config, config: Config) -> Config:
    """Takes what the run was trained with, and the settings given now.

    Raises:
      UserError: a given setting contradicts the trained model.
    """
    check_same_model(saved, config)
    if gives(config, SOURCE_FIELDS):
        # Other images: how the run's own were divided means nothing there.
        defaults = {f.name: f.default for f in dataclasses.fields(Config)}
        saved = saved.replace(**{name: defaults[name] for name in DATA_FIELDS})
    given = {name: getattr(config, name) for name in config.given}
    return saved.with_given(config.given, **given)


def check_other_run(config: Config) -> None:
    """Refuses to go on in the folder of a run with other numbers.

    Raises:
      UserError: names the first flag that differs, and both values.
    """
    saved = read_flags(config.model_dir)
    names = RUN_FIELDS
    if config.schedule == "cosine":  # which falls to 0 at the last epoch
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
                "--model_dir, or --noresume to start anew there."
            )


def check_other_start(config: Config) -> None:
    """Refuses to start from a run whose segmentor has other weights.

    Raises:
      UserError: there is none, or names the first flag that differs.
    """
    if config.start_from in ("", PRETRAINED):
        return
    if not has_flags(config.start_from):
        raise UserError(
            f"--start_from ({config.start_from}) holds no trained model "
            f"({_FLAGS} is missing); give the --model_dir of a run, or "
            f"{PRETRAINED}."
        )
    check_other_segmentor(config, read_flags(config.start_from))


def check_other_segmentor(config: Config, start: Config) -> None:
    """Refuses a start whose weights do not fit; any image_size does.

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
    """A JSON-lines file, one line a loop and an epoch."""

    def __init__(self, model_dir: str, *, first_step: int) -> None:
        """Opens the log and forgets lines of steps that are made again.

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

    def write(self, **values) -> None:
        """Appends a line.

        Raises:
          UserError: it cannot be written.
        """
        with _writing(self._model_dir):
            with open(self._path, "a", encoding="utf-8") as file:
                file.write(json.dumps(values) + "\n")


@contextlib.contextmanager
def _writing(model_dir: str):
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


def _step_of(line: str) -> float:
    try:
        if line.endswith("\n"):
            return json.loads(line)["step"]
    except (ValueError, KeyError, TypeError):
        pass
    return float("inf")  # cut off while it was written


def _commit() -> str:
    folder = os.path.dirname(os.path.abspath(__file__))
    try:
        return subprocess.run(
            ["git", "-C", folder, "describe", "--always", "--dirty"],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def _processor() -> str:
    if sys.platform == "linux":
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
