"""Tests of the settings and of the checks of their values."""

import dataclasses
import math
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import running

from segan_tf import config, config_checks
from segan_tf.models import segmentors
from segan_tf.training import optimizers

FIELDS = dataclasses.fields(config.Config)
MINIMUMS = {
    field.name: field.metadata["minimum"]
    for field in FIELDS
    if field.metadata["minimum"] is not None
}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"segmentor": "unet"}, r"--segmentor \(unet\) must be one of segan, "),
        ({"augment": "wild"}, r"--augment \(wild\) .* one of basic, strong\."),
        ({"cache": "tape"}, r"--cache \(tape\) .* one of memory, disk, none\."),
        (
            {"precision": "float16"},
            r"--precision \(float16\) .* one of float32, mixed_bfloat16\.",
        ),
        (
            {"split": "some"},
            r"--split \(some\) .* one of train, validation, test, all\.",
        ),
        ({"batch_size": 0}, r"--batch_size \(0\) .* a number of at least 1\."),
        ({"dice_weight": -0.5}, r"--dice_weight \(-0\.5\) .* at least 0\."),
        ({"dice_weight": math.inf}, r"--dice_weight \(inf\) must be a number"),
        ({"critic_clip": math.nan}, r"--critic_clip \(nan\) must be a number"),
        ({"learning_rate": 0.0}, r"--learning_rate \(0\.0\) must be above 0"),
        ({"learning_rate": 1.5}, r"--learning_rate \(1\.5\) .* at most 1\."),
        ({"learning_rate": math.nan}, r"--learning_rate \(nan\) must be"),
        ({"decay_rate": 0.0}, r"--decay_rate \(0\.0\) must be above 0"),
        ({"image_size": 100}, r"--image_size \(100\) .* 16 .* use 96 or 112\."),
        ({"image_size": 17}, r"--image_size \(17\) .* 16 .* use 16 or 32\."),
        (
            {"num_labels": 256},
            r"--num_labels \(256\) must be at most 255\.",
        ),
        (
            {"num_labels": 3, "label_weights": ("1", "2")},
            r"--label_weights \(1,2\) must be as many as --num_labels \(3\)",
        ),
        (
            {"num_labels": 2, "label_weights": ("1", "two")},
            r"--label_weights \(1,two\) must be numbers, one for each label",
        ),
        (
            {"num_labels": 2, "label_weights": (0, 0)},
            r"--label_weights \(0,0\) must be 0 or more, and not all 0",
        ),
        (
            {"num_labels": 2, "label_weights": (1, -1)},
            r"--label_weights \(1,-1\) must be 0 or more",
        ),
        (
            {"num_labels": 2, "critic_labels_per_step": 3},
            r"--critic_labels_per_step \(3\) is more than .* \(2\); use 0",
        ),
        (
            {
                "num_labels": 2,
                "critic_labels_per_step": 1,
                "critic_form": "stacked",
            },
            r"--critic_labels_per_step \(1\) needs --critic_form=shared",
        ),
        ({"label_kind": "both"}, r"--label_kind \(both\) must be one of mult"),
        (
            {"critic_form": "own"},
            r"--critic_form \(own\) must be one of stacked",
        ),
        (
            {"quantizations": ("none", "int4")},
            r"--quantizations \(none,int4\) .* some of none,float16,dynamic,",
        ),
        ({"quantizations": ()}, r"--quantizations \(\) must be some of none,"),
        (
            {"image_dir": "a"},
            r"--image_dir \(a\) needs --label_map_dir too\.",
        ),
        (
            {"label_map_dir": "b"},
            r"--label_map_dir \(b\) needs --image_dir too\.",
        ),
        (
            {"data_dir": "d", "image_dir": "a", "label_map_dir": "b"},
            r"--data_dir \(d\) and --image_dir \(a\) exclude each other",
        ),
    ],
)
def test_impossible_value_is_rejected_by_name(values, message):
    with pytest.raises(config.UserError, match=message):
        config.Config(**values)


@pytest.mark.parametrize(("name", "minimum"), MINIMUMS.items())
def test_number_below_its_minimum_is_rejected(name, minimum):
    # With another term, the multi-scale L1 may have no weight; an index needs
    # other flags.
    others = {"dice_weight": 1}
    if name == "worker_index":
        others |= {"num_workers": 2, "coordinator": "host:1"}
    config.Config(**{**others, name: minimum})
    with pytest.raises(
        config.UserError, match=rf"--{name} .* at least {minimum}"
    ):
        config.Config(**{name: minimum - 1})


@pytest.mark.parametrize("name", ["seed", "split_seed"])
def test_seed_is_at_most_what_numpy_takes(name):
    config.Config(**{name: 2**32 - 1})
    with pytest.raises(
        config.UserError, match=rf"--{name} \(4294967296\) .* most 4294967295"
    ):
        config.Config(**{name: 2**32})


@pytest.mark.parametrize("name", ["epochs", "width", "num_test", "image_size"])
def test_whole_number_is_at_most_what_tensorflow_takes(name):
    with pytest.raises(config.UserError, match=rf"--{name} .* at most"):
        config.Config(**{name: 2**31})


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"width": 1.5}, r"--width \(1.5\) must be a whole number"),
        ({"width": "2"}, r"--width \('2'\) must be a whole number"),
        ({"width": None}, r"--width \(None\) must be a whole number"),
        ({"width": True}, r"--width \(True\) must be a whole number"),
        ({"num_test": "all"}, r"--num_test \('all'\) must be a whole"),
        ({"ema": "x"}, r"--ema \('x'\) must be a number"),
        ({"ema": False}, r"--ema \(False\) must be a number"),
        ({"data_dir": 5}, r"--data_dir \(5\) must be a text"),
        ({"segmentor": ["segan"]}, r"--segmentor \(\['segan'\]\) must be a"),
        ({"tta": "no"}, r"--tta \('no'\) must be true or false"),
        ({"tta": 1}, r"--tta \(1\) must be true or false"),
        ({"label_weights": [[1]]}, r"--label_weights \(\[1\]\) must be num"),
    ],
)
def test_value_of_another_type_is_rejected_by_name(values, words):
    with pytest.raises(config.UserError, match=words):
        config.Config(**values)


def test_numbers_of_numpy_and_paths_are_accepted(tmp_path):
    given = config.Config(
        width=np.int64(3), ema=np.float32(0.5), seed=np.uint32(7), epochs=5
    )
    assert (given.width, given.ema) == (3, 0.5)
    assert config.Config(ema=0, data_dir=tmp_path).data_dir == str(tmp_path)


def test_every_number_has_a_limit():
    limited = {*MINIMUMS, "learning_rate", "decay_rate"}
    limited |= {"ema", "style_dropout"}
    numbers = {
        field.name
        for field in FIELDS
        if field.type in (int, float, int | None, float | None)
    }
    assert numbers == limited


def test_replaced_value_is_checked_too():
    with pytest.raises(config.UserError, match="--image_size"):
        config.Config().replace(image_size=100)


def test_given_names_what_was_passed_and_what_was_replaced():
    assert config.Config().given == frozenset()
    passed = config.Config(width=64, tta=True)
    assert passed.given == {"width", "tta"}
    replaced = passed.replace(epochs=5)
    assert (replaced.epochs, replaced.width) == (5, 64)
    assert replaced.given == {"width", "tta", "epochs"}
    selected = passed.with_given(["split"], split="all")
    assert (selected.split, selected.tta) == ("all", True)
    assert selected.given == {"split"}
    # What was passed explicitly does not make it another configuration.
    assert passed == config.Config(tta=True)


def test_settings_of_older_versions_are_read_by_their_new_names():
    old = {"flips": True, "label_kind": "overlapping", "width": 16}
    now = config.renamed(old)
    assert now == {"tta": True, "label_kind": "multilabel", "width": 16}
    assert config.renamed(now) == now
    assert config.Config(label_kind="exclusive").multiclass


def test_defaults_are_the_numbers_of_the_paper():
    defaults = config.Config()
    assert (defaults.width, defaults.image_size) == (64, 128)
    assert defaults.batch_size == 30
    assert (defaults.learning_rate, defaults.decay_epochs) == (0.002, 25)
    assert (optimizers.ADAM_BETA_1, optimizers.ADAM_BETA_2) == (0.5, 0.999)
    assert segmentors.SEGMENTORS["segan"].size_multiple == 2 * 2 * 2 * 2


@pytest.mark.parametrize(
    ("values", "weights"),
    [
        ({}, (1, 0, 0)),
        ({"adversarial": False}, (0, 1, 1)),
        ({"dice_weight": 0.25, "l1_weight": 10}, (10, 0.25, 0)),
        ({"cross_entropy_weight": 2}, (1, 0, 2)),
        ({"dice_weight": 0.0, "adversarial": False}, (0, 0, 1)),
    ],
)
def test_the_critic_alone_or_dice_and_cross_entropy_alone(values, weights):
    names = ("multi_scale_l1", "dice_loss", "cross_entropy")
    expected = dict(zip(names, weights, strict=True))
    assert config.Config(**values).loss_weights == expected


def test_segmentor_with_five_halvings_needs_a_multiple_of_32():
    config.Config(image_size=144)
    with pytest.raises(config.UserError, match="of 32 .* use 128 or 160"):
        config.Config(image_size=144, segmentor="efficientnet_lite0")


@pytest.mark.parametrize(
    "weights",
    [
        {"l1_weight": 0},
        {"adversarial": False, "dice_weight": 0, "cross_entropy_weight": 0},
    ],
)
def test_segmentor_without_any_loss_is_rejected(weights):
    with pytest.raises(config.UserError, match="--l1_weight .* no loss"):
        config.Config(**weights)


@pytest.mark.parametrize("name", ["ema", "style_dropout"])
@pytest.mark.parametrize("share", [-0.1, 1.0, float("nan")])
def test_share_outside_0_to_1_is_rejected(name, share):
    with pytest.raises(config.UserError, match=f"--{name} .* below 1"):
        config.Config(**{name: share})


@pytest.mark.parametrize(
    ("below", "step", "named"),
    [(96, 16, "96 or 112"), (0, 16, "16"), (4, 4, "4 or 8")],
)
def test_the_nearest_multiples_are_named_and_never_zero(below, step, named):
    assert config_checks.nearest(below, step) == named


def test_each_setting_names_known_modes_and_other_settings():
    names = {field.name for field in FIELDS}
    kinds = {"", "source", "split", "labels", "model", "weights"}
    for field in FIELDS:
        assert field.metadata["modes"]
        assert set(field.metadata["modes"]) <= set(config.MODES)
        assert set(field.metadata["needs"]) <= names
        assert field.metadata["fixes"] in kinds


def test_lists_of_settings_by_what_they_fix():
    assert config.SOURCE_FIELDS == (
        "data_dir",
        "image_dir",
        "label_map_dir",
        "num_drawn",
    )
    split = {"num_test", "num_validation", "split_seed", "test_list", "groups"}
    assert set(config.RESPLIT_FIELDS) == {*config.SOURCE_FIELDS, *split}
    labels = {"label_names", "skip_bad_pairs", "styles"}
    assert set(config.DATA_FIELDS) == {*config.RESPLIT_FIELDS, *labels}
    assert set(config.MODEL_FIELDS) == {
        "segmentor",
        "image_size",
        "width",
        "num_labels",
        "label_kind",
    }
    assert {*config.DATA_FIELDS, *config.MODEL_FIELDS} < set(config.RUN_FIELDS)


def test_settings_that_change_no_weight_may_differ_when_resuming():
    free = {
        field.name for field in FIELDS if field.name not in config.RUN_FIELDS
    }
    assert free == {
        "cache",
        "model_dir",
        "epochs",
        "xla",
        "num_replicas",
        "virtual_devices",
        "num_workers",
        "worker_index",
        "coordinator",
        "resume",
        "checkpoint_minutes",
        "split",
        "model",
        "input",
        "input_list",
        "overlays",
        "runtime",
        "workers",
        "num_shards",
        "shard",
        "skip_bad_images",
        "decision",
        "style",
        "tta",
        "output_dir",
        "export_dir",
        "export_version",
        "quantizations",
        "style_input",
        "calibration_images",
        "allow_parity_loss",
        "web",
        "serve_port",
    }


def test_program_flags_and_config_import_no_tensorflow():
    loaded = "'tensorflow' in sys.modules or 'keras' in sys.modules"
    code = f"import sys, main, flags, segan_tf.config; print({loaded})"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=running.ROOT,
        capture_output=True,
        text=True,
    )
    assert (done.stdout, done.stderr) == ("False\n", "")


def test_label_weights_are_numbers_whether_from_flags_or_from_a_file():
    for given in (["1", "0.5"], [1, 0.5]):
        made = config.Config(num_labels=2, label_weights=given)
        assert made.label_weights == (1.0, 0.5)


def test_flip_depends_on_the_number_of_labels_unless_it_is_given():
    assert config.Config().resolved_flip == "both"
    assert config.Config(num_labels=2).resolved_flip == "none"
    given = config.Config(num_labels=2, flip="horizontal")
    assert given.resolved_flip == "horizontal"


def test_one_input_and_several_are_both_taken(monkeypatch):
    monkeypatch.setenv("ARCHIVE", "/data")
    several = ["$ARCHIVE/a", pathlib.Path("b,c")]
    assert config.Config(input=several).input == ("/data/a", "b,c")
    assert config.Config(input="a b").input == ("a b",)
    assert config.Config(input="").input == ()  # of runs of earlier versions
    assert config.Config().input == ()


def test_input_may_be_given_several_times(seen):
    result = running.run("--mode=predict", "--input=a,b", "--input=c")
    assert result.status == 0
    assert seen[0].input == ("a,b", "c")
