"""Starts all workers of a training on this machine, again if one is lost."""

import math
import subprocess
import sys
import time
from collections.abc import Sequence

from segan_tf import console, run_dir
from segan_tf.training import link, signals

MAX_RESTARTS = 5
_POLL_SECONDS = 0.1
END_SECONDS = 30.0  # for the others to end by themselves


def run(command: Sequence[str], num_workers: int, *, model_dir: str) -> int:
    """Runs a training command as several workers.

    If a worker is killed, all are started again, at most `MAX_RESTARTS` times,
    and go on from the last checkpoint. A signal to end is passed on: the
    workers save first.

    Args:
      command: of one worker, apart from its index and the coordinator.
      num_workers: how many to start.
      model_dir: of the run.

    Returns:
      The exit status: that of the worker that failed, or 0.
    """
    before = run_dir.read_start(model_dir)
    with signals.StopSignals() as stop:
        for restart in range(MAX_RESTARTS + 1):
            # A run that starts over does so once.
            has_started = run_dir.read_start(model_dir) != before
            again = ["--resume"] if has_started else []
            status = _wait(_start([*command, *again], num_workers), stop)
            is_lost = status < 0 or status == link.LOST_STATUS
            if stop.requested and status:
                return signals.EXIT_STATUS
            if not is_lost:
                return status
            if restart < MAX_RESTARTS:
                console.say(
                    "a worker was lost; all are started again "
                    f"({restart + 1} of at most {MAX_RESTARTS} times)"
                )
    console.say_error(
        f"a worker was lost {MAX_RESTARTS + 1} times; check the memory of the "
        "machine, and start the same command again: the run resumes."
    )
    return link.LOST_STATUS


def _start(command: Sequence[str], num_workers: int) -> list[subprocess.Popen]:
    port = link.find_free_port()
    return [
        subprocess.Popen(
            [
                sys.executable,
                *command,
                f"--worker_index={index}",
                f"--coordinator=127.0.0.1:{port}",
            ],
            # Ctrl+C reaches this process, which passes it on.
            start_new_session=True,
        )
        for index in range(num_workers)
    ]


def _wait(
    processes: Sequence[subprocess.Popen], stop: signals.StopSignals
) -> int:
    """Waits for all to end; returns the status of one that failed, or 0."""
    told, until = False, math.inf
    while any(process.poll() is None for process in processes):
        if stop.requested and not told:
            told = True
            for process in processes:
                process.terminate()
        if until == math.inf and _failed(processes):
            until = time.monotonic() + END_SECONDS
        if time.monotonic() > until:
            for process in processes:
                process.kill()
        time.sleep(_POLL_SECONDS)
    # One that was killed comes before those that end for that reason.
    return min(_failed(processes), default=0)


def _failed(processes: Sequence[subprocess.Popen]) -> list[int]:
    return [status for p in processes if (status := p.poll())]
