"""Times programs that take turns, so that other load affects all alike."""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence

SECONDS = 4  # a round, about
_WARM_UP = 3  # steps, the first of which may trace or compile


def serve(step: Callable[[], object], images: int) -> None:
    """Makes a round of steps for every line of stdin, prints its images/s.

    Args:
      step: makes one step and waits for its result.
      images: of a step.
    """
    for _ in range(_WARM_UP):
        step()
    for _ in sys.stdin:
        began, made = time.perf_counter(), 0
        while time.perf_counter() - began < SECONDS:
            step()
            made += images
        print(made / (time.perf_counter() - began), flush=True)


def take(
    commands: Mapping[str, Sequence[str]], subject: str, *, rounds: int
) -> dict[str, float]:
    """Lets programs that `serve` take turns, and prints their images/s.

    Args:
      commands: of the programs, by name.
      subject: what they all do.
      rounds: of each.

    Returns:
      The median images/s of each.
    """
    workers = {
        name: subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for name, command in commands.items()
    }
    rates: dict[str, list[float]] = {name: [] for name in workers}
    for _ in range(rounds):
        for name, worker in workers.items():
            rates[name].append(_run_round(worker))
    for worker in workers.values():
        worker.communicate()  # closes its stdin, and so ends it
    medians = {name: statistics.median(r) for name, r in rates.items()}
    for name, measured in rates.items():
        print(
            f"{subject:22s}  {name:26s}  images/s: min {min(measured):6.1f}  "
            f"median {medians[name]:6.1f}  max {max(measured):6.1f}",
            flush=True,
        )
    return medians


def _run_round(worker: subprocess.Popen[str]) -> float:
    """Lets a program run a round; returns its images/s."""
    if worker.stdin is None or worker.stdout is None:
        raise ValueError("the program was started without pipes")
    worker.stdin.write("\n")
    worker.stdin.flush()
    return float(worker.stdout.readline())
