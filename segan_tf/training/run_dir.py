"""The run's folder: what is needed to repeat the run, and what it logged."""

import dataclasses
import json
import os
import platform
import subprocess
import sys
from importlib import metadata

from segan_tf import config, files

_FLAGS = "flags.json"
TRAINING = "training.json"
_PACKAGES = (
    "tensorflow",
    "tensorflow-cpu",
    "keras",
    "numpy",
    "pillow",
    "absl-py",
)


def write_flags(run: config.Config, command: list[str]) -> None:
    """Records configuration, command, versions and commit in flags.json.

    Raises:
      UserError: the model_dir cannot be written.
    """
    try:
        os.makedirs(run.model_dir, exist_ok=True)
        files.write_json(
            os.path.join(run.model_dir, _FLAGS),
            {"flags": dataclasses.asdict(run), **circumstances(command)},
        )
    except OSError as error:
        raise config.UserError(
            f"--model_dir ({run.model_dir}) cannot be written "
            f"({error.strerror}); give a folder that can."
        ) from error


def circumstances(command: list[str]) -> dict:
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


def read_flags(model_dir: str) -> config.Config:
    """Reads the configuration that a model_dir was trained with.

    Raises:
      UserError: there is none, or it cannot be understood.
    """
    path = os.path.join(model_dir, _FLAGS)
    try:
        with open(path, encoding="utf-8") as file:
            saved = json.load(file)["flags"]
        run = config.Config(**saved)
    except FileNotFoundError as error:
        raise config.UserError(
            f"--model_dir ({model_dir}) holds no trained model ({_FLAGS} is "
            f"missing); train first with --mode=train --model_dir={model_dir}."
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise config.UserError(
            f"{path} cannot be understood ({error}); it was written by another"
            " version or changed by hand."
        ) from error
    return dataclasses.replace(run, model_dir=model_dir)


def read_training(model_dir: str) -> dict:
    """Reads what training took; empty when it has not come to its end."""
    try:
        with open(os.path.join(model_dir, TRAINING), encoding="utf-8") as file:
            return json.load(file)
    except FileNotFoundError:
        return {}


def has_flags(model_dir: str) -> bool:
    """Says whether a run was begun in this folder."""
    return os.path.exists(os.path.join(model_dir, _FLAGS))


def refuse_other_run(run: config.Config) -> None:
    """Refuses to go on in the folder of a run with other numbers.

    Raises:
      UserError: names the first flag that differs, and both values.
    """
    saved = read_flags(run.model_dir)
    for name in config.RUN_FIELDS:
        old, new = getattr(saved, name), getattr(run, name)
        if old != new:
            raise config.UserError(
                f"--{name} ({new}) is not the {old} that --model_dir "
                f"({run.model_dir}) was trained with; give --{name}={old}, "
                "another --model_dir, or --noresume to start anew there."
            )


class Log:
    """A JSON-lines file, one line a loop and an epoch."""

    def __init__(self, model_dir: str, *, first_step: int):
        """Opens the log and forgets lines of steps that are made again."""
        self._path = os.path.join(model_dir, "log.jsonl")
        kept = []
        if os.path.exists(self._path):
            with open(self._path, encoding="utf-8") as file:
                kept = [line for line in file if _step_of(line) <= first_step]
        files.write_text(self._path, "".join(kept))

    def write(self, **values) -> None:
        """Appends a line."""
        with open(self._path, "a", encoding="utf-8") as file:
            file.write(json.dumps(values) + "\n")


def _step_of(line: str) -> float:
    try:
        return json.loads(line)["step"]
    except (ValueError, KeyError):
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
