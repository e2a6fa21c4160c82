"""Tests of the flags: one per setting, checked before TensorFlow starts."""

import dataclasses
import pathlib
import re
import shlex
import subprocess
import sys

import pytest
import running

import flags
import main
from segan_tf import config

pytestmark = pytest.mark.any_edition

FIELDS = {field.name: field for field in dataclasses.fields(config.Config)}
OURS = {flag.name: flag for flag in flags.FLAGS.flags_by_module_dict()["flags"]}
FLAG_TYPES = {bool: "bool", int: "int", float: "float", str: "string"}
CHOICES = {
    "segmentor": (
        "segan",
        "efficientnet_lite0",
        "efficientnet_lite1",
        "efficientnet_lite2",
    ),
    "encoder_weights": ("imagenet", "none"),
    "optimizer": ("adam", "lamb"),
    "schedule": ("staircase", "cosine"),
    "augment": ("basic", "strong"),
    "cache": ("memory", "disk", "none"),
    "precision": ("float32", "mixed_bfloat16"),
    "split": ("train", "validation", "test", "all"),
    "label_kind": ("multiclass", "multilabel"),
    "flip": ("auto", "none", "horizontal", "both"),
    "critic": ("segan",),
    "critic_form": ("stacked", "shared", "per_label"),
    "overlays": ("none", "jpeg", "png"),
    "runtime": ("auto", "keras", "int8"),
}
MINIMUMS = {
    name: field.metadata["minimum"]
    for name, field in FIELDS.items()
    if field.metadata["minimum"] is not None
}


def test_each_setting_has_a_flag_and_only_the_mode_is_a_flag_besides():
    assert set(OURS) == {*FIELDS, "mode", *config.RENAMED_SETTINGS}


@pytest.mark.parametrize("name", FIELDS)
def test_flag_has_the_default_and_type_of_its_setting(name):
    kind, default = FIELDS[name].type, FIELDS[name].default
    if isinstance(default, tuple):
        assert OURS[name].default == list(default)
        expected = "comma separated list of strings"
        if FIELDS[name].metadata["is_repeated"]:
            expected = "multi string"
        assert OURS[name].flag_type() == expected
        return
    assert OURS[name].default == default
    (kind,) = {kind, *getattr(kind, "__args__", ())} & set(FLAG_TYPES)
    expected = "string enum" if name in CHOICES else FLAG_TYPES[kind]
    assert OURS[name].flag_type() == expected


def test_flag_offers_the_choices_of_its_setting_and_their_old_names():
    offered = {
        name: tuple(flag.parser.enum_values)
        for name, flag in OURS.items()
        if flag.flag_type() == "string enum"
    }
    old = {name: tuple(v) for name, v in config.RENAMED_VALUES.items()}
    assert offered == {
        "mode": (
            "check",
            "convert",
            "train",
            "calibrate",
            "evaluate",
            "predict",
            "export",
        ),
        **{name: (*CHOICES[name], *old.get(name, ())) for name in CHOICES},
    }


@pytest.mark.parametrize(("name", "minimum"), MINIMUMS.items())
def test_number_below_its_minimum_is_rejected_when_parsed(name, minimum):
    assert OURS[name].parser.parse(str(minimum)) == minimum
    with pytest.raises(ValueError, match=f"{minimum - 1}.* is not"):
        OURS[name].parser.parse(str(minimum - 1))


def test_every_flag_has_help_and_is_in_one_section():
    grouped = [name for names in flags.GROUPS.values() for name in names]
    assert sorted([*grouped, *config.RENAMED_SETTINGS]) == sorted(OURS)
    assert not [name for name, flag in OURS.items() if len(flag.help) < 15]


def test_help_lists_every_flag_below_its_section():
    found, group = {}, ""
    for line in flags.help_text().splitlines():
        assert len(line) <= 80
        if match := re.fullmatch(r"  --(?:\[no\])?(\w+)", line):
            found[group].append(match[1])
        elif line in flags.GROUPS:
            group = line
            found[group] = []
    assert found == {
        group: list(names) for group, names in flags.GROUPS.items()
    }


def test_help_shows_defaults_modes_and_how_to_switch_off():
    text = flags.help_text()
    assert "--image_size\n      Side of the segmentor's input in" in text
    assert "(default 128)" in text
    assert "none,float16,dynamic,int8)" in text
    assert "--[no]resume\n" in text
    assert "(default true)" in text
    assert "default None" not in text
    assert "--[no]tta\n      evaluate, predict: Test-time augmentation" in text


@pytest.fixture(scope="module")
def no_tensorflow(tmp_path_factory):
    """Returns a folder of packages that tell when they are imported."""
    folder = tmp_path_factory.mktemp("no_tensorflow")
    for name in ("tensorflow", "keras"):
        (folder / f"{name}.py").write_text(f"raise RuntimeError('{name}!')")
    return str(folder)


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_needs_no_tensorflow(no_tensorflow, flag):
    result = running.run_program(
        "--mode=train", flag, python_path=no_tensorflow
    )
    assert (result.status, result.err) == (0, "")
    assert result.out == flags.help_text() + "\n"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "--mode is missing; give one of check, convert, train, "),
        (
            ["--mode=trian"],
            "--mode=trian: value should be one of <check|conv",
        ),
        (["--moed=train"], "Unknown command line flag 'moed'. Did you mean: "),
        (["--mode=train", "images"], "'images' is not a flag; give --name="),
        (["--batch_size=0"], "--batch_size=0: 0 is not a positive integer"),
        (["--epochs=ten"], "--epochs=ten: invalid literal for int()"),
        (["--mode=predict"], "--input is missing; give an image or a folder"),
        (["--mode=export", "--quantizations=int4"], "(int4) must be some of"),
        (["--calibration_images=99"], "--calibration_images=99: 99 is not"),
        (["--flagfile=nowhere"], "Unable to open flagfile: "),
        (["--mode=check", "--tta"], "--tta has no effect with --mode=check"),
        *(
            ([f"--mode={mode}", "--image_size=100"], "use 96 or 112.")
            for mode in config.MODES
        ),
    ],
)
def test_mistake_is_one_line_before_tensorflow(no_tensorflow, given, message):
    result = running.run_program(*given, python_path=no_tensorflow)
    (line,) = result.err.splitlines()
    assert line.startswith("error: ")
    assert message in line
    assert (result.status, result.out) == (1, "")


def test_import_of_tensorflow_would_be_noticed(no_tensorflow, tmp_path):
    result = running.run_program(
        "--mode=predict",
        "--runtime=keras",
        f"--input={__file__}",
        f"--output_dir={tmp_path}",
        python_path=no_tensorflow,
    )
    assert "RuntimeError: tensorflow!" in result.err


def test_missing_package_is_one_line_with_the_remedy():
    # -S leaves out site-packages, and with it absl.
    done = subprocess.run(
        [sys.executable, "-S", running.ROOT / "main.py", "--help"],
        env={},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "error: the package absl is missing; install the requirements first: "
        "python -m pip install -r requirements.txt\n"
    )


def test_package_that_only_a_mode_needs_is_missed_in_one_line(tmp_path):
    (tmp_path / "PIL.py").write_text("raise ModuleNotFoundError(name='PIL')")
    result = running.run_program(
        "--mode=check", "--data_dir=nowhere", python_path=str(tmp_path)
    )
    assert (result.status, result.err.count("\n")) == (1, 1)
    assert result.err.startswith("error: the package PIL is missing; install ")


def test_missing_module_of_the_project_is_reported_as_a_bug(monkeypatch):
    monkeypatch.setitem(sys.modules, "segan_tf.datasets.loading", None)
    monkeypatch.delitem(vars(main.segan_tf), "check", raising=False)
    error = running.error_of("--mode=check")
    assert "this is a bug of segan-tf (ModuleNotFoundError: " in error
    log = re.search(r"\S+\.log", error)[0]
    with open(log, encoding="utf-8") as file:
        assert "segan_tf.datasets.loading" in file.read()


def test_flagfile_gives_flags_and_a_later_flag_overrides_it(tmp_path):
    flagfile = tmp_path / "run.flags"
    flagfile.write_text(
        "--mode=train\n# a comment\n// another\n--image_size=100\n"
    )
    given = f"--flagfile={flagfile}"
    assert "--image_size (100)" in running.error_of(given)
    assert "--image_size (40)" in running.error_of(given, "--image_size=40")
    assert "--image_size (100)" in running.error_of("--image_size=40", given)


def test_flags_left_out_are_the_defaults(seen):
    assert running.run("--mode=train").status == 0
    assert running.run("--mode=train", "--noresume", "--width=8").status == 0
    assert seen == [config.Config(), config.Config(resume=False, width=8)]
    assert [c.given for c in seen] == [frozenset(), {"resume", "width"}]


@pytest.mark.parametrize(("flag", "tta"), [("flips", True), ("noflips", False)])
def test_old_name_of_a_flag_still_works_and_is_noted(seen, flag, tta):
    result = running.run("--mode=predict", f"--{flag}")
    assert result.out == "note: --flips is now --tta\n"
    assert (seen[0].tta, seen[0].given) == (tta, {"tta"})


@pytest.mark.parametrize(
    ("old", "new"), [("exclusive", "multiclass"), ("overlapping", "multilabel")]
)
def test_old_value_of_a_flag_still_works_and_is_noted(seen, old, new):
    result = running.run("--mode=check", f"--label_kind={old}")
    assert result.out == f"note: --label_kind={old} is now --label_kind={new}\n"
    assert seen[0].label_kind == new


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            "--mode=check --tta",
            "--tta has no effect with --mode=check, only with evaluate or "
            "predict; leave it out.",
        ),
        (
            "--mode=check --flips",
            "--tta has no effect with --mode=check, only with evaluate or "
            "predict; leave it out.",
        ),
        (
            "--mode=evaluate --noresume",
            "--resume has no effect with --mode=evaluate, only with train or "
            "predict; leave it out.",
        ),
        (
            "--mode=predict --data_dir=isic",
            "--data_dir has no effect with --mode=predict, only with check or "
            "convert or train or calibrate or evaluate or export; leave it "
            "out.",
        ),
        (
            "--mode=export --output_dir=out",
            "--output_dir has no effect with --mode=export, only with convert "
            "or predict; leave it out.",
        ),
        (
            "--mode=train --split=all",
            "--split has no effect with --mode=train, only with evaluate or "
            "export; leave it out.",
        ),
        (
            "--mode=train --schedule=cosine --decay_epochs=5",
            "--decay_epochs has no effect with --schedule=cosine; leave one "
            "out.",
        ),
        (
            "--mode=train --schedule=cosine --decay_rate=0.1",
            "--decay_rate has no effect with --schedule=cosine; leave one out.",
        ),
        *(
            (
                f"--mode=train --noadversarial --{flag}",
                f"--{flag.partition('=')[0]} has no effect with "
                "--noadversarial; leave one out.",
            )
            for flag in (
                "critic_clip=1",
                "critic_width=8",
                "critic_form=shared",
                "l1_weight=2",
            )
        ),
        (
            "--mode=check --data_dir=isic --num_drawn=8",
            "--num_drawn has no effect with --data_dir=isic; leave one out.",
        ),
        (
            "--mode=export --data_dir=isic --num_drawn=8",
            "--num_drawn has no effect with --data_dir=isic; leave one out.",
        ),
        (
            "--mode=train --encoder_weights=none",
            "--encoder_weights has no effect with --segmentor=segan; leave it "
            "out.",
        ),
        (
            "--mode=train --segmentor=efficientnet_lite0 --start_from=run "
            "--encoder_weights=none",
            "--encoder_weights has no effect with --start_from=run; leave one "
            "out.",
        ),
        (
            "--mode=train --label_weights=2",
            "--label_weights has no effect with one label; leave it out.",
        ),
        (
            "--mode=train --num_labels=2 --label_weights=1,2",
            "--label_weights has no effect with --critic_form=stacked alone; "
            "give --dice_weight or --cross_entropy_weight too, or another "
            "--critic_form.",
        ),
        (
            "--mode=export --calibration_images=300 "
            "--quantizations=none,float16",
            "--calibration_images has no effect without int8 in "
            "--quantizations (none,float16); leave it out.",
        ),
    ],
)
def test_flag_without_effect_is_rejected_by_name(seen, given, message):
    assert running.error_of(*shlex.split(given)) == f"error: {message}"
    assert seen == []


def test_export_takes_no_model_but_the_released_one():
    error = running.error_of("--mode=export", "--model=nonsense.tflite")
    assert error == (
        "error: --model (nonsense.tflite) can only be pretrained, "
        "or pretrained-1 or pretrained-2, in --mode=export; give a run with "
        "--model_dir."
    )


@pytest.mark.parametrize(
    "given",
    [
        "--mode=train --num_labels=2 --label_weights=1,2 --dice_weight=1",
        "--mode=train --num_labels=2 --label_weights=1,2 --critic_form=shared",
        "--mode=train --noadversarial --width=2 --dice_weight=1",
        "--mode=train --num_drawn=12 --noresume",
        "--mode=check --model_dir=run --num_labels=3 --label_kind=multilabel",
        "--mode=check --data_dir=d --test_list=t --groups=g",
        "--mode=evaluate --model_dir=run --data_dir=d --split=all --tta",
        "--mode=predict --model_dir=run --input=i --output_dir=o --width=4",
        "--mode=export --model=pretrained --num_drawn=8 --quantizations=none",
        "--mode=export --model_dir=run --export_dir=e --calibration_images=100",
    ],
)
def test_flag_with_an_effect_is_accepted(seen, given):
    result = running.run(*shlex.split(given))
    assert (result.status, result.err) == (0, "")
    assert len(seen) == 1


def test_help_names_the_installed_command(monkeypatch):
    assert flags.help_text().startswith("usage: python main.py --mode=MODE")
    command = str(pathlib.Path("bin") / "segan-tf")
    monkeypatch.setattr(sys, "argv", [command, "--help"])
    assert flags.help_text().startswith("usage: segan-tf --mode=MODE")


EMPTY_FLAGS = [
    name
    for name, field in FIELDS.items()
    if name not in CHOICES and isinstance(field.default, str | tuple)
]


@pytest.mark.parametrize("value", ["", "  "])
@pytest.mark.parametrize("name", EMPTY_FLAGS)
def test_flag_without_a_value_is_an_error(name, value, tmp_path):
    mode = FIELDS[name].metadata["modes"][0]
    result = running.run(f"--mode={mode}", f"--{name}={value}")
    assert result.status == 1
    assert result.err.startswith(f"error: --{name} is given without a value")
    assert result.err.count("\n") == 1


def test_list_with_an_empty_part_is_an_error():
    result = running.run("--mode=export", "--quantizations=int8,,float32")
    assert result.status == 1
    assert "error: --quantizations is given without a value" in result.err


def test_flagfile_without_a_name_is_an_error(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = running.run_program("--mode=check", "--flagfile=")
    assert result.status == 1
    assert "--flagfile" in result.err
    assert not list(tmp_path.iterdir())
