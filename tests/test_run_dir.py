import contextlib
import dataclasses
import json
import os
import resource

import pytest

from segan_tf import config, run_dir
from segan_tf import labels as labels_lib
from segan_tf.models import critics

COMMAND = ["main.py", "--mode=train", "--width=2"]


def make_run(model_dir, **changes):
    return config.Config(model_dir=str(model_dir), **changes)


def read_record(model_dir):
    return json.loads((model_dir / "flags.json").read_text("utf-8"))


def read_lines(model_dir):
    text = (model_dir / "log.jsonl").read_text("utf-8")
    return [json.loads(line) for line in text.splitlines()]


@contextlib.contextmanager
def nearly_full_disk():
    """Lets no file grow beyond 100 bytes.

    Only around the call that is to fail: the limit holds for pytest's own
    output, too, when that goes to a file.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_settings_are_read_as_they_were_written(tmp_path):
    run = make_run(
        tmp_path / "new" / "run",
        width=2,
        dice_weight=0.5,
        adversarial=False,
        num_test=7,
        data_dir="Läsionen",
        seed=3,
    )
    run_dir.write_flags(run, COMMAND)
    assert run_dir.read_flags(run.model_dir) == run


def test_moved_run_has_the_model_dir_where_it_is_now(tmp_path):
    run_dir.write_flags(make_run(tmp_path / "old", width=2), COMMAND)
    os.rename(tmp_path / "old", tmp_path / "new")
    moved = make_run(tmp_path / "new", width=2)
    assert run_dir.read_flags(moved.model_dir) == moved


def test_flags_json_has_all_that_repeats_the_run(tmp_path):
    run_dir.write_flags(make_run(tmp_path, seed=3), COMMAND)
    record = read_record(tmp_path)
    assert record["flags"]["seed"] == 3
    assert record["command"] == "main.py --mode=train --width=2"
    assert {"python", "keras", "numpy", "pillow"} < set(record["versions"])
    assert record["versions"]["python"].startswith("3.")
    assert record["commit"]
    assert record["hardware"].startswith(f"{os.cpu_count()} CPU cores, ")


def test_folder_without_a_run_says_to_train_first(tmp_path):
    assert not run_dir.has_flags(str(tmp_path))
    with pytest.raises(
        config.UserError,
        match="holds no trained model .flags.json is missing.; train first "
        "with --mode=train --model_dir=",
    ):
        run_dir.read_flags(str(tmp_path))


@pytest.mark.parametrize(
    "text",
    [
        "",
        '{"flags": {"width": 2',
        "[]",
        "{}",
        '{"flags": {"width": "two"}}',
        '{"flags": {"width": -2}}',
        "\x00\x01",
    ],
)
def test_malformed_flags_json_is_an_error(tmp_path, text):
    (tmp_path / "flags.json").write_text(text, "utf-8")
    with pytest.raises(config.UserError, match="flags.json cannot be under"):
        run_dir.read_flags(str(tmp_path))


def test_binary_flags_json_is_an_error(tmp_path):
    (tmp_path / "flags.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(config.UserError, match="flags.json cannot be under"):
        run_dir.read_flags(str(tmp_path))


@pytest.mark.parametrize("name", ["run", "run/below"])
def test_model_dir_that_cannot_be_a_folder_is_an_error(tmp_path, name):
    (tmp_path / "run").write_text("a file")
    run = make_run(tmp_path / name)
    with pytest.raises(
        config.UserError,
        match=r"^--model_dir \(.*run.*\) cannot be written \(.+\); give a "
        "folder that can.$",
    ):
        run_dir.write_flags(run, COMMAND)


def test_full_disk_keeps_the_old_flags_json(tmp_path):
    (tmp_path / "flags.json").write_text("{}")
    with (
        pytest.raises(
            config.UserError,
            match=r"cannot be written \(File too large\); make room and start",
        ),
        nearly_full_disk(),
    ):
        run_dir.write_flags(make_run(tmp_path), COMMAND)
    assert os.listdir(tmp_path) == ["flags.json"]
    assert read_record(tmp_path) == {}


def test_run_may_be_resumed_with_more_epochs(tmp_path):
    run = make_run(tmp_path, width=2, epochs=5, checkpoint_minutes=1.0)
    run_dir.write_flags(run, COMMAND)
    run_dir.check_resumable(
        dataclasses.replace(run, epochs=9, checkpoint_minutes=2.0, xla=True)
    )


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            {"learning_rate": 0.002},
            {"learning_rate": 0.1},
            r"--learning_rate \(0.1\) is not the 0.002 that .*"
            "give --learning_rate=0.002, another --model_dir, or --noresume",
        ),
        ({}, {"seed": 4}, r"--seed \(4\) is not the 0 that .*give --seed=0,"),
        (
            {"adversarial": False},
            {},
            r"--adversarial \(True\) is not the False .*--adversarial=False,",
        ),
        (
            {},
            {"num_test": 9},
            r"--num_test \(9\) is not the default .*leave --num_test out,",
        ),
        (
            {},
            {"data_dir": "there"},
            r"--data_dir \(there\) is not the default .*leave --data_dir out,",
        ),
    ],
)
def test_resuming_with_other_settings_names_flag_and_both_values(
    tmp_path, old, new, words
):
    run_dir.write_flags(make_run(tmp_path, **old), COMMAND)
    with pytest.raises(config.UserError, match=words):
        run_dir.check_resumable(make_run(tmp_path, **new))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"data_dir": "here"}, {"data_dir": "there/"}),
        ({"data_dir": "a"}, {"image_dir": "b", "label_map_dir": "c"}),
        ({"test_list": "a.txt"}, {"test_list": "b.txt"}),
        ({"start_from": "gone"}, {}),
        ({"start_from": "gone"}, {"start_from": "./gone/"}),
    ],
)
def test_paths_are_no_contradiction(tmp_path, old, new):
    run_dir.write_flags(make_run(tmp_path, **old), COMMAND)
    resumed = run_dir.check_resumable(make_run(tmp_path, **new))
    assert resumed.start_from in ("", "gone")


@pytest.mark.parametrize("name", ["run", "run/", "link", "run/../run"])
def test_run_cannot_start_from_itself(tmp_path, name):
    run = make_run(tmp_path / "run")
    run_dir.write_flags(run, COMMAND)
    (tmp_path / "link").symlink_to(tmp_path / "run")
    with pytest.raises(config.UserError, match="is the run in --model_dir"):
        run_dir.check_start_from(
            dataclasses.replace(run, start_from=f"{tmp_path}/{name}")
        )


# Another value of each flag that decides the weights; there is one segmentor.
OTHER = {
    **dict.fromkeys(("data_dir", "image_dir", "test_list"), "there"),
    **dict.fromkeys(("label_names", "groups"), "there"),
    **dict.fromkeys(("num_drawn", "num_test", "num_validation"), 17),
    **dict.fromkeys(("split_seed", "seed", "width", "batch_size"), 17),
    **dict.fromkeys(("learning_rate", "decay_rate", "dice_weight"), 0.25),
    **dict.fromkeys(("critic_clip", "decay_epochs"), 1),
    **dict.fromkeys(("l1_weight", "cross_entropy_weight", "ema"), 0.5),
    "gradient_accumulation_steps": 2,
    "style_dropout": 0.5,
    "label_map_dir": "there",
    "start_from": "there",
    "encoder_weights": "none",
    "critic": "other",
    "critic_width": 17,
    "optimizer": "lamb",
    "schedule": "cosine",
    "num_labels": 17,
    "label_kind": "multilabel",
    "critic_form": "shared",
    "critic_labels_per_step": 1,
    "label_weights": [2],
    "skip_bad_pairs": True,
    "image_size": 64,
    "augment": "strong",
    "flip": "none",
    "adversarial": False,
    "precision": "mixed_bfloat16",
}


@pytest.mark.parametrize("name", OTHER)
def test_every_setting_that_decides_the_weights_is_compared(
    tmp_path, monkeypatch, name
):
    monkeypatch.setitem(critics.CRITICS, "other", critics.CRITICS["segan"])
    run_dir.write_flags(make_run(tmp_path), COMMAND)
    record = read_record(tmp_path)
    record["flags"][name] = OTHER[name]
    if name in ("image_dir", "label_map_dir"):  # each needs the other
        record["flags"].update(image_dir="there", label_map_dir="there")
    (tmp_path / "flags.json").write_text(json.dumps(record))
    run = make_run(tmp_path)
    if name == "start_from":  # otherwise that of the run
        run = run.replace(start_from="elsewhere")
    with pytest.raises(config.UserError, match="was trained with"):
        run_dir.check_resumable(run)


def test_cosine_schedule_cannot_be_extended(tmp_path):
    run = make_run(tmp_path)
    run_dir.write_flags(run, COMMAND)
    run_dir.check_resumable(dataclasses.replace(run, epochs=run.epochs + 1))
    run = dataclasses.replace(run, schedule="cosine")
    run_dir.write_flags(run, COMMAND)
    with pytest.raises(config.UserError, match="--epochs .* was trained with"):
        run_dir.check_resumable(dataclasses.replace(run, epochs=run.epochs + 1))


def test_start_from_needs_the_same_model_at_any_size(tmp_path):
    start = make_run(tmp_path / "start")
    run = dataclasses.replace(
        make_run(tmp_path / "run"), start_from=start.model_dir, image_size=64
    )
    with pytest.raises(config.UserError, match="--start_from .* no trained"):
        run_dir.check_start_from(run)
    run_dir.write_flags(start, COMMAND)
    run_dir.check_start_from(run)
    wider = dataclasses.replace(run, width=run.width + 1)
    with pytest.raises(config.UserError, match=f"give --width={run.width}"):
        run_dir.check_start_from(wider)


def test_every_compared_setting_is_tried():
    # Styles are compared by what the pairs have, see `training.train`.
    assert set(config.RUN_FIELDS) - {"segmentor", "styles"} == set(OTHER)


def test_log_drops_steps_that_are_made_again(tmp_path):
    log = run_dir.Log(str(tmp_path), first_step=0)
    for step in (50, 100, 150):
        log.write(kind="loop", step=step, dice=0.5)
    # The run resumes from a checkpoint of step 100.
    log = run_dir.Log(str(tmp_path), first_step=100)
    assert [line["step"] for line in read_lines(tmp_path)] == [50, 100]
    log.write(kind="loop", step=120, dice=0.5)
    assert read_lines(tmp_path)[-1] == {
        "kind": "loop",
        "step": 120,
        "dice": 0.5,
    }


@pytest.mark.parametrize(
    "end",
    [
        b'{"kind": "loop", "step": 7',
        b'{"step": 7}',
        b"7\n",
        b"\xff\n",
        b'{"step": "7"}\n',
        b'{"step": null}\n',
        b"[" * 100_000 + b"\n",
    ],
)
def test_log_drops_an_incomplete_line(tmp_path, end):
    (tmp_path / "log.jsonl").write_bytes(b'{"step": 5}\n' + end)
    log = run_dir.Log(str(tmp_path), first_step=10)
    log.write(step=11)
    assert read_lines(tmp_path) == [{"step": 5}, {"step": 11}]


def test_log_of_a_new_run_is_empty(tmp_path):
    run_dir.Log(str(tmp_path), first_step=0).write(step=5)
    run_dir.Log(str(tmp_path), first_step=0)
    assert read_lines(tmp_path) == []


def test_log_on_a_full_disk_is_an_error(tmp_path):
    log = run_dir.Log(str(tmp_path), first_step=0)
    with (
        pytest.raises(config.UserError, match="make room and start again"),
        nearly_full_disk(),
    ):
        log.write(step=1, text="x" * 200)


def test_damaged_training_json_is_an_error(tmp_path):
    (tmp_path / "training.json").write_text("{")
    with pytest.raises(config.UserError, match="training.json cannot be und"):
        run_dir.read_training(str(tmp_path))


def test_training_json_is_read_until_it_is_removed(tmp_path):
    assert run_dir.read_training(str(tmp_path)) == {}
    run_dir.write_training(str(tmp_path), {"last_step": 8})
    assert run_dir.read_training(str(tmp_path)) == {"last_step": 8}
    run_dir.remove_training(str(tmp_path))
    run_dir.remove_training(str(tmp_path))
    assert run_dir.read_training(str(tmp_path)) == {}


def test_labels_of_another_number_than_the_run_are_an_error(tmp_path):
    run = make_run(tmp_path)
    two = labels_lib.Labels(("lesion", "hair"))
    run_dir.write_labels(two, str(tmp_path))
    with pytest.raises(
        config.UserError, match="names 2 label.*num_labels=1; rest"
    ):
        run_dir.read_labels(run)


def test_run_from_before_flip_was_trained_with_both(tmp_path):
    run_dir.write_flags(make_run(tmp_path, num_labels=2), COMMAND)
    record = read_record(tmp_path)
    del record["flags"]["flip"]
    (tmp_path / "flags.json").write_text(json.dumps(record), "utf-8")
    assert run_dir.read_flags(str(tmp_path)).flip == "both"
