"""Tests of the source distribution, the wheel and what it installs."""

import os
import pathlib
import runpy
import shutil
import subprocess
import sys

import pytest
import setuptools
from packaging import requirements

import flags
import segan_tf
from segan_tf.config import RELEASES

pytestmark = pytest.mark.any_edition

VERSION = segan_tf.__version__
EXPORTING = "segan_tf.exporting"
ROOT = pathlib.Path(__file__).parent.parent


@pytest.fixture(scope="module")
def setup_arguments():
    """Returns the arguments that setup.py gives to setuptools.setup."""
    arguments = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        patch.setattr(setuptools, "setup", arguments.update)
        runpy.run_path(str(ROOT / "setup.py"))
    return arguments


@pytest.fixture(scope="module")
def sdist(tmp_path_factory):
    """Builds the source distribution; returns its unpacked folder."""
    folder = tmp_path_factory.mktemp("sdist")
    copied = folder / "checkout"
    # setuptools writes into the folder that it builds.
    shutil.copytree(
        ROOT,
        copied,
        ignore=shutil.ignore_patterns(".*", "*.egg-info", "runs", "build"),
    )
    for path in (".ci", ".gitignore", ".pre-commit-config.yaml"):
        copy = shutil.copytree if (ROOT / path).is_dir() else shutil.copy
        copy(ROOT / path, copied / path)
    run([sys.executable, "setup.py", "-q", "sdist", "-d", folder], cwd=copied)
    (archive,) = folder.glob("*.tar.gz")
    shutil.unpack_archive(archive, folder / "unpacked")
    (unpacked,) = (folder / "unpacked").iterdir()
    return unpacked


@pytest.fixture(scope="module")
def installed(sdist, tmp_path_factory):
    """Installs a wheel of the source distribution; returns the folder."""
    folder = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]
    offline = ["--no-index", "--no-deps"]
    wheel = [*pip, "wheel", *offline, "--no-build-isolation"]
    run([*wheel, "-w", folder, sdist])
    (path,) = folder.glob("*.whl")
    target = folder / "site"
    run([*pip, "install", *offline, "--target", target, path])
    return target


def run(command, *, cwd=None, path=""):
    """Runs a program; returns what it printed, errors included."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        raise AssertionError(done.stdout)
    return done.stdout


def test_every_folder_of_code_is_a_package_of_the_wheel(setup_arguments):
    names = set()
    for top, name in (("segan_tf", "segan_tf"), ("export", EXPORTING)):
        for path in (ROOT / top).rglob("*.py"):
            inner = path.parent.relative_to(ROOT / top).parts
            names.add(".".join((name, *inner)))
            assert (path.parent / "__init__.py").exists()
    assert sorted(setup_arguments["packages"]) == sorted(names)
    assert setup_arguments["package_dir"] == {
        name: name.replace(EXPORTING, "export").replace(".", "/")
        for name in names
        if name.startswith(EXPORTING)
    }
    # No folder of the sources is where the wheel puts export/.
    assert not (ROOT / "segan_tf" / "exporting").exists()


def test_wheel_has_one_name_at_the_top(installed):
    names = {path.name for path in installed.iterdir()}
    assert names == {"segan_tf", "bin", f"segan_tf-{VERSION}.dist-info"}
    (record,) = installed.glob("*.dist-info/top_level.txt")
    assert record.read_text() == "segan_tf\n"


def test_wheel_holds_every_file_of_the_packages(installed):
    def files_of(folder):
        return {
            path.relative_to(folder).as_posix()
            for path in folder.rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }

    package = installed / "segan_tf"
    program = {"main.py", "flags.py"}
    program |= {f"configs/{name}" for name in files_of(ROOT / "configs")}
    assert files_of(package / "program") == program
    assert files_of(package / "exporting") == files_of(ROOT / "export")
    assert "web/page/index.html" in files_of(package / "exporting")
    assert files_of(package) == {
        *files_of(ROOT / "segan_tf"),
        *(f"exporting/{name}" for name in files_of(ROOT / "export")),
        *(f"program/{name}" for name in program),
    }
    assert "py.typed" in files_of(package)
    newest = RELEASES[-1].removeprefix("pretrained-")
    assert files_of(package / "models" / "pretrained" / newest) == {
        "release.json",
        "weights.npz",
        "decision.json",
        "segan_int8.tflite",
    }
    # Older ones keep what Keras needs.
    assert files_of(package / "models" / "pretrained" / "1") == {
        "release.json",
        "weights.npz",
        "decision.json",
    }


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="no git checkout")
def test_source_distribution_holds_the_whole_project(sdist):
    tracked = run(["git", "-C", ROOT, "ls-files"]).splitlines()
    missing = [name for name in tracked if not (sdist / name).exists()]
    assert missing == []


def test_released_model_is_small(setup_arguments):
    folder = ROOT / "segan_tf" / "models" / "pretrained"
    files = folder.rglob("[0-9]/*")
    assert 5e6 < sum(path.stat().st_size for path in files) < 16e6


def test_installed_command_has_the_flags_of_main(installed, tmp_path):
    command = installed / "bin" / "segan-tf"
    text = run([command, "--help"], cwd=tmp_path, path=installed)
    assert text.startswith("usage: segan-tf --mode=MODE")
    ours = flags.help_text().splitlines()[1:]
    assert text.splitlines()[1:] == ours


def test_installed_command_checks_and_predicts(installed, tmp_path):
    command = installed / "bin" / "segan-tf"
    given = "--mode=check", "--num_drawn=8", "--model_dir=run"
    text = run([command, *given], cwd=tmp_path, path=installed)
    assert text.endswith("training can use these pairs\n")

    folder = "run/drawn_lesions/images"
    given = "--mode=predict", f"--input={folder}", "--output_dir=out"
    text = run([command, *given], cwd=tmp_path, path=installed)

    assert "8 of 8 images have a label map in out\n" in text
    assert (tmp_path / "out" / "drawn_0007_overlay.jpg").exists()


def test_installed_recipe_is_found_by_its_name(installed, tmp_path):
    command = installed / "bin" / "segan-tf"
    given = "--mode=check", "--flagfile=configs/quick.flags", "--num_drawn=8"
    text = run([command, *given], cwd=tmp_path, path=installed)
    assert text.startswith("note: of the flagfile, these have no effect here: ")


def test_installed_export_is_inside_the_package(installed, tmp_path):
    # Every module is imported: one that names a module of the checkout fails.
    code = """
import pkgutil, sys, segan_tf
from segan_tf import exporting
for module in pkgutil.walk_packages(exporting.__path__, "segan_tf.exporting."):
    __import__(module.name)
try:
    segan_tf.export(segan_tf.Config(model_dir="nowhere"))
except segan_tf.UserError as error:
    print(error)
print("export" in sys.modules, segan_tf.__file__)
"""
    printed = run([sys.executable, "-c", code], cwd=tmp_path, path=installed)
    error, found = printed.splitlines()[-2:]
    assert error.startswith("--model_dir (nowhere) holds no trained model")
    assert found == f"False {installed / 'segan_tf' / '__init__.py'}"


def test_command_of_a_checkout_runs_its_main(tmp_path):
    code = "import segan_tf.command; segan_tf.command.run()"
    given = "--mode=check", "--num_drawn=8", "--model_dir=run"
    text = run([sys.executable, "-c", code, *given], cwd=tmp_path, path=ROOT)
    assert text.endswith("training can use these pairs\n")


def test_setup_and_library_have_the_same_version(setup_arguments):
    assert setup_arguments["version"] == segan_tf.__version__


@pytest.mark.parametrize(
    ("file", "extra"),
    [
        ("requirements.txt", "cpu"),
        ("requirements-addons.txt", "addons"),
        ("requirements-beam.txt", "beam"),
    ],
)
def test_requirements_are_pinned_within_their_ranges(
    setup_arguments, file, extra
):
    pinned = {}
    for line in (ROOT / file).read_text().splitlines():
        if not line.startswith("#"):
            name, version = line.split("==")
            pinned[name] = version
    required = [
        *setup_arguments["install_requires"],
        *setup_arguments["extras_require"][extra],
    ]
    for wanted in map(requirements.Requirement, required):
        # tensorflow-cpu is tensorflow without the GPU code.
        name = wanted.name if wanted.name in pinned else f"{wanted.name}-cpu"
        assert pinned[name] in wanted.specifier, wanted


def test_lite_needs_only_what_runs_a_tflite_model(setup_arguments):
    required = [
        *setup_arguments["install_requires"],
        *setup_arguments["extras_require"]["lite"],
    ]
    names = {wanted.name for wanted in map(requirements.Requirement, required)}
    # Besides the model and images: flags, and the bar, which LiteRT needs too.
    assert names == {"ai-edge-litert", "numpy", "pillow", "absl-py", "tqdm"}


def test_addons_extra_takes_keras_2(setup_arguments):
    extra = setup_arguments["extras_require"]["addons"]
    wanted = {w.name: w for w in map(requirements.Requirement, extra)}
    assert "2.15.0" in wanted["keras"].specifier
    assert "3.0.0" not in wanted["keras"].specifier
    # On a newer Python than Addons support, pip fails; with a marker it would
    # install the newest packages under the extra's name.
    assert not any(w.marker for w in wanted.values())
