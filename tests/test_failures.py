"""Tests of how failures of the program are reported."""

import errno
import os
import signal
import subprocess
import sys
import time

import pytest
import running
import tensorflow as tf

from segan_tf import errors, failures

pytestmark = pytest.mark.any_edition


def report(capsys, error):
    """Runs work that fails; returns the status and the error line."""

    def work():
        raise error

    status = failures.run(work)
    out, err = capsys.readouterr()
    assert out == ""
    return status, err


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (errors.UserError("--a (1) is wrong."), "--a (1) is wrong."),
        (
            OSError(errno.ENOSPC, "No space left on device", "/d/a.png"),
            "/d/a.png: No space left on device; make room and run the command "
            "again.",
        ),
        (
            PermissionError(errno.EACCES, "Permission denied", b"/d/\xe9"),
            "/d/\\udce9: Permission denied; check its permissions.",
        ),
        (MemoryError(), "out of memory; free some, or use fewer or smaller"),
        (
            tf.errors.ResourceExhaustedError(None, None, "OOM with shape[9]"),
            "out of memory (OOM with shape[9]); free some, or train with a",
        ),
        (
            tf.errors.ResourceExhaustedError(
                None, None, "runs/a.v2; No space left on device"
            ),
            "a file cannot be read or written (runs/a.v2; No space left",
        ),
        (
            tf.errors.UnknownError(
                None,
                None,
                "{{node f}} UserError: a.jpg is gone; restore it.\nTraceback",
            ),
            "a.jpg is gone; restore it.",
        ),
        (
            ModuleNotFoundError("No module named 'scipy'", name="scipy"),
            "the package scipy is missing; install the requirements first",
        ),
    ],
)
def test_failure_of_the_world_is_one_line(error, line, capsys):
    status, err = report(capsys, error)
    assert status == 1
    assert err.startswith(f"error: {line}")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "error",
    [
        ValueError("not the user's fault"),
        tf.errors.InvalidArgumentError(None, None, "not the user's fault"),
        ModuleNotFoundError("not the user's fault", name="segan_tf.gone"),
    ],
)
def test_bug_keeps_its_traceback_in_a_log(error, capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    status, err = report(capsys, error)
    (log,) = tmp_path.iterdir()
    assert status == 1
    assert err.startswith("error: this is a bug of segan-tf (")
    assert err.endswith(f"; its log is {log}; please report it.\n")
    text = log.read_text()
    assert "Traceback (most recent call last)" in text
    assert "not the user's fault" in text


def test_traceback_is_shown_where_no_log_can_be_written(
    capsys, tmp_path, monkeypatch
):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    _, err = report(capsys, ValueError("not the user's fault"))
    assert err.startswith("Traceback (most recent call last)")
    assert "its traceback is above; please report it." in err


@pytest.mark.parametrize(
    "number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
)
def test_signal_stops_the_work_whatever_it_is_turned_into(number, capsys):
    def work():
        try:
            os.kill(os.getpid(), number)
            time.sleep(5)
        except BaseException as error:
            raise ValueError("a library's own error") from error

    # A shell starts what runs in the background with SIGINT ignored.
    before = signal.signal(number, signal.SIG_DFL)
    try:
        assert failures.run(work) == 128 + number
        assert signal.getsignal(number) == signal.SIG_DFL
    finally:
        signal.signal(number, before)
    assert "error: stopped by " in capsys.readouterr().err


def test_ignored_signal_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert failures.run(lambda: os.kill(os.getpid(), signal.SIGINT) or 7)
    finally:
        signal.signal(signal.SIGINT, before)


def test_only_failures_of_one_file_leave_a_batch_running():
    def concerns_one_file(number):
        return failures.concerns_one_file(OSError(number, "failed"))

    assert concerns_one_file(errno.ENAMETOOLONG)
    assert concerns_one_file(errno.EISDIR)
    assert failures.concerns_one_file(MemoryError())
    assert failures.concerns_one_file(errors.UserError("damaged"))
    assert not concerns_one_file(errno.ENOSPC)
    assert not concerns_one_file(errno.EROFS)
    assert not failures.concerns_one_file(ValueError("a bug"))


@pytest.mark.parametrize("given", ["--help", "--mode=check --num_drawn=8"])
def test_closed_pipe_ends_the_program_quietly(given, tmp_path):
    program = subprocess.Popen(
        [sys.executable, str(running.ROOT / "main.py"), *given.split()],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    program.stdout.close()  # as head does
    _, err = program.communicate()
    assert program.returncode == 128 + signal.SIGPIPE
    assert "Error" not in err


def test_output_in_a_narrow_encoding_escapes_names(tmp_path):
    name = os.fsdecode(b"\xe9\xe7\x1b[31m")
    done = subprocess.run(
        [
            sys.executable,
            str(running.ROOT / "main.py"),
            "--mode=predict",
            f"--input={tmp_path}/\u75c5{name}",
        ],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
    )
    assert done.returncode == 1
    assert done.stdout == b""
    (line,) = done.stderr.decode("ascii").splitlines()
    assert line.startswith("error: ")
    assert "Traceback" not in line
