"""The environment a result was produced in: versions, commit, hardware."""

import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from importlib import metadata
from typing import Any

_PACKAGES = (
    "tensorflow",
    "tensorflow-cpu",
    "keras",
    "numpy",
    "pillow",
    "absl-py",
)
_UNKNOWN = "unknown"
# Variables that choose kernels, devices or the arithmetic. By name: others that
# start with TF_ are of other programs, and may be secret.
_DECISIVE = (
    "CUDA_VISIBLE_DEVICES",
    "KERAS_BACKEND",
    "NVIDIA_TF32_OVERRIDE",
    "OMP_NUM_THREADS",
    "ONEDNN_MAX_CPU_ISA",
    "TF_CUDNN_DETERMINISTIC",
    "TF_DETERMINISTIC_OPS",
    "TF_ENABLE_ONEDNN_OPTS",
    "TF_NUM_INTEROP_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_XLA_FLAGS",
    "XLA_FLAGS",
)


def describe(command: Sequence[str]) -> dict[str, Any]:
    """Describes the environment a result was produced in.

    Args:
      command: the command line, by word.

    Returns:
      command, versions (by package, with python), commit, hardware and
      environment (the variables that may change numbers).
    """
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
        "environment": {
            name: os.environ[name] for name in _DECISIVE if name in os.environ
        },
    }


def count_cores() -> int:
    """Counts the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # only Linux tells
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _commit() -> str:
    """Describes the commit of this program, not of a repository around it."""
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    try:
        top = _ask_git(root, "rev-parse", "--show-toplevel")
        if os.path.realpath(top) != os.path.realpath(root):
            return _UNKNOWN
        # A repository may ignore the copy of the program in it.
        _ask_git(root, "ls-files", "--error-unmatch", "segan_tf/__init__.py")
        return _ask_git(root, "describe", "--always", "--dirty")
    except (OSError, subprocess.SubprocessError):
        return _UNKNOWN


def _ask_git(folder: str, *arguments: str) -> str:
    # Variables such as GIT_DIR, of a hook for example, name another repository.
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("GIT_")
    }
    return subprocess.run(
        ["git", "-C", folder, *arguments],
        capture_output=True,
        text=True,
        errors="surrogateescape",
        check=True,
        timeout=10,
        env=environment,
    ).stdout.strip()


def _processor() -> str:
    if sys.platform == "linux":
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
