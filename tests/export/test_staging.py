"""Tests of the hidden folders in which artifacts are written."""

import os
import signal
import subprocess
import sys

import pytest

from export import staging
from segan_tf import config

_HOLD = """
import sys, time
from export import staging
with staging.hidden_folder(sys.argv[1]) as folder:
    open(folder + "/part", "w").close()
    print(folder, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def other(tmp_path):
    """Starts another process that writes; returns it and its folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    yield process, process.stdout.readline().strip()
    process.kill()
    process.communicate()


def test_folder_is_removed_after_the_block(tmp_path):
    with staging.hidden_folder(str(tmp_path)) as folder:
        assert os.listdir(tmp_path) == [os.path.basename(folder)]

    assert os.listdir(tmp_path) == []


def test_folder_of_a_running_process_is_left_alone(tmp_path, other):
    _, folder = other

    with staging.hidden_folder(str(tmp_path)):
        assert os.path.isfile(f"{folder}/part")

    assert os.path.isfile(f"{folder}/part")


def test_folder_of_a_killed_process_is_removed(tmp_path, other):
    process, folder = other
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert os.path.isfile(f"{folder}/part")

    with staging.hidden_folder(str(tmp_path)) as own:
        assert os.listdir(tmp_path) == [os.path.basename(own)]


def test_folder_without_a_lock_is_removed(tmp_path):
    (tmp_path / ".unfinished-old" / "saved_model").mkdir(parents=True)

    with staging.hidden_folder(str(tmp_path)):
        pass

    assert os.listdir(tmp_path) == []


def test_folder_that_vanishes_meanwhile_is_no_error(tmp_path):
    with staging.hidden_folder(str(tmp_path / "a")) as folder:
        os.rename(tmp_path / "a", tmp_path / "b")
        assert not os.path.exists(folder)


def test_parent_that_is_a_file_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")

    with (
        pytest.raises(config.UserError, match="--export_dir: cannot write"),
        staging.hidden_folder(str(tmp_path / "file")),
    ):
        pass
