"""Tests of the command line of the pipeline."""

import logging
import shlex
import subprocess
import sys

import pytest
import running

from segan_tf.errors import UserError

pytestmark = pytest.mark.beam
pytest.importorskip("apache_beam", reason="scripts/test --all installs it")
from PIL import Image  # noqa: E402

from segan_tf.bulk import command  # noqa: E402


@pytest.fixture
def images(tmp_path):
    """Returns a folder with an image."""
    folder = tmp_path / "images"
    folder.mkdir()
    Image.new("RGB", (32, 32)).save(folder / "a.png")
    return folder


def error_of(*flags):
    with pytest.raises(UserError) as found:
        command.run(flags)
    text = str(found.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ([], "give either --input, a pattern of paths, or --input_list"),
        (["--input=IMAGES", "--input_list=x"], "give either --input"),
        (["--input=IMAGES", "--inptu=x"], "'--inptu=x' is no flag"),
        (["--input=IMAGES/*.jpg"], "IMAGES/*.jpg) matches no file; give"),
        (["--input=no://b/a.png"], "--input (no://b/a.png) cannot be searched"),
        (["--input_list=IMAGES/none"], "none cannot be read"),
        (["--input_list=IMAGES/a.png"], "--input_list (IMAGES/a.png) is not"),
        (["--input=IMAGES", "--model=x.tflite"], "--model (x.tflite) must be"),
        (["--input=IMAGES", "--runtime=keras"], "--model (pretrained) must be"),
        (["--input=IMAGES", "--output_dir=IMAGES"], "folder of the images"),
        (["--input=IMAGES", "--output_dir=o*"], "holds one of *?["),
        (["--input=IMAGES", "--output_dir=/proc/x"], "cannot be written"),
        (["--input=IMAGES", "--output_dir="], "--output_dir is given without"),
        (["--input=IMAGES", "--input="], "--input is given without a value"),
        (["--input=IMAGES", "--num_shards=0"], "--num_shards (0) must be"),
        (["--input=IMAGES", "--overlays=gif"], "'gif' (choose from"),
        (
            ["--input=IMAGES", "--runtime=int8", "--style=x"],
            "x' is no style of the model",
        ),
        (["--input=IMAGES", "--runner=Fast"], "Unexpected pipeline runner"),
        (["--input=IMAGES", "--runner=DataflowRunner"], "option: project"),
    ],
)
def test_mistake_is_one_line(images, flags, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    flags = [flag.replace("IMAGES", str(images)) for flag in flags]
    text = error_of(*flags)
    assert words.replace("IMAGES", str(images)) in text


def test_folder_with_other_predictions_is_refused(images, tmp_path):
    output = f"--output_dir={tmp_path / 'out'}"
    flags = (f"--input={images}", output, "--direct_num_workers=1")
    assert command.run([*flags]) == 0
    assert "with the tta False, not True" in error_of(*flags, "--tta")


def test_failure_of_a_step_is_one_line(images, tmp_path):
    (tmp_path / "out" / "a_label_map.png").mkdir(parents=True)
    text = error_of(
        f"--input={images}",
        f"--output_dir={tmp_path / 'out'}",
        "--direct_num_workers=1",
    )
    assert text.startswith("the pipeline stopped (")
    assert "Is a directory" in text
    # Nothing half written is left.
    assert not list((tmp_path / "out").glob(".segan-tf-*"))


def test_local_runner_uses_all_cores_and_needs_no_download():
    options = command.make_options([]).get_all_options()
    assert options["direct_num_workers"] == 0
    assert options["direct_running_mode"] == "multi_processing"
    assert options["allow_unsafe_triggers"]  # keeps Beam from its other runner
    options = command.make_options(["--direct_num_workers=1"])
    assert options.get_all_options()["direct_running_mode"] == "in_memory"


def test_flags_of_other_runners_are_passed_on():
    flags = ["--runner=FlinkRunner", "--flink_master=a:1", "--fasterCopy=true"]
    options = command.make_options(flags).get_all_options()
    assert options["runner"] == "FlinkRunner"
    assert options["flink_master"] == "a:1"
    assert not options["allow_unsafe_triggers"]


@pytest.mark.parametrize(
    ("flags", "level"),
    [([], logging.ERROR), (["--runner=FlinkRunner"], logging.INFO)],
)
def test_reports_of_other_runners_are_shown(flags, level):
    before = logging.getLogger().level
    try:
        command.set_log_level(command.make_options(flags))
        assert logging.getLogger().level == level
    finally:
        logging.getLogger().setLevel(before)


def documented_commands():
    """Lists the commands of the guide."""
    text = (running.ROOT / "docs" / "beam.md").read_text()
    lines = text.replace("\\\n", " ").splitlines()
    start = "    python -m segan_tf.bulk "
    return [
        shlex.split(line.removeprefix(start))
        for line in lines
        if line.startswith(start)
    ]


def test_commands_of_the_guide_have_flags_that_exist():
    commands = documented_commands()
    assert len(commands) == 5
    for flags in commands:
        config, rest = command.parse(flags)
        assert config.output_dir != "predictions"
        options = command.make_options(rest)
        known = options.get_all_options()
        for flag in rest:
            name = flag.removeprefix("--").partition("=")[0]
            assert name in known or f"{name}s" in known, flag


def test_help_lists_the_settings(capsys):
    with pytest.raises(SystemExit):
        command.run(["--help"])
    out = capsys.readouterr().out
    assert "--input_list" in out
    assert "--[no-]skip_bad_images" in out or "--skip_bad_images" in out


def test_missing_beam_names_the_extra(tmp_path):
    program = (
        "import sys\n"
        "sys.modules['apache_beam'] = None\n"
        "from segan_tf.bulk import __main__ as bulk\n"
        "from segan_tf import failures\n"
        "sys.exit(failures.run(bulk.run))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=running.ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "error: python -m segan_tf.bulk needs the package apache-beam" in (
        done.stderr
    )
    assert "'segan-tf[beam]'" in done.stderr
