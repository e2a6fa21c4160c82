"""Makes the runs of the study, a few at a time; continues where it stopped.

Usage: python benchmarks/critic/study.py DATA OUT
DATA holds isic2017 and cardiac. OUT gets data (links), runs, logs and records.
Finished records are kept; SIGTERM saves the unfinished runs.
"""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator

import outcomes
import plan
import regimes
from plan import Run

HERE = pathlib.Path(__file__).parent
AT_ONCE = min(4, os.cpu_count() or 1)
# Each run has a core of its own.
_ENVIRONMENT = {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}
_POLL = 0.5  # seconds


class Pool:
    """Runs that are made at the same time."""

    def __init__(self, out: pathlib.Path) -> None:
        self._out = out
        self._working: dict[str, subprocess.Popen] = {}
        (out / "logs").mkdir(parents=True, exist_ok=True)

    def start(self, run: Run) -> None:
        """Starts a run; waits until there is room for it."""
        while len(self._working) >= AT_ONCE:
            self._collect()
        folder = self._out / "data" / run.folder
        pairs = len(list((folder / "images").iterdir()))
        tested = len((folder / regimes.TEST_IDS).read_text().split())
        epochs = run.epochs((pairs - tested) // regimes.BATCH_SIZE)
        words = [run.regime, run.arm, run.kind, run.seed, epochs, self._out]
        with (self._out / "logs" / f"{run.name}.log").open("a") as log:
            self._working[run.name] = subprocess.Popen(
                [sys.executable, str(HERE / "one_run.py"), *map(str, words)],
                stdout=log,
                stderr=log,
                env={**os.environ, **_ENVIRONMENT},
            )

    def finish(self) -> None:
        """Waits for all."""
        while self._working:
            self._collect()

    def stop(self) -> None:
        """Lets all save, and waits for them."""
        for process in self._working.values():
            process.terminate()
        for process in self._working.values():
            process.wait()

    def _collect(self) -> None:
        """Waits a moment; forgets the runs that ended.

        Raises:
          SystemExit: one failed.
        """
        time.sleep(_POLL)
        for name, process in list(self._working.items()):
            if process.poll() is None:
                continue
            del self._working[name]
            if process.returncode:
                self.stop()
                log = self._out / "logs" / f"{name}.log"
                raise SystemExit(f"{name} failed; see {log}")
            print(time.strftime("%H:%M:%S"), name, flush=True)


def missing(runs: Iterable[Run], done: Iterable[str]) -> Iterator[Run]:
    """Yields the runs that have no record, each once."""
    seen = set(done)
    for run in runs:
        if run.name not in seen:
            seen.add(run.name)
            yield run


def main(argv: list[str]) -> None:
    """Makes all stages."""
    data, out = map(pathlib.Path, argv[1:])
    regimes.prepare(data, out / "data")
    costs = json.loads((out / "step_costs.json").read_text())["costs"]
    stages = (
        plan.screening,
        plan.critic_screening,
        plan.quality,
        plan.equal_steps,
        plan.second_loss,
        plan.make_equal_time(costs),
        plan.make_confirmation(outcomes.winners),
    )
    pool = Pool(out)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        for stage in stages:
            records = outcomes.read_records(out / "records")
            for run in missing(stage(records), records):
                pool.start(run)
            pool.finish()
    finally:
        pool.stop()


if __name__ == "__main__":
    main(sys.argv)
