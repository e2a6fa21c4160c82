"""Tests that every file imports only what lies on its floor or below."""

import ast
import graphlib
import importlib.util
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parent.parent
# From bottom to top; the longest name that fits decides.
FLOORS = {
    "segan_tf": 4,  # offers the released model
    "segan_tf.config": 0,
    "segan_tf.editions": 0,
    "segan_tf.files": 0,
    "segan_tf.labels": 0,
    "segan_tf.progress": 0,
    "segan_tf.quiet": 0,
    "segan_tf.data": 1,
    "segan_tf.models": 2,
    "segan_tf.pretrained": 3,
    "segan_tf.training": 3,
    "segan_tf.evaluation": 4,
    "export": 5,
    "flags": 5,
    "main": 6,
}
# What the exported models are built from, and no more of the library.
EXPORT_MAY_IMPORT = (
    "export",
    "segan_tf.models",
    "segan_tf.data.preprocessing",
    "segan_tf.config",
    "segan_tf.files",
    "segan_tf.labels",
    "segan_tf.quiet",
)
FLAGS_MAY_IMPORT = ("absl", "segan_tf.config")


def _module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


MODULES = {
    _module_name(path): path
    for pattern in ("main.py", "flags.py", "export/**/*.py", "segan_tf/**/*.py")
    for path in sorted(ROOT.glob(pattern))
}


def imported_modules(name, source):
    """Lists the modules that a module imports, at its top or anywhere else."""
    is_package = name in MODULES and MODULES[name].name == "__init__.py"
    package = name if is_package else name.rpartition(".")[0]
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            relative = "." * node.level + (node.module or "")
            base = importlib.util.resolve_name(relative, package)
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                found.add(inner if inner in MODULES else base)
    return found


def is_within(name, packages):
    """Tells whether a module is one of these, or inside one."""
    return any(name == p or name.startswith(f"{p}.") for p in packages)


def floor_of(name):
    """Finds a module's floor; None for what is not of this project."""
    fitting = [known for known in FLOORS if is_within(name, [known])]
    return FLOORS[max(fitting, key=len)] if fitting else None


def breaches(name, source):
    """Says of each import that is not allowed what is wrong with it."""
    for other in sorted(imported_modules(name, source)):
        floor = floor_of(other)
        if floor is not None and floor > floor_of(name):
            yield f"{name} imports {other} from a floor above"
        if is_within(name, ["segan_tf"]) and is_within(other, ["absl"]):
            yield f"{name} imports {other}: libraries take a Config"
        if is_within(name, ["export"]) and floor is not None:
            if not is_within(other, EXPORT_MAY_IMPORT):
                yield f"{name} imports {other}, which is not for export"
        if name == "flags" and not is_within(other, FLAGS_MAY_IMPORT):
            yield f"{name} imports {other}, which is not for flags"


def test_every_package_has_its_floor():
    packages = {
        ".".join(name.split(".")[:2])
        for name in MODULES
        if name.startswith("segan_tf.")
    }
    assert packages == {name for name in FLOORS if "." in name}


@pytest.mark.parametrize("name", sorted(MODULES))
def test_a_module_imports_nothing_from_above(name):
    source = MODULES[name].read_text(encoding="utf-8")
    assert not list(breaches(name, source))


def test_no_modules_import_each_other_in_a_circle():
    graph = {
        name: imported_modules(name, path.read_text(encoding="utf-8"))
        & set(MODULES)
        for name, path in MODULES.items()
    }
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError


@pytest.mark.parametrize(
    "name, source, said",
    [
        ("segan_tf.data.pairs", "from segan_tf import models", "models from"),
        ("segan_tf.models.critic", "import segan_tf.training.steps", "steps"),
        ("segan_tf.config", "def f():\n  import flags", "flags from a floor"),
        ("segan_tf.files", "from absl import flags", "libraries take a Config"),
        ("export.parity", "from segan_tf.data import images", "data.images"),
        ("export.parity", "from segan_tf.training import loop", "loop, which"),
        ("flags", "import tensorflow as tf", "not for flags"),
    ],
)
def test_a_breach_is_seen(name, source, said):
    (line,) = breaches(name, source)
    assert said in line


def test_relative_and_allowed_imports_are_no_breach():
    source = "from . import staging\nfrom segan_tf.data import preprocessing"
    assert not list(breaches("export.parity", source))
    assert imported_modules("export.parity", source) == {
        "export.staging",
        "segan_tf.data.preprocessing",
    }
