"""Measures the cost of several labels, for each form of the critic.

For k labels, the train step of each form alternates with that of one label in
one process, so that other load on the machine affects both; quote the ratio.
k networks of one label each would cost k. Peak memory is that of a process
which makes the steps of one case only.

Usage: python benchmarks/labels.py [--width=64] [--rounds=5] [--labels=1,2,3]
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

from absl import app, flags

from segan_tf.config import CRITIC_FORMS, Config
from segan_tf.training.state import TrainState, build_train_state

FLAGS = flags.FLAGS
flags.DEFINE_list("labels", ["1", "2", "3", "5", "8"], "Numbers of labels.")
flags.DEFINE_integer("width", 64, "Channels of the first level.")
flags.DEFINE_integer("rounds", 5, "Timed steps of each kind.", lower_bound=3)
flags.DEFINE_integer("batch_size", 10, "Images per step.", lower_bound=1)
flags.DEFINE_string("case", "", "FORM,LABELS,SEEN,time|memory; for children.")

_SAMPLED = "shared, 1 label a step"
_KILOBYTE = 1024  # ru_maxrss counts in kilobytes on Linux


def make_step(
    form: str, count: int, seen: int
) -> tuple[TrainState, Callable[[], object]]:
    """Builds a state and returns its train step on noise, traced and warm."""
    import noise

    config = Config(
        width=FLAGS.width,
        batch_size=FLAGS.batch_size,
        num_labels=count,
        critic_form=form,
        critic_labels_per_step=seen,
        dice_weight=1.0,
    )
    state = build_train_state(config, steps_per_epoch=100)
    step = noise.as_step(state)
    for _ in range(2):
        step()
    return state, step


def time_case(form: str, count: int, seen: int) -> dict:
    """Times a case's step and that of one label in turns."""
    functions = [
        make_step(form, count, seen)[1],
        make_step(Config.critic_form, 1, 0)[1],
    ]
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(FLAGS.rounds):
        for function, taken in zip(functions, seconds, strict=True):
            began = time.perf_counter()
            function()
            taken.append(time.perf_counter() - began)
    ratios = sorted(a / b for a, b in zip(*seconds, strict=True))
    return {
        "step_s": statistics.median(seconds[0]),
        "ratio": statistics.median(ratios),
        "ratio_min": ratios[0],
        "ratio_max": ratios[-1],
    }


def weigh_case(form: str, count: int, seen: int) -> dict:
    """Makes a case's steps alone and returns its peak memory and weights."""
    state, function = make_step(form, count, seen)
    function()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "peak_gb": peak * _KILOBYTE / 1e9,
        "segmentor_params": state.segmentor.count_params(),
        "critic_params": state.critic.count_params() if state.critic else 0,
    }


def run_child(form: str, count: int, seen: int, what: str) -> dict:
    """Measures a case in a process of its own."""
    done = subprocess.run(
        [
            sys.executable,
            __file__,
            f"--case={form},{count},{seen},{what}",
            f"--width={FLAGS.width}",
            f"--rounds={FLAGS.rounds}",
            f"--batch_size={FLAGS.batch_size}",
        ],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return json.loads(done.stdout)


def main(argv: list[str]) -> None:
    """Prints a table in Markdown, a row for each form and number of labels."""
    del argv
    if FLAGS.case:
        form, count, seen, what = FLAGS.case.split(",")
        measure = time_case if what == "time" else weigh_case
        print(json.dumps(measure(form, int(count), int(seen))))
        return
    from segan_tf import environment

    hardware = environment.describe(sys.argv)["hardware"]
    print(f"{hardware}; width {FLAGS.width}")
    print(
        "| critic | labels | step / one label's | min to max | step, s "
        "| peak memory, GB | weights of S, M | of C, M |"
    )
    print("|---" * 8 + "|")
    for count in map(int, FLAGS.labels):
        cases = [(form, form, 0) for form in CRITIC_FORMS]
        if count > 1:
            cases.append((_SAMPLED, "shared", 1))
        for name, form, seen in cases:
            row = run_child(form, count, seen, "time")
            row.update(run_child(form, count, seen, "memory"))
            print(
                f"| {name} | {count} | {row['ratio']:.2f} "
                f"| {row['ratio_min']:.2f} to {row['ratio_max']:.2f} "
                f"| {row['step_s']:.2f} | {row['peak_gb']:.2f} "
                f"| {row['segmentor_params'] / 1e6:.2f} "
                f"| {row['critic_params'] / 1e6:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    app.run(main)
