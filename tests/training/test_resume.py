"""Stops real runs by signals and compares them with an uninterrupted one."""

import contextlib
import json
import pathlib
import signal
import subprocess
import sys
import time

import blobs
import numpy as np
import pytest
import running
import tensorflow as tf

BATCH = 2
PER_EPOCH = 56  # 120 - 4 - 4 pairs in batches of 2; a loop ends at step 50
LAST = 3 * PER_EPOCH
FLAGS = (
    "--mode=train",
    "--num_test=4",
    "--num_validation=4",
    "--image_size=32",
    "--width=2",
    f"--batch_size={BATCH}",
    "--epochs=3",
    "--checkpoint_minutes=0",
)
PATIENCE = 900  # seconds; a loaded machine takes its time


@contextlib.contextmanager
def start(folder, name):
    """Starts training in folder/name, in a process that is always ended."""
    process = subprocess.Popen(
        [
            sys.executable,
            str(running.ROOT / "main.py"),
            *FLAGS,
            f"--data_dir={folder / 'pairs'}",
            f"--model_dir={folder / name}",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def read_log(model_dir):
    """Returns the lines of the log, without an incomplete one."""
    try:
        text = (model_dir / "log.jsonl").read_text("utf-8")
    except FileNotFoundError:
        return []
    whole = text[: text.rfind("\n") + 1]
    return [json.loads(line) for line in whole.splitlines()]


def wait_for_step(process, model_dir, step):
    """Waits until the log of a running process reaches a step."""
    until = time.monotonic() + PATIENCE
    while not any(line["step"] >= step for line in read_log(model_dir)):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.02)


def saved(model_dir, name):
    """Returns every variable of a checkpoint, and its path."""
    path = tf.train.latest_checkpoint(str(model_dir / "checkpoints" / name))
    reader = tf.train.load_checkpoint(path)
    return path, {
        variable: reader.get_tensor(variable)
        for variable in reader.get_variable_to_shape_map()
        if variable.endswith("VARIABLE_VALUE")
        and not variable.startswith("save_counter")  # counts the files
    }


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Trains once uninterrupted, and once killed, stopped and resumed.

    Returns:
      The folder with both runs; for each start of the interrupted one its exit
      status and what it printed.
    """
    folder = tmp_path_factory.mktemp("runs")
    blobs.write_pairs(str(folder / "pairs"), 120)
    ends = []
    with start(folder, "uninterrupted") as uninterrupted:
        for number, step in (
            (signal.SIGKILL, PER_EPOCH),
            (signal.SIGTERM, 100),
            (None, None),
        ):
            with start(folder, "interrupted") as process:
                if number:
                    wait_for_step(process, folder / "interrupted", step)
                    process.send_signal(number)
                out, err = process.communicate(timeout=PATIENCE)
            ends.append((process.returncode, out, err))
        _, err = uninterrupted.communicate(timeout=PATIENCE)
    assert uninterrupted.returncode == 0, err
    return folder, ends


def test_exit_status_tells_how_a_run_ended(runs):
    killed, stopped, ended = runs[1]
    assert killed[0] == -signal.SIGKILL
    assert stopped[0] == 128 + signal.SIGTERM == 143
    assert ended[0] == 0, ended[2]


def test_stopped_run_says_that_it_is_saved(runs):
    _, (_, out, _), (_, out_after, _) = runs[1]
    stopped = out.splitlines()[-1]
    assert stopped.startswith("stopped and saved at step ")
    assert stopped.endswith("; the same command resumes from there.")
    step = int(stopped.split()[5].rstrip(";"))
    assert 100 <= step < LAST
    assert f"resuming at step {step} of {LAST}" in out_after.splitlines()


def test_killed_run_resumes_from_its_last_checkpoint(runs):
    (line,) = (
        line
        for line in runs[1][1][1].splitlines()
        if line.startswith("resuming at step ")
    )
    # Every loop is saved, and the one before the kill was the second or later.
    assert 0 < int(line.split()[3]) < LAST


@pytest.mark.parametrize("name", ["last", "best"])
def test_weights_equal_an_uninterrupted_run_bit_by_bit(runs, name):
    (path, expected), (other_path, values) = (
        saved(runs[0] / run, name) for run in ("uninterrupted", "interrupted")
    )
    assert pathlib.Path(path).name == pathlib.Path(other_path).name
    assert values.keys() == expected.keys()
    if name == "last":
        assert expected["step/.ATTRIBUTES/VARIABLE_VALUE"] == LAST
        assert any("moving_variance" in variable for variable in values)
        assert any("critic_optimizer" in variable for variable in values)
    for variable, value in expected.items():
        np.testing.assert_array_equal(values[variable], value, err_msg=variable)


def test_log_of_an_interrupted_run_has_every_step_once(runs):
    logs = [
        read_log(runs[0] / name) for name in ("uninterrupted", "interrupted")
    ]
    epochs, other_epochs = (
        [line for line in log if line["kind"] == "epoch"] for log in logs
    )
    assert [line["step"] for line in epochs] == [PER_EPOCH, 112, LAST]
    assert other_epochs == epochs  # validation Dice to the last digit
    steps = [line["step"] for line in logs[1] if line["kind"] == "loop"]
    assert steps == sorted(set(steps))
    assert steps[-1] == LAST
