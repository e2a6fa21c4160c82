"""Tests how workers of one machine are started, with programs that end soon."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest
import running

from segan_tf.training import launch, link, signals

pytestmark = pytest.mark.any_edition

PATIENCE = 60
# Notes each start of a worker, and has `end` decide how it ends.
WORKER = """
import os, pathlib, signal, sys, time
folder = pathlib.Path(sys.argv[0]).parent
index = next(a for a in sys.argv if a.startswith("--worker_index="))[-1]
starts = folder / f"starts_{{index}}"
with open(starts, "a") as file:
    file.write(" ".join(sys.argv[1:]) + "\\n")
count = len(starts.read_text().splitlines())
{end}
"""


@pytest.fixture
def start(tmp_path):
    """Starts two workers that end as told; returns their starts by index."""

    def run(end):
        script = tmp_path / "worker.py"
        end = textwrap.dedent(end).strip()
        script.write_text(WORKER.format(end=end))
        return launch.run([str(script), "--flag"], 2, model_dir=str(tmp_path))

    return run


def starts(folder, index):
    return (folder / f"starts_{index}").read_text().splitlines()


KILL = "os.kill(os.getpid(), signal.SIGKILL)"


def test_workers_get_an_index_and_the_address_of_the_first(start, tmp_path):
    assert start("") == 0
    lines = [starts(tmp_path, index) for index in range(2)]
    assert [len(line) for line in lines] == [1, 1]
    coordinators = {line[0].split()[-1] for line in lines}
    assert len(coordinators) == 1
    assert coordinators.pop().startswith("--coordinator=127.0.0.1:")
    assert [line[0].split()[:2] for line in lines] == [
        ["--flag", "--worker_index=0"],
        ["--flag", "--worker_index=1"],
    ]


def test_killed_worker_has_all_started_again(start, tmp_path, capsys):
    end = f"""
    if index == "0" and count > 1:
        (folder / "flags.json").write_text("{{}}")
    if count < 3:
        {KILL} if index == "1" else sys.exit({link.LOST_STATUS})
    """
    assert start(end) == 0
    for index in range(2):
        lines = starts(tmp_path, index)
        # A run that starts over does so until it has replaced the old one.
        assert ["--resume" in line for line in lines] == [False, False, True]
    assert capsys.readouterr().out.splitlines() == [
        "a worker was lost; all are started again (1 of at most 5 times)",
        "a worker was lost; all are started again (2 of at most 5 times)",
    ]


def test_workers_are_started_again_a_few_times_only(start, tmp_path, capsys):
    assert start(KILL) == link.LOST_STATUS
    assert len(starts(tmp_path, 0)) == 1 + launch.MAX_RESTARTS
    assert capsys.readouterr().err == (
        "error: a worker was lost 6 times; check the memory of the machine, "
        "and start the same command again: the run resumes.\n"
    )


def test_mistake_is_not_tried_again(start, tmp_path):
    assert start("sys.exit(1)") == 1
    assert len(starts(tmp_path, 0)) == 1


def test_worker_that_hangs_after_the_loss_of_another_is_killed(
    start, tmp_path, monkeypatch
):
    monkeypatch.setattr(launch, "END_SECONDS", 0.2)
    end = f"""
    if count == 1:
        {KILL} if index == "1" else time.sleep({PATIENCE})
    """
    began = time.monotonic()
    assert start(end) == 0
    assert time.monotonic() - began < PATIENCE
    assert len(starts(tmp_path, 0)) == 2


def test_signal_is_passed_on(tmp_path):
    script = tmp_path / "worker.py"
    end = f"""
signal.signal(signal.SIGTERM, lambda *_: sys.exit({signals.EXIT_STATUS}))
(folder / f"ready_{{index}}").touch()
time.sleep({PATIENCE})
"""
    script.write_text(WORKER.format(end=end))
    code = (
        "import sys; from segan_tf.training import launch; "
        f"sys.exit(launch.run([{str(script)!r}], 2, model_dir=''))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(running.ROOT)},
    )
    until = time.monotonic() + PATIENCE
    while not all((tmp_path / f"ready_{index}").exists() for index in (0, 1)):
        assert time.monotonic() < until
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE) == signals.EXIT_STATUS
    assert len(starts(tmp_path, 0)) == 1
