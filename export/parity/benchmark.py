"""Measures time and memory of one artifact, in a process of its own.

In its own, because a process's peak memory is the peak of everything it ever
did, and because TensorFlow's threads are set only once.
"""

import contextlib
import importlib
import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

WARM_UP_RUNS = 10
RUNS = 50

# Run in a process that finds the same modules as this one.
_START = """
import json, sys
sys.path[:] = json.loads(sys.argv.pop(1))
import runpy
runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
"""
_STATUS_FILE = "/proc/self/status"  # only on Linux
_CLEAR_FILE = "/proc/self/clear_refs"
_RESET_PEAK = "5"
_KIB = 1024


def measure(
    path: str, *, runner: str, size: int, num_threads: int
) -> dict[str, Any]:
    """Runs an artifact repeatedly on one image.

    Args:
      path: of the artifact.
      runner: name of the module that opens it, see artifact.Artifact.
      size: of the image in pixels; the model's own.
      num_threads: for the operators.

    Returns:
      latency_ms: the median of `RUNS` runs after `WARM_UP_RUNS`; one image,
        without reading or resizing it.
      peak_memory_mb: how much the process grew at most, from before the model
        was loaded; without the runtime's own code. None where the system does
        not tell.

    Raises:
      RuntimeError: the process failed; the message holds its output.
    """
    # Isolated, since Python would look for modules in the current folder first.
    command = [sys.executable, "-I", "-c", _START, json.dumps(_module_path())]
    done = subprocess.run(
        [*command, __name__, path, runner, str(size), str(num_threads)],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"{path} cannot be measured: {done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def _module_path() -> list[str]:
    """Lists where modules are looked for: nowhere relative to this folder."""
    depth = len(__name__.split("."))
    root = os.path.abspath(os.path.join(__file__, *[os.pardir] * depth))
    return [*filter(os.path.isabs, sys.path), root]


def measure_here(
    open_model: Callable[[], Callable[[], object]],
) -> dict[str, Any]:
    """Measures in this process; see `measure`.

    Args:
      open_model: loads the model and returns what runs it once.
    """
    before = _reset_peak()
    run = open_model()
    for _ in range(WARM_UP_RUNS):
        run()
    latencies = []
    for _ in range(RUNS):
        began = time.perf_counter()
        run()
        latencies.append(time.perf_counter() - began)
    peak = _memory("VmHWM")
    return {
        "latency_ms": round(statistics.median(latencies) * 1e3, 3),
        "peak_memory_mb": (
            None
            if before is None or peak is None
            else round((peak - before) / 1e6, 1)
        ),
    }


def _reset_peak() -> int | None:
    """Resets the peak to the memory in use, and returns that in bytes."""
    with contextlib.suppress(OSError):
        with open(_CLEAR_FILE, "w", encoding="ascii") as file:
            file.write(_RESET_PEAK)
        return _memory("VmRSS")
    return None


def _memory(name: str) -> int | None:
    # Not getrusage: its peak is inherited from the process that started this
    # one.
    with contextlib.suppress(OSError):
        with open(_STATUS_FILE, encoding="ascii") as file:
            found = re.search(rf"{name}:\s*(\d+) kB", file.read())
        return int(found[1]) * _KIB if found else None
    return None


def _main(path: str, runner: str, size: str, num_threads: str) -> None:
    module = importlib.import_module(runner)  # not part of what is measured
    shape = (1, int(size), int(size), 3)
    image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)

    def open_model() -> Callable[[], object]:
        run = module.open_runner(path, num_threads=int(num_threads))
        return lambda: run(image)

    print(json.dumps(measure_here(open_model)))


if __name__ == "__main__":
    _main(*sys.argv[1:])
