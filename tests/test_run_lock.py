import json
import os
import signal
import subprocess
import sys
import time

import pytest

from segan_tf import run_lock
from segan_tf.errors import UserError

pytestmark = pytest.mark.any_edition

HOLDER = """
import sys, time
from segan_tf import run_lock
with run_lock.hold(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def other_process(tmp_path):
    """Starts a process that holds the lock of tmp_path."""
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": root},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_lock_names_its_holder_and_leaves_nothing_behind(tmp_path):
    with run_lock.hold(str(tmp_path)):
        holder = json.loads((tmp_path / run_lock.FILE_NAME).read_text())
        assert holder["pid"] == os.getpid()
        assert set(holder) == {"pid", "host", "since"}
    assert not list(tmp_path.iterdir())


def test_second_training_is_rejected_with_the_name_of_the_first(
    tmp_path, other_process
):
    with (
        pytest.raises(UserError, match=f"process {other_process.pid} on .*"),
        run_lock.hold(str(tmp_path)),
    ):
        pass
    assert (tmp_path / run_lock.FILE_NAME).exists()


def test_lock_of_a_killed_process_is_free(tmp_path, other_process):
    other_process.send_signal(signal.SIGKILL)
    other_process.wait()
    with run_lock.hold(str(tmp_path)):
        pass


def test_lock_is_free_after_an_error_inside(tmp_path):
    with pytest.raises(KeyError), run_lock.hold(str(tmp_path)):
        raise KeyError
    began = time.monotonic()
    with run_lock.hold(str(tmp_path)):
        assert time.monotonic() - began < 1


def test_damaged_lock_file_is_no_obstacle(tmp_path):
    (tmp_path / run_lock.FILE_NAME).write_text("{")
    with run_lock.hold(str(tmp_path)):
        holder = json.loads((tmp_path / run_lock.FILE_NAME).read_text())
    assert holder["pid"] == os.getpid()
