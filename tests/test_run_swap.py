import contextlib
import json
import os
import threading

import pytest

from segan_tf import run_dir, run_lock, run_swap
from segan_tf.config import Config

OF_THE_OLD = ("decision.json", "training.json")  # and not of every new run
FILES = ("flags.json", "splits.json", "log.jsonl", "checkpoints/last/ckpt-4")


def write_run(folder, text):
    for name in FILES:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def read_run(folder):
    """Returns the texts of a run's files, the same in a whole one."""
    return {(folder / name).read_text() for name in FILES}


@pytest.fixture
def model_dir(tmp_path):
    write_run(tmp_path, "old")
    for name in OF_THE_OLD:
        (tmp_path / name).write_text("old")
    (tmp_path / "evaluation_test").mkdir()
    return tmp_path


def start_new_run(model_dir, text="new"):
    new = run_swap.begin(str(model_dir))
    write_run(type(model_dir)(new), text)


def names(folder):
    return sorted(os.listdir(folder))


WHOLE = [
    "checkpoints",
    "evaluation_test",
    "flags.json",
    "log.jsonl",
    "splits.json",
]


def test_old_run_is_whole_until_the_new_one_is_published(model_dir):
    start_new_run(model_dir)
    assert read_run(model_dir) == {"old"}
    run_swap.publish(str(model_dir))
    assert read_run(model_dir) == {"new"}
    assert names(model_dir) == WHOLE  # the other two were the old run's


def test_new_run_that_was_killed_is_removed(model_dir):
    start_new_run(model_dir)
    before = read_run(model_dir)
    run_swap.clean_up(str(model_dir))
    assert read_run(model_dir) == before == {"old"}
    assert names(model_dir) == sorted([*WHOLE, *OF_THE_OLD])


class Killed(BaseException):
    pass


@pytest.mark.parametrize("moves", range(12))
def test_replacement_killed_at_any_rename_is_completed(
    model_dir, monkeypatch, moves
):
    start_new_run(model_dir)
    left = [moves]

    def killed_after(function):
        def do(*args, **kwargs):
            if not left[0]:
                raise Killed
            left[0] -= 1
            return function(*args, **kwargs)

        return do

    with monkeypatch.context() as patch:
        for name in ("rename", "remove", "rmdir", "makedirs"):
            patch.setattr(os, name, killed_after(getattr(os, name)))
        with contextlib.suppress(Killed):
            run_swap.publish(str(model_dir))
    if moves == 0:  # before the first rename the old run is the run
        assert read_run(model_dir) == {"old"}
        return
    run_swap.complete(str(model_dir))
    run_swap.clean_up(str(model_dir))
    assert read_run(model_dir) == {"new"}
    assert names(model_dir) == WHOLE


def test_run_is_completed_before_its_settings_are_read(tmp_path):
    run = Config(model_dir=str(tmp_path), seed=1)
    run_dir.write_flags(run, [])
    new = run_swap.begin(run.model_dir)
    run_dir.write_flags(run.replace(seed=2), [], folder=new)
    os.rename(new, tmp_path / ".new_run_ready")  # killed just after
    assert run_dir.read_flags(run.model_dir).seed == 2
    assert names(tmp_path) == ["flags.json"]
    assert (
        json.loads((tmp_path / "flags.json").read_text())["flags"]["seed"] == 2
    )


def test_reader_waits_for_the_training_that_replaces_the_run(model_dir):
    start_new_run(model_dir)
    ready = model_dir / ".new_run_ready"
    os.rename(model_dir / ".new_run", ready)
    with run_lock.hold(str(model_dir)):
        timer = threading.Timer(0.3, run_swap.clean_up, [str(model_dir)])
        timer.start()
        run_swap.complete(str(model_dir))
        timer.join()
    assert read_run(model_dir) == {"new"}


def test_link_to_the_old_checkpoints_is_replaced_and_not_followed(
    model_dir, tmp_path_factory
):
    disk = tmp_path_factory.mktemp("disk") / "checkpoints"
    os.rename(model_dir / "checkpoints", disk)
    (model_dir / "checkpoints").symlink_to(disk)
    start_new_run(model_dir)
    run_swap.publish(str(model_dir))
    assert read_run(model_dir) == {"new"}
    assert (disk / "last" / "ckpt-4").read_text() == "old"
