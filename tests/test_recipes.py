"""Tests of the recipes in configs/ and of the scripts that use them."""

import json
import shlex
import subprocess

import pytest
import running

pytestmark = pytest.mark.any_edition

CONFIGS = running.ROOT / "configs"
RECIPES = sorted(CONFIGS.glob("*.flags"))
# Defines in place of programs what prints their arguments, or does nothing.
STUBS = """
python() { printf "%q " "$@"; echo; }
source() { :; }
cp() { :; }
sed() { :; }
mkdir() { :; }
rm() { :; }
. "$0" "$@"
"""
ISIC_RUNS = (
    *("segan_dice", "bce_dice", "segan_l1", "quick"),
    *("try_none", "try_l1_1", "try_l1_10", "try_strong"),
    *("try_styles_lite0", "try_styles_lite1"),
    *("lite0_128", "lite0_192", "released_1"),
    *("lite1_128", "lite1_192", "lite1_long", "lite1_256", "lite1_all"),
    *("styles_128_seed0", "styles_192", "plain_128_seed0"),
    "no_critic_128_seed0",
)
# What decides the weights of a run, less the paths of its data.
COMPARED = (
    *("segmentor", "image_size", "width", "critic_width", "critic_form"),
    *("augment", "batch_size", "learning_rate", "schedule", "ema", "epochs"),
    *("l1_weight", "adversarial", "num_labels", "start_from"),
    *("num_test", "num_validation", "critic_labels_per_step"),
    *("dice_weight", "cross_entropy_weight"),
)


def commands(script, *args):
    """Lists the commands of main.py that a script would run."""
    done = subprocess.run(
        ["bash", "-c", STUBS, running.ROOT / script, *args],
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [shlex.split(line) for line in done.stdout.splitlines()]
    return [line[1:] for line in lines if line and line[0] == "main.py"]


def effect(setting, settings):
    """Returns what a setting does: a default resolved, None for nothing."""
    value = settings[setting]
    if setting.startswith("critic_") and not settings["adversarial"]:
        return None
    if value is None and setting.endswith("_weight"):
        return 0.0 if settings["adversarial"] else 1.0
    return value


def test_every_recipe_is_known_by_name():
    assert [path.name for path in RECIPES] == [
        "cardiac.flags",
        "lite0.flags",
        "quick.flags",
        "reference.flags",
    ]


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_all_flags_of_a_recipe_have_an_effect_in_training(seen, path):
    given = [
        line
        for line in path.read_text(encoding="utf-8").splitlines()
        if line and not line.startswith("#")
    ]
    # Named on the command line, a flag without effect is an error.
    assert running.run("--mode=train", *given).status == 0
    result = running.run("--mode=train", f"--flagfile={path}")
    assert (result.status, result.out, result.err) == (0, "", "")
    assert seen[0] == seen[1]
    assert len(seen[0].given) == len(given) > 5


def test_reference_recipe_is_the_defaults(seen):
    running.run("--mode=train", f"--flagfile={CONFIGS / 'reference.flags'}")
    assert seen == [type(seen[0])()]


def test_recipe_serves_several_modes(seen):
    recipe = f"--flagfile={CONFIGS / 'lite0.flags'}"
    result = running.run("--mode=evaluate", recipe, "--tta")
    assert seen[0].given == {"segmentor", "tta"}
    (line,) = result.out.splitlines()
    assert line.startswith(
        "note: of the flagfile, these have no effect here: --noadversarial, "
    )


def test_flag_overrides_a_recipe_and_what_depends_on_it(seen):
    recipe = f"--flagfile={CONFIGS / 'cardiac.flags'}"
    result = running.run("--mode=train", recipe, "--noadversarial")
    assert result.out == (
        "note: of the flagfile, these have no effect here: --critic_form\n"
    )
    assert not seen[0].adversarial
    error = running.error_of(
        "--mode=train", recipe, "--noadversarial", "--critic_form=stacked"
    )
    assert error.endswith("with --noadversarial; leave one out.")


@pytest.mark.parametrize(
    ("script", "args", "count"),
    [
        # Check once; train and evaluate 8 networks.
        ("benchmarks/drawings/run.sh", (), 1 + 2 * 8),
        ("benchmarks/cardiac/run.sh", ("data",), 2 * 9),
        # Besides training and evaluating: lite0_*, lite1_256 and lite1_long
        # with flips, five exports, three calibrations, lite1_long on the
        # official images, and drawn photographs evaluated
        # and predicted.
        (
            "benchmarks/isic2017/run.sh",
            ("data", *ISIC_RUNS),
            2 * 22 + 4 + 5 + 3 + 1 + 2,
        ),
        ("scripts/demo", (), 4),
    ],
)
def test_every_command_of_a_script_is_accepted(
    seen, monkeypatch, script, args, count
):
    monkeypatch.chdir(running.ROOT)
    for command in commands(script, *args):
        result = running.run(*command)
        assert (result.status, result.err) == (0, ""), command
    assert len(seen) == count


@pytest.mark.parametrize("data", ["isic2017", "cardiac", "drawings"])
def test_script_trains_as_the_recorded_runs_were(seen, monkeypatch, data):
    monkeypatch.chdir(running.ROOT)
    args = {
        "isic2017": ("data", *ISIC_RUNS),
        "cardiac": ("data",),
        "drawings": (),
    }[data]
    script = f"benchmarks/{data}/run.sh"
    for command in commands(script, *args):
        if command[0] == "--mode=train":
            running.run(*command)
    compared = 0
    for config in seen:
        name = config.model_dir.removeprefix("runs/").removeprefix(f"{data}_")
        path = running.ROOT / "benchmarks" / data / name / "flags.json"
        if not path.exists():  # was not run
            continue
        recorded = json.loads(path.read_text(encoding="utf-8"))["flags"]
        for setting in COMPARED:
            # Runs of before a setting existed do not record it.
            if setting in recorded:
                assert (name, setting, effect(setting, vars(config))) == (
                    name,
                    setting,
                    effect(setting, recorded),
                )
                compared += 1
    assert compared > 8 * len(seen)
