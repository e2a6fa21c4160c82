"""Tests that every file imports only from its own floor or below."""

import ast
import graphlib
import importlib.util
import pathlib
import sys

import pytest

pytestmark = pytest.mark.any_edition

ROOT = pathlib.Path(__file__).parent.parent
# From bottom to top; the longest matching name decides.
FLOORS = {
    "segan_tf": 8,  # offers the public names
    "segan_tf.environment": 0,
    "segan_tf.errors": 0,
    "segan_tf.files": 0,
    "segan_tf.version": 0,
    "segan_tf.models.critics": 0,
    "segan_tf.models.segmentors": 0,
    "segan_tf.quantizations": 0,
    "segan_tf.checkpoint_files": 1,
    "segan_tf.paths": 1,
    "segan_tf.config_checks": 1,
    "segan_tf.config": 1,
    "segan_tf.console": 1,
    "segan_tf.records": 1,
    "segan_tf.run_lock": 1,
    "segan_tf.run_swap": 2,
    "segan_tf.compat": 2,
    "segan_tf.csv_files": 2,
    "segan_tf.failures": 2,
    "segan_tf.startup": 2,
    "segan_tf.labels": 2,
    "segan_tf.styles": 2,
    "segan_tf.decision": 2,
    "segan_tf.expected_dice": 1,
    "segan_tf.run_dir": 3,
    "segan_tf.imaging": 3,
    "segan_tf.synthetic": 3,
    "segan_tf.metrics": 4,
    "segan_tf.datasets": 4,
    "segan_tf.losses": 4,
    "segan_tf.models": 4,
    "segan_tf.input": 5,
    "segan_tf.inference": 5,
    "segan_tf.bulk": 6,
    "segan_tf.training": 6,
    "segan_tf.evaluation": 6,
    "export": 6,
    "flags": 8,
    "main": 9,
    "segan_tf.serve": 9,  # exports through the public names
    "segan_tf.command": 10,  # starts main
}
# Equal wings: what they share is below them.
WINGS = ("segan_tf.training", "segan_tf.evaluation", "segan_tf.bulk", "export")
# What an edition has in another version, see docs/editions.md.
TENSORFLOW = ("tensorflow", "keras", "tensorflow_addons")
ONE_EDITION = "pytestmark = pytest.mark.any_edition"
# Modules on TensorFlow that have no tests of their own, and who uses them.
TESTED_THROUGH = {
    "export.serving.exif": "export.serving.image_decoding",
    "export.serving.warmup": "export.serving.saved_model",
    "segan_tf.inference.keras_backends": "segan_tf.inference.backends",
    "segan_tf.metrics.overlap": "segan_tf.metrics",
    "segan_tf.startup": "segan_tf",
}
FLAGS_MAY_IMPORT = (*sys.stdlib_module_names, "absl", "segan_tf.config")


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


def without_type_checking(source):
    """Removes imports for type checkers, which cause no cycle."""
    tree = ast.parse(source)
    tree.body = [
        node
        for node in tree.body
        if not (
            isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        )
    ]
    return ast.unparse(tree)


def is_within(name, packages):
    """Returns whether a module is one of these packages or inside one."""
    return any(name == p or name.startswith(f"{p}.") for p in packages)


def floor_of(name):
    """Finds the floor of a module; None outside this project."""
    fitting = [known for known in FLOORS if is_within(name, [known])]
    return FLOORS[max(fitting, key=len)] if fitting else None


def wing_of(name):
    """Finds the wing of a module; None on the floors below."""
    return next((wing for wing in WINGS if is_within(name, [wing])), None)


def breaches(name, source):
    """Describes each import that is not allowed."""
    for other in sorted(imported_modules(name, source)):
        floor = floor_of(other)
        if floor is not None and floor > floor_of(name):
            yield f"{name} imports {other} from a floor above"
        if is_within(name, ["segan_tf"]) and is_within(other, ["absl"]):
            yield f"{name} imports {other}: libraries take a Config"
        wing, others = wing_of(name), wing_of(other)
        if wing and others and wing != others:
            yield f"{name} imports {other} from another wing"
        if name == "flags" and not is_within(other, FLAGS_MAY_IMPORT):
            yield f"{name} imports {other}, which is not for flags"


def test_every_package_has_its_floor():
    packages = {
        ".".join(name.split(".")[:2])
        for name in MODULES
        if name.startswith("segan_tf.")
    }
    assert packages == {name for name in FLOORS if name.count(".") == 1}


@pytest.mark.parametrize("name", sorted(MODULES))
def test_module_imports_nothing_from_above(name):
    source = MODULES[name].read_text(encoding="utf-8")
    assert not list(breaches(name, source))


def test_imports_have_no_cycle():
    graph = {
        name: imported_modules(
            name, without_type_checking(path.read_text(encoding="utf-8"))
        )
        & set(MODULES)
        for name, path in MODULES.items()
    }
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError


def test_every_module_on_tensorflow_has_tests_in_both_editions():
    on_tensorflow = {
        TESTED_THROUGH.get(name, name)
        for name, path in MODULES.items()
        if any(
            is_within(other, TENSORFLOW)
            for other in imported_modules(name, path.read_text("utf-8"))
        )
    }
    tested = set()
    for path in (ROOT / "tests").rglob("test_*.py"):
        source = path.read_text("utf-8")
        if f"\n{ONE_EDITION}\n" not in source:
            tested |= imported_modules(path.stem, source)
    assert sorted(on_tensorflow - tested) == []


@pytest.mark.parametrize(
    ("name", "source", "message"),
    [
        (
            "segan_tf.datasets.pairs",
            "from segan_tf import training",
            "training from",
        ),
        ("segan_tf.models.critic", "import segan_tf.training.loop", "loop"),
        ("segan_tf.config", "def f():\n  import flags", "flags from a floor"),
        ("segan_tf.files", "from absl import flags", "libraries take a Config"),
        (
            "export.parity.gate",
            "from segan_tf.evaluation import report",
            "wing",
        ),
        (
            "segan_tf.evaluation.report",
            "from segan_tf.training import loop",
            "wing",
        ),
        ("flags", "import tensorflow as tf", "not for flags"),
    ],
)
def test_breach_is_found(name, source, message):
    (line,) = breaches(name, source)
    assert message in line


def test_allowed_and_relative_imports_are_no_breach():
    source = (
        "from .. import staging\nfrom segan_tf.imaging import preprocessing"
    )
    assert not list(breaches("export.parity.gate", source))
    assert imported_modules("export.parity.gate", source) == {
        "export.staging",
        "segan_tf.imaging.preprocessing",
    }
