"""Sets TensorFlow up, and trains and exports once for each test process."""

import gc
import os

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")


# The files that take longest, a minute or two each.
_FIRST = (
    "test_two_workers.py",
    "test_style_gate.py",
    "test_main.py",
    "test_export_in_a_style.py",
    "test_resume.py",
)


def pytest_collection_modifyitems(items):
    """Begins with the longest files, so that no process ends alone with one."""
    items.sort(key=lambda item: item.path.name not in _FIRST)


def pytest_collection_finish():
    """Keeps the garbage collector away from what lives until the end.

    The imported modules are a quarter of a million objects, and each graph that
    is traced makes many more: with Python's thresholds, the search for garbage
    among them takes a fifth of the time of an export.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """Trains once; tests must not change the run.

    Returns:
      The model_dir and what training printed.
    """
    import running

    model_dir = str(tmp_path_factory.mktemp("trained"))
    return model_dir, running.run(
        "--mode=train", f"--model_dir={model_dir}", *running.TINY
    )


@pytest.fixture(scope="session")
def exported(trained, tmp_path_factory):
    """Exports the trained run once; tests must not change the models.

    Returns:
      The export_dir and what the export printed.
    """
    import running

    export_dir = str(tmp_path_factory.mktemp("exported"))
    return export_dir, running.run(
        "--mode=export",
        f"--model_dir={trained[0]}",
        f"--export_dir={export_dir}",
        "--export_version=2",
        # int8 needs a hundred training images.
        "--quantizations=none,float16,dynamic",
    )


@pytest.fixture(scope="session")
def model_dir(trained):
    """Returns the folder of the trained run."""
    return trained[0]


@pytest.fixture(scope="session")
def export_dir(exported):
    """Returns the folder of its exported models."""
    return exported[0]


@pytest.fixture
def unmeasured(monkeypatch):
    """Leaves out time and memory of exports, which take half their seconds."""
    from export.parity import benchmark

    measured = {"latency_ms": 1.0, "peak_memory_mb": 1.0}
    monkeypatch.setattr(benchmark, "measure", lambda *_, **__: measured)


@pytest.fixture
def seen(monkeypatch):
    """Replaces every mode; returns the list of configurations it was given."""
    import main

    configs = []
    for mode in main.RUN:
        monkeypatch.setitem(main.RUN, mode, lambda c: configs.append(c) or 0)
    return configs
