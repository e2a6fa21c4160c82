"""Measures what one artifact takes, in a process of its own.

A process of its own, because a process's peak of memory is the peak of all
that it ever did, and because TensorFlow's threads are set once for good.
"""

import contextlib
import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np

WARM_UP_RUNS = 10
RUNS = 50

_STATUS_FILE = "/proc/self/status"  # Linux alone has it
_CLEAR_FILE = "/proc/self/clear_refs"
_RESET_PEAK = "5"
_KIB = 1024


def num_cores() -> int:
    """Counts the cores that this process may use."""
    with contextlib.suppress(AttributeError):  # Linux alone tells
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def measure(path: str, *, signature: str, size: int, num_threads: int) -> dict:
    """Runs an artifact again and again on one image.

    Args:
      path: of a SavedModel's folder or a TFLite file.
      signature: of the SavedModel: `images` -> `probability_map`.
      size: of the image, in pixels; the model's own.
      num_threads: for the operators.

    Returns:
      latency_ms: the median of `RUNS` runs after `WARM_UP_RUNS`; one image,
        no reading and no resizing of it.
      peak_memory_mb: by how much the process grew at most, from before the
        model was loaded; the runtime's own code is not in it. None where the
        system does not tell.

    Raises:
      RuntimeError: the process failed; holds its last words.
    """
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            __name__,
            path,
            signature,
            str(size),
            str(num_threads),
        ],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"{path} cannot be measured: {done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def _measure_here(run_of: Callable[[], Callable[[], object]]) -> dict:
    before = _reset_peak()
    run = run_of()
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


def _opener(
    path: str, *, signature: str, size: int, num_threads: int
) -> Callable[[], Callable[[], object]]:
    """Imports the runtime; what it returns loads the model."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (1, size, size, 3), np.uint8)
    if os.path.isdir(path):
        from ..serving import c_loader

        c_loader.c_api.library()

        def open_saved_model():
            session = c_loader.CSession(path, num_threads=num_threads)
            return lambda: session.run(signature, {"images": image})

        return open_saved_model
    from segan_tf.inference import tflite_model

    def open_tflite():
        model = tflite_model.TFLiteModel(path, num_threads=num_threads)
        return lambda: model.segment(image)

    return open_tflite


def _reset_peak() -> int | None:
    """Lets the peak start anew; returns the bytes held now."""
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


if __name__ == "__main__":
    _path, _signature, _size, _num_threads = sys.argv[1:]
    print(
        json.dumps(
            _measure_here(
                _opener(
                    _path,
                    signature=_signature,
                    size=int(_size),
                    num_threads=int(_num_threads),
                )
            )
        )
    )
