import builtins
import dataclasses
import errno
import os
import pathlib
import re
import resource
import shutil

import numpy as np
import pytest
import tensorflow as tf

from segan_tf.config import Config, UserError
from segan_tf.models import restore
from segan_tf.training import checkpoints, train_step
from segan_tf.training.state import build_train_state

RUN = Config(image_size=32, width=2, batch_size=2, learning_rate=0.01)


def build_state(**changes):
    return build_train_state(
        dataclasses.replace(RUN, **changes), steps_per_epoch=4
    )


@pytest.fixture(scope="module")
def state():
    """Returns a state whose weights no test relies on."""
    return build_state()


def all_variables(state):
    """Returns a copy of all that a step of training changes."""
    owners = [state.segmentor, state.segmentor_optimizer]
    if state.critic is not None:
        owners += [state.critic, state.critic_optimizer]
    return [
        np.array(variable.numpy())
        for owner in owners
        for variable in _variables(owner)
    ]


def _variables(owner):
    """Returns the variables; of Addons' optimizers they are a method."""
    variables = owner.variables
    return variables() if callable(variables) else variables


def make_steps(state, count, seed=0):
    for step in range(count):
        image = tf.random.stateless_normal((2, 32, 32, 3), (seed, step))
        label_map = tf.cast(image[..., :1] > 0, tf.float32)
        train_step.train_step(state, image, label_map)


def make_first_weight(state, value):
    state.segmentor.weights[0].assign(
        tf.fill(state.segmentor.weights[0].shape, float(value))
    )


def first_weight(model):
    (value,) = np.unique(model.weights[0].numpy())
    return value


@pytest.fixture(scope="module")
def saved_run(tmp_path_factory):
    """Saves the last checkpoint at steps 4 and 8, the best at 4; read-only."""
    config = dataclasses.replace(
        RUN, model_dir=str(tmp_path_factory.mktemp("run"))
    )
    state = build_state()
    saver = checkpoints.Checkpoints(config.model_dir, state)
    make_first_weight(state, 4)
    assert saver.save_best(4, 0.5)
    saver.save_last(4)
    make_first_weight(state, 8)
    assert not saver.save_best(8, 0.4)
    saver.save_last(8)
    return config


@pytest.fixture
def copied_run(saved_run, tmp_path):
    """Returns a copy of the saved run and its folder of last checkpoints."""
    model_dir = tmp_path / "run"
    for path in pathlib.Path(saved_run.model_dir).rglob("*"):
        if path.is_file():
            copy = model_dir / path.relative_to(saved_run.model_dir)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    config = dataclasses.replace(saved_run, model_dir=str(model_dir))
    return config, model_dir / "checkpoints" / "last"


@pytest.mark.parametrize(
    "changes", [{}, {"adversarial": False}, {"optimizer": "lamb"}]
)
def test_restored_run_continues_as_if_never_stopped(tmp_path, changes):
    state = build_state(**changes)
    saver = checkpoints.Checkpoints(str(tmp_path), state)
    make_steps(state, 1)
    saver.save_best(1, 0.25)
    saver.save_last(1)

    other = build_state(**changes, seed=1)
    assert any(
        np.any(a != b)
        for a, b in zip(all_variables(state), all_variables(other), strict=True)
    )
    restored = checkpoints.Checkpoints(str(tmp_path), other)
    assert restored.restore() == 1
    assert restored.best_dice.numpy() == 0.25
    assert other.segmentor_optimizer.iterations.numpy() == 1
    for _ in range(2):  # as restored, and after one step more
        for a, b in zip(
            all_variables(state), all_variables(other), strict=True
        ):
            np.testing.assert_array_equal(a, b)
        make_steps(state, 1, seed=5)
        make_steps(other, 1, seed=5)


def test_new_run_starts_at_step_0(tmp_path, state):
    assert checkpoints.Checkpoints(str(tmp_path), state).restore() == 0


def test_best_checkpoint_stays_while_the_last_one_advances(saved_run):
    model, step = restore.load_segmentor(saved_run)
    assert (step, first_weight(model)) == (4, 4)

    state = build_state()
    saver = checkpoints.Checkpoints(saved_run.model_dir, state)
    assert saver.restore() == 8
    assert first_weight(state.segmentor) == 8
    assert saver.best_dice.numpy() == 0.5  # kept when the run is resumed


def test_only_a_higher_dice_replaces_the_best_checkpoint(tmp_path, state):
    saver = checkpoints.Checkpoints(str(tmp_path), state)
    dices = (0.0, 0.5, 0.5, 0.4, 0.6)
    kept = [saver.save_best(step, dice) for step, dice in enumerate(dices, 1)]
    assert kept == [True, True, False, False, True]
    path = restore.find_segmentor(str(tmp_path))
    assert path.endswith("best/ckpt-5")


def test_two_last_checkpoints_and_one_best_are_kept(tmp_path, state):
    saver = checkpoints.Checkpoints(str(tmp_path), state)
    for step in (1, 2, 3):
        saver.save_best(step, step / 10)
        saver.save_last(step)
    for name, expected in (("last", [2, 3]), ("best", [3])):
        found = (tmp_path / "checkpoints" / name).glob("*.index")
        assert sorted(path.stem for path in found) == [
            f"ckpt-{step}" for step in expected
        ]


def test_last_checkpoint_is_used_without_validation(tmp_path, state):
    saver = checkpoints.Checkpoints(str(tmp_path), state)
    saver.save_last(3)
    config = dataclasses.replace(RUN, model_dir=str(tmp_path))
    assert restore.load_segmentor(config)[1] == 3


def test_segmentor_of_either_precision_is_loaded_in_float32(tmp_path):
    config = dataclasses.replace(
        RUN, model_dir=str(tmp_path), precision="mixed_bfloat16"
    )
    state = build_state(precision="mixed_bfloat16")
    checkpoints.Checkpoints(str(tmp_path), state).save_last(1)
    model, _ = restore.load_segmentor(config)
    assert model.get_layer("down1_conv").compute_dtype == "float32"
    for a, b in zip(model.weights, state.segmentor.weights, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_folder_without_checkpoint_says_to_train_first(tmp_path):
    with pytest.raises(
        UserError,
        match=r"^--model_dir \(.*\) holds no checkpoint; train first with "
        "--mode=train --model_dir=",
    ):
        restore.find_segmentor(str(tmp_path))


def cut(path):
    os.truncate(path, 500)


def scratch(path):
    with open(path, "r+b") as file:
        file.seek(3000)
        file.write(b"\xff" * 100)


@pytest.mark.parametrize(
    ("damage", "name"),
    [
        (cut, "ckpt-8.data-00000-of-00001"),
        (scratch, "ckpt-8.data-00000-of-00001"),
        (os.remove, "ckpt-8.data-00000-of-00001"),
        (cut, "ckpt-8.index"),
    ],
)
def test_damaged_last_checkpoint_falls_back_on_the_one_before(
    copied_run, damage, name, state, capsys
):
    config, folder = copied_run
    damage(folder / name)
    saver = checkpoints.Checkpoints(config.model_dir, state)
    assert saver.restore() == 4
    (line,) = capsys.readouterr().out.splitlines()
    assert re.search(
        r"note: .*last/ckpt-8 is damaged \(.+\); .*last/ckpt-4", line
    )
    assert "{{" not in line  # TensorFlow's names of nodes
    saver.save_last(8)
    assert checkpoints.Checkpoints(config.model_dir, state).restore() == 8


def test_damaged_checkpoints_are_named_and_kept(copied_run, state):
    config, folder = copied_run
    for path in folder.glob("*.data-*"):
        cut(path)
    before = sorted(path.name for path in folder.iterdir())
    with pytest.raises(
        UserError, match=r"last/ckpt-4 is damaged \(.+\); copy its files again"
    ) as error:
        checkpoints.Checkpoints(config.model_dir, state).restore()
    assert "\n" not in str(error.value)
    assert sorted(path.name for path in folder.iterdir()) == before


def kill_while_saving(folder, name, *, bytes_written):
    """Leaves what a process leaves that is killed while it writes an index."""
    (folder / f"{name}.data-00000-of-00001").write_bytes(b"weights")
    (folder / f"{name}.index").write_bytes(bytes(bytes_written))


@pytest.mark.parametrize("bytes_written", [0, 100])
def test_checkpoint_that_was_never_complete_is_left_out(
    copied_run, state, capsys, bytes_written
):
    config, last = copied_run
    kill_while_saving(last, "ckpt-12", bytes_written=bytes_written)
    (last / "ckpt-11.data-00000-of-00001").write_bytes(b"without an index")
    (last / f"checkpoint.tmp{32 * 'a'}").write_text("half a list")
    (last / "ckpt-10_temp").mkdir()
    saver = checkpoints.Checkpoints(config.model_dir, state)
    assert saver.restore() == 8
    assert capsys.readouterr().out == ""
    saver.save_last(13)
    assert {path.stem for path in last.iterdir()} == {
        "checkpoint",
        "ckpt-8",
        "ckpt-13",
    }


def test_run_that_was_killed_in_its_first_save_starts_again(tmp_path, state):
    last = tmp_path / "checkpoints" / "last"
    last.mkdir(parents=True)
    kill_while_saving(last, "ckpt-4", bytes_written=0)
    assert checkpoints.Checkpoints(str(tmp_path), state).restore() == 0
    with pytest.raises(UserError, match="holds no checkpoint; train first"):
        restore.find_segmentor(str(tmp_path))


def test_damaged_best_checkpoint_is_an_error_with_a_remedy(copied_run, capsys):
    config, folder = copied_run
    best = folder.parent / "best"
    cut(best / "ckpt-4.data-00000-of-00001")
    with pytest.raises(UserError, match="rename that folder to use the last"):
        restore.load_segmentor(config)
    best.rename(folder.parent / "damaged")
    assert restore.load_segmentor(config)[1] == 8
    assert (
        "best checkpoint by validation, is missing" in capsys.readouterr().out
    )


@pytest.mark.parametrize(
    "text",
    ["", "no list {", 'model_checkpoint_path: "/elsewhere/ckpt-3"\n', None],
)
def test_list_of_checkpoints_is_not_needed(copied_run, text, state):
    config, folder = copied_run
    if text is None:
        (folder / "checkpoint").unlink()
    else:
        (folder / "checkpoint").write_text(text)
    saver = checkpoints.Checkpoints(config.model_dir, state)
    assert saver.restore() == 8
    saver.save_last(12)
    saver.save_last(16)
    kept = sorted(path.stem for path in folder.glob("*.index"))
    assert kept == ["ckpt-12", "ckpt-16"]


@pytest.mark.parametrize("place", ["checkpoints", "checkpoints/last"])
def test_linked_folder_of_checkpoints_works(copied_run, state, tmp_path, place):
    config, _ = copied_run
    folder = pathlib.Path(config.model_dir, place)
    folder.rename(tmp_path / "disk")
    folder.symlink_to(tmp_path / "disk")
    saver = checkpoints.Checkpoints(config.model_dir, state)
    assert saver.restore() == 8
    saver.save_last(12)
    assert checkpoints.Checkpoints(config.model_dir, state).restore() == 12
    assert folder.is_symlink()


@pytest.mark.parametrize("place", ["checkpoints", "checkpoints/last"])
def test_broken_link_is_named(copied_run, state, tmp_path, place):
    config, _ = copied_run
    folder = pathlib.Path(config.model_dir, place)
    folder.rename(tmp_path / "disk")
    folder.symlink_to(tmp_path / "gone")
    with pytest.raises(UserError, match=f"{place} is a link to .*gone, which"):
        checkpoints.Checkpoints(config.model_dir, state).restore()


def test_checkpoint_that_cannot_be_opened_is_not_called_damaged(
    copied_run, state, monkeypatch
):
    config, _ = copied_run
    opened = builtins.open

    def without_permission(path, *args, **kwargs):
        if str(path).endswith("ckpt-8.data-00000-of-00001"):
            raise PermissionError(errno.EACCES, "Permission denied")
        return opened(path, *args, **kwargs)

    monkeypatch.setattr(builtins, "open", without_permission)
    with pytest.raises(
        UserError,
        match=r"ckpt-8.data-00000-of-00001 cannot be read \(Permission denied"
        r"\); its content may be sound",
    ):
        checkpoints.Checkpoints(config.model_dir, state).restore()


@pytest.mark.parametrize(
    "name", ["lr[0.1]", "a*b?", "back\\slash", "latin\udce4"]
)
def test_folder_names_are_not_patterns(saved_run, state, tmp_path, name):
    model_dir = os.path.join(str(tmp_path), name)
    shutil.copytree(saved_run.model_dir, model_dir)
    config = dataclasses.replace(saved_run, model_dir=model_dir)
    saver = checkpoints.Checkpoints(model_dir, state)
    assert saver.restore() == 8
    saver.save_last(12)
    assert checkpoints.Checkpoints(model_dir, state).restore() == 12
    assert restore.load_segmentor(config)[1] == 4


@pytest.mark.parametrize(
    ("record", "text"),
    [("training.json", "{}"), ("log.jsonl", '{"step": 5, "epoch": 2}\n')],
)
def test_run_that_lost_its_checkpoints_does_not_start_over(
    tmp_path, state, record, text
):
    saver = checkpoints.Checkpoints(str(tmp_path), state)
    (tmp_path / "log.jsonl").write_text('{"step": 4, "epoch": 1}\n')
    assert saver.restore() == 0  # killed before the first was saved
    (tmp_path / record).write_text(text)
    with pytest.raises(UserError, match="holds no checkpoint, although"):
        saver.restore()


@pytest.mark.parametrize("changes", [{"width": 3}, {"adversarial": False}])
def test_checkpoint_of_other_settings_is_an_error(saved_run, changes):
    saver = checkpoints.Checkpoints(saved_run.model_dir, build_state(**changes))
    with pytest.raises(
        UserError,
        match=r"last/ckpt-8 is of another configuration \(.+\); give the flags "
        "it was trained with, or another --model_dir",
    ):
        saver.restore()


def test_segmentor_of_another_width_is_an_error(saved_run):
    with pytest.raises(
        UserError, match="best/ckpt-4 is of another configuration"
    ):
        restore.load_segmentor(dataclasses.replace(saved_run, width=3))


def test_full_disk_keeps_existing_checkpoints(copied_run, state):
    config, folder = copied_run
    saver = checkpoints.Checkpoints(config.model_dir, state)
    saver.restore()
    before = sorted(path.name for path in folder.glob("*.*"))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # No room for more than 4 kB in a file: the writing itself fails.
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        for save in (saver.save_last, lambda step: saver.save_best(step, 0.9)):
            with pytest.raises(
                UserError,
                match=r"the checkpoint of step 12 cannot be written \(.*File "
                r"too large\); make room and start again, the run resumes from "
                r"step 8\.$",
            ):
                save(12)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert sorted(path.name for path in folder.glob("*.*")) == before
    again = checkpoints.Checkpoints(config.model_dir, state)
    assert again.restore() == 8
    assert again.best_dice.numpy() == 0.5
    assert restore.load_segmentor(config)[1] == 4
    # Of the incomplete checkpoint:
    assert not list(folder.parent.rglob("*_temp"))


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "No space left"),
        (
            tf.errors.ResourceExhaustedError(
                None, None, "{{node Save}} /run/part; No space left on device"
            ),
            r"\(No space left on device\)",
        ),
    ],
)
def test_no_room_for_the_first_checkpoint_is_an_error(
    tmp_path, monkeypatch, failure, reason, state
):
    saver = checkpoints.Checkpoints(str(tmp_path), state)

    def fail(*_, **__):
        raise failure

    monkeypatch.setattr(tf.train.CheckpointManager, "save", fail)
    with pytest.raises(
        UserError, match=f"{reason}.*the run resumes from step 0"
    ):
        saver.save_last(4)
