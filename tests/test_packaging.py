"""Tests that the package is whole and takes no other's name."""

import pathlib
import runpy

import pytest
import setuptools
from packaging import requirements

import segan_tf

ROOT = pathlib.Path(__file__).parent.parent


@pytest.fixture(scope="module")
def said_to_setup():
    """Returns what setup.py says to setuptools."""
    said = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(setuptools, "setup", lambda **values: said.update(values))
        runpy.run_path(str(ROOT / "setup.py"))
    return said


def test_every_folder_of_code_is_a_package_of_the_wheel(said_to_setup):
    folders = {path.parent for path in (ROOT / "segan_tf").rglob("*.py")}
    names = {".".join(folder.relative_to(ROOT).parts) for folder in folders}
    assert sorted(said_to_setup["packages"]) == sorted(
        {*names, "segan_tf.export"}
    )
    for folder in (*folders, ROOT / "export"):
        assert (folder / "__init__.py").exists()


def test_the_wheel_has_one_name_at_the_top(said_to_setup):
    assert {name.split(".")[0] for name in said_to_setup["packages"]} == {
        "segan_tf"
    }
    assert "py_modules" not in said_to_setup
    assert said_to_setup["package_dir"] == {"segan_tf.export": "export"}
    # In the sources nothing is in the way of what the wheel puts there.
    assert not (ROOT / "segan_tf" / "export").exists()


def test_the_wheel_holds_the_page(said_to_setup):
    (pattern,) = said_to_setup["package_data"]["segan_tf.export"]
    covered = set((ROOT / "export").glob(pattern))
    assert ROOT / "export" / "web" / "index.html" in covered
    assert covered == set((ROOT / "export" / "web").rglob("*"))


def test_the_wheel_holds_the_released_model(said_to_setup):
    folder = ROOT / "segan_tf" / "pretrained"
    patterns = said_to_setup["package_data"]["segan_tf.pretrained"]
    covered = {path for pattern in patterns for path in folder.glob(pattern)}
    assert {path.name for path in covered} == {
        "release.json",
        "weights.npz",
        "segan_float16.tflite",
        "segan_int8.tflite",
    }
    assert sum(path.stat().st_size for path in covered) < 15e6


def test_setup_and_library_say_the_same_version(said_to_setup):
    assert said_to_setup["version"] == segan_tf.__version__


@pytest.mark.parametrize(
    ("file", "extra"),
    [("requirements.txt", "cpu"), ("requirements-addons.txt", "addons")],
)
def test_what_the_package_requires_is_pinned_within_its_range(
    said_to_setup, file, extra
):
    pinned = {}
    for line in (ROOT / file).read_text().splitlines():
        if not line.startswith("#"):
            name, version = line.split("==")
            pinned[name] = version
    required = [
        *said_to_setup["install_requires"],
        *said_to_setup["extras_require"][extra],
    ]
    for wanted in map(requirements.Requirement, required):
        # tensorflow-cpu is tensorflow without the GPU code.
        name = wanted.name if wanted.name in pinned else f"{wanted.name}-cpu"
        assert pinned[name] in wanted.specifier, wanted


def test_the_edition_with_addons_is_of_keras_2(said_to_setup):
    extra = said_to_setup["extras_require"]["addons"]
    wanted = {w.name: w for w in map(requirements.Requirement, extra)}
    assert "2.15.0" in wanted["keras"].specifier
    assert "3.0.0" not in wanted["keras"].specifier
    # On a Python that Addons do not know pip refuses; it would otherwise
    # install the newest packages under the extra's name.
    assert not any(w.marker for w in wanted.values())
