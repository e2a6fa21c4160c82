"""Tests of the numbers of a run and of what refuses impossible ones."""

import dataclasses
import math
import subprocess
import sys

import pytest
import running

from segan_tf import config, config_checks
from segan_tf.training import optimizers


@pytest.mark.parametrize(
    ("values", "said"),
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
            r"--label_weights \(1,two\) must be numbers, one a label",
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
        ({"label_kind": "both"}, r"--label_kind \(both\) must be one of excl"),
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
            r"--image_dir \(a\) needs --label_map_dir beside it\.",
        ),
        (
            {"label_map_dir": "b"},
            r"--label_map_dir \(b\) needs --image_dir beside it\.",
        ),
        (
            {"data_dir": "d", "image_dir": "a", "label_map_dir": "b"},
            r"--data_dir \(d\) and --image_dir \(a\) exclude each other",
        ),
    ],
)
def test_an_impossible_value_is_refused_by_name(values, said):
    with pytest.raises(config.UserError, match=said):
        config.Config(**values)


@pytest.mark.parametrize(("name", "least"), config.MINIMUM.items())
def test_a_number_below_its_least_is_refused(name, least):
    # With another term, the multi-scale L1 may have no weight.
    config.Config(**{"dice_weight": 1, name: least})
    with pytest.raises(
        config.UserError, match=rf"--{name} .* at least {least}"
    ):
        config.Config(**{name: least - 1})


def test_every_number_has_a_limit():
    limited = {*config.MINIMUM, "learning_rate", "decay_rate", "ema"}
    numbers = {
        field.name
        for field in dataclasses.fields(config.Config)
        if field.type in (int, float, int | None, float | None)
    }
    assert numbers == limited


def test_a_replaced_value_is_checked_too():
    with pytest.raises(config.UserError, match="--image_size"):
        dataclasses.replace(config.Config(), image_size=100)


def test_the_defaults_are_the_references_numbers():
    run = config.Config()
    assert (run.width, run.image_size, run.batch_size) == (64, 128, 30)
    assert (run.learning_rate, run.decay_epochs) == (0.002, 25)
    assert (optimizers.ADAM_BETA_1, optimizers.ADAM_BETA_2) == (0.5, 0.999)
    assert config.SIZE_MULTIPLES["segan"] == 2 * 2 * 2 * 2


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


def test_a_segmentor_with_32_times_smaller_levels_needs_such_a_size():
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
def test_a_segmentor_without_any_loss_is_refused(weights):
    with pytest.raises(config.UserError, match="--l1_weight .* no loss"):
        config.Config(**weights)


@pytest.mark.parametrize("ema", [-0.1, 1.0, float("nan")])
def test_a_decay_outside_0_to_1_is_refused(ema):
    with pytest.raises(config.UserError, match="--ema .* below 1"):
        config.Config(ema=ema)


@pytest.mark.parametrize(
    ("below", "step", "named"),
    [(96, 16, "96 or 112"), (0, 16, "16"), (4, 4, "4 or 8")],
)
def test_the_nearest_multiples_are_named_and_never_zero(below, step, named):
    assert config_checks.nearest(below, step) == named


def test_the_lists_of_fields_name_fields_once():
    names = {field.name for field in dataclasses.fields(config.Config)}
    for listed in (config.RUN_FIELDS, config.MINIMUM):
        assert set(listed) <= names
        assert len(set(listed)) == len(listed)


def test_what_changes_no_weight_may_change_between_two_starts():
    free = {
        field.name
        for field in dataclasses.fields(config.Config)
        if field.name not in config.RUN_FIELDS
    }
    assert free == {
        "cache",
        "model_dir",
        "epochs",
        "xla",
        "num_replicas",
        "virtual_devices",
        "resume",
        "checkpoint_minutes",
        "split",
        "model",
        "input",
        "flips",
        "output_dir",
        "export_dir",
        "quantizations",
        "calibration_images",
        "allow_parity_loss",
        "web",
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
        run = config.Config(num_labels=2, label_weights=given)
        assert run.label_weights == (1.0, 0.5)
