"""Runs the program in the process of the tests or in a new one."""

import contextlib
import dataclasses
import io
import os
import pathlib
import subprocess
import sys
from unittest import mock

from absl.testing import flagsaver

import main

ROOT = pathlib.Path(main.__file__).parent
# Trains in a second, once the graphs are traced.
TINY = (
    "--num_drawn=16",
    "--image_size=32",
    "--width=2",
    "--epochs=1",
    "--batch_size=4",
)


@dataclasses.dataclass(frozen=True)
class Result:
    """The exit status of a run and what it printed."""

    status: int
    out: str
    err: str


def run(*args: object) -> Result:
    """Runs main.py with these flags in this process."""
    argv = ["main.py", *map(str, args)]
    out, err = io.StringIO(), io.StringIO()
    with (
        flagsaver.flagsaver(),
        mock.patch.object(sys, "argv", argv),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            status = main.main(main.parse_flags(argv))
        except SystemExit as stop:
            status = stop.code
    return Result(status, out.getvalue(), err.getvalue())


def run_program(*args: object, python_path: str = "") -> Result:
    """Runs main.py with these flags in a new process."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "main.py"), *map(str, args)],
        env={**os.environ, "PYTHONPATH": python_path},
        capture_output=True,
        text=True,
    )
    return Result(done.returncode, done.stdout, done.stderr)


def error_of(*args: object) -> str:
    """Runs main.py, expects one error, and returns it."""
    result = run(*args)
    error = result.err.splitlines()[-1] if result.err else ""
    if result.status != 1 or not error.startswith("error: "):
        raise AssertionError(f"expected one error, not {result}")
    return error
