"""Tests of the flags: one per Config field, refused before TensorFlow."""

import dataclasses
import re

import pytest
import running

import flags
import main
from segan_tf import config

FIELDS = {field.name: field for field in dataclasses.fields(config.Config)}
OURS = {flag.name: flag for flag in flags.FLAGS.flags_by_module_dict()["flags"]}
FLAG_TYPES = {bool: "bool", int: "int", float: "float", str: "string"}
CHOICES = {
    "mode": config.MODES,
    "segmentor": config.SEGMENTORS,
    "encoder_weights": config.ENCODER_WEIGHTS,
    "optimizer": config.OPTIMIZERS,
    "schedule": config.SCHEDULES,
    "augment": config.AUGMENTATIONS,
    "cache": config.CACHES,
    "precision": config.PRECISIONS,
    "split": config.SPLITS,
    "label_kind": config.LABEL_KINDS,
    "critic_form": config.CRITIC_FORMS,
}
LISTS = {"label_weights"}


def test_each_field_has_a_flag_and_only_the_mode_is_a_flag_besides():
    assert set(OURS) == {*FIELDS, "mode"}


@pytest.mark.parametrize("name", FIELDS)
def test_a_flag_has_its_fields_default_and_type(name):
    kind, default = FIELDS[name].type, FIELDS[name].default
    if isinstance(default, tuple):
        assert OURS[name].default == list(default)
        assert OURS[name].flag_type() == "comma separated list of strings"
        return
    assert OURS[name].default == default
    (kind,) = {kind, *getattr(kind, "__args__", ())} & set(FLAG_TYPES)
    expected = "string enum" if name in CHOICES else FLAG_TYPES[kind]
    assert OURS[name].flag_type() == expected


def test_a_choice_offers_what_the_config_takes():
    offered = {
        name: tuple(flag.parser.enum_values)
        for name, flag in OURS.items()
        if flag.flag_type() == "string enum"
    }
    assert offered == CHOICES


@pytest.mark.parametrize(("name", "least"), config.MINIMUM.items())
def test_a_number_below_its_least_is_refused_when_parsed(name, least):
    assert OURS[name].parser.parse(str(least)) == least
    with pytest.raises(ValueError, match=f"{least - 1}.* is not"):
        OURS[name].parser.parse(str(least - 1))


def test_every_flag_has_help_and_stands_in_one_group():
    grouped = [name for names in flags.GROUPS.values() for name in names]
    assert sorted(grouped) == sorted(OURS)
    assert not [name for name, flag in OURS.items() if len(flag.help) < 15]


def test_the_help_lists_every_flag_below_its_group():
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


def test_the_help_shows_defaults_and_how_to_say_no():
    text = flags.help_text()
    assert "--image_size\n      Side of the segmentor's input in" in text
    assert "(default 128)" in text
    assert "none,float16,dynamic,int8)" in text
    assert "--[no]resume\n" in text
    assert "(default true)" in text
    assert "default None" not in text


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
    ("given", "said"),
    [
        ([], "--mode is missing; give one of check, train, evaluate, predict"),
        (["--mode=trian"], "--mode=trian: value should be one of <check|train"),
        (["--moed=train"], "Unknown command line flag 'moed'. Did you mean: "),
        (["--mode=train", "images"], "'images' is not a flag; flags are"),
        (["--batch_size=0"], "--batch_size=0: 0 is not a positive integer"),
        (["--epochs=ten"], "--epochs=ten: invalid literal for int()"),
        (["--mode=predict"], "--input is missing; give an image or a folder"),
        (["--mode=export", "--quantizations=int4"], "(int4) must be some of"),
        (["--calibration_images=99"], "--calibration_images=99: 99 is not"),
        (["--flagfile=nowhere"], "Unable to open flagfile: "),
        *(
            ([f"--mode={mode}", "--image_size=100"], "use 96 or 112.")
            for mode in config.MODES
        ),
    ],
)
def test_a_mistake_is_one_line_before_tensorflow(no_tensorflow, given, said):
    result = running.run_program(*given, python_path=no_tensorflow)
    (line,) = result.err.splitlines()
    assert line.startswith("error: ")
    assert said in line
    assert (result.status, result.out) == (1, "")


def test_an_import_of_tensorflow_would_be_seen(no_tensorflow, tmp_path):
    result = running.run_program(
        "--mode=predict",
        f"--input={__file__}",
        f"--model_dir={tmp_path}",
        python_path=no_tensorflow,
    )
    assert "RuntimeError: tensorflow!" in result.err


def test_a_flagfile_gives_flags_and_the_command_overrules_it(tmp_path):
    flagfile = tmp_path / "run.flags"
    flagfile.write_text("--mode=train\n# a comment\n--image_size=100\n")
    given = f"--flagfile={flagfile}"
    assert "--image_size (100)" in running.error_of(given)
    assert "--image_size (40)" in running.error_of(given, "--image_size=40")


def test_flags_left_out_are_the_configs_defaults(monkeypatch):
    seen = []
    monkeypatch.setitem(main._MODES, "train", lambda run: seen.append(run) or 0)
    assert running.run("--mode=train").status == 0
    assert running.run("--mode=train", "--noresume", "--width=8").status == 0
    assert seen == [config.Config(), config.Config(resume=False, width=8)]
