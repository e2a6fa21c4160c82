"""Tests of how a run's flips are chosen, said and kept."""

import json

import pytest
import running

pytestmark = pytest.mark.any_edition

TINY = (
    "--num_drawn=8",
    "--image_size=16",
    "--width=1",
    "--batch_size=2",
    "--noadversarial",
)


def train(model_dir, *flags):
    return running.run(
        "--mode=train", f"--model_dir={model_dir}", *TINY, *flags
    )


def recorded_flip(model_dir):
    return json.loads((model_dir / "flags.json").read_text("utf-8"))["flags"][
        "flip"
    ]


@pytest.mark.parametrize(
    ("flags", "flip"),
    [
        ((), "both"),
        (("--num_labels=2",), "none"),
        (("--num_labels=2", "--flip=horizontal"), "horizontal"),
    ],
)
def test_run_says_and_records_its_flips(tmp_path, flags, flip):
    result = train(tmp_path, "--epochs=1", *flags)
    assert result.status == 0
    assert f"--flip={flip}" in result.out + result.err
    assert recorded_flip(tmp_path) == flip


def test_resumed_run_keeps_the_flips_of_before_there_was_a_setting(tmp_path):
    several = "--num_labels=2"
    train(tmp_path, "--epochs=1", several)
    path = tmp_path / "flags.json"
    record = json.loads(path.read_text("utf-8"))
    del record["flags"]["flip"]
    path.write_text(json.dumps(record), "utf-8")
    assert train(tmp_path, "--epochs=2", several).status == 0
    assert recorded_flip(tmp_path) == "both"


def test_resumed_run_cannot_change_its_flips(tmp_path):
    train(tmp_path, "--epochs=1")
    result = train(tmp_path, "--epochs=2", "--flip=none")
    assert result.status == 1
    assert "--flip (none) is not the both" in result.err
