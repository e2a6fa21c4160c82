"""Measures the time of a step with each critic in that of one without.

Each has a process of one thread; all take turns, so that other load
affects all alike. Critics see every label, so there is a measurement for each
screening. Writes OUT/step_costs.json.

Usage: python benchmarks/critic/step_costs.py OUT [--worker REGIME ARM]
"""

import json
import os
import pathlib
import sys
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ["TF_NUM_INTRAOP_THREADS"] = "1"
os.environ["TF_NUM_INTEROP_THREADS"] = "1"
sys.path.insert(1, str(pathlib.Path(__file__).parent.parent))

import arms
import turns
from arms import ADDED_CRITICS, ARMS, DEFAULT, with_critic
from regimes import BATCH_SIZE, REGIMES, SCREENED

from segan_tf import environment, files
from segan_tf.config import Config

ROUNDS = 5


def make_step(regime: str, arm: str) -> Callable[[], object]:
    """Makes a step on noise."""
    arms.register()
    import noise

    row = REGIMES[regime]
    config = Config(**{**row.network, **row.labels, **ARMS[arm].settings})
    return noise.make_step(config)


def measure(regime: str) -> dict[str, float]:
    """Lets steps with every critic and one without take turns."""
    names = {with_critic(DEFAULT, critic): critic for critic in ADDED_CRITICS}
    commands = {
        arm: [sys.executable, __file__, "--worker", regime, arm]
        for arm in (DEFAULT, *names)
    }
    rates = turns.take(commands, regime, rounds=ROUNDS)
    return {
        critic: round(rates[DEFAULT] / rates[arm], 3)
        for arm, critic in names.items()
    }


def main(argv: list[str]) -> None:
    """Measures all losses in all screenings, or is one's worker."""
    if argv[1] == "--worker":
        turns.serve(make_step(*argv[2:]), BATCH_SIZE)
        return
    found = {
        **environment.describe(["benchmarks/critic/step_costs.py", *argv[1:]]),
        "costs": {regime: measure(regime) for regime in SCREENED},
    }
    out = pathlib.Path(argv[1])
    out.mkdir(parents=True, exist_ok=True)
    files.write_text(str(out / "step_costs.json"), json.dumps(found, indent=1))


if __name__ == "__main__":
    main(sys.argv)
