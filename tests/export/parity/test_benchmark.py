"""Tests of measuring an artifact in a process of its own."""

import time

import pytest
import small_models

from export import artifact
from export.parity import benchmark
from export.serving import saved_model
from export.tflite import convert
from segan_tf import labels


@pytest.fixture(scope="module")
def segmentor():
    return small_models.build_segmentor()


def measure(name, path):
    """Measures an artifact with one thread."""
    return benchmark.measure(
        str(path),
        runner=artifact.ARTIFACTS[name].runner.__name__,
        size=small_models.SIZE,
        num_threads=1,
    )


def test_tflite_model_has_a_latency_and_a_peak_memory(segmentor, tmp_path):
    path = convert.export_tflite(
        segmentor,
        str(tmp_path / "model.tflite"),
        quantization="none",
        labels=labels.Labels(),
        version=1,
    )

    found = measure("none", path)

    assert 0 < found["latency_ms"] < 1000
    # Of 32x32 pixels and 8 channels: a few MB, and no TensorFlow in it.
    assert 0 < found["peak_memory_mb"] < 60


def test_saved_model_has_a_latency_and_a_peak_memory(segmentor, tmp_path):
    path = saved_model.export_saved_model(
        segmentor, str(tmp_path), version=1, labels=labels.LESION
    )

    found = measure("saved_model", path)

    assert 0 < found["latency_ms"] < 1000
    assert 0 < found["peak_memory_mb"] < 400


def test_modules_of_the_current_folder_are_not_run(
    segmentor, tmp_path, monkeypatch
):
    path = convert.export_tflite(
        segmentor,
        str(tmp_path / "model.tflite"),
        quantization="none",
        labels=labels.Labels(),
        version=1,
    )
    for name in ("json", "numpy", "runpy", "statistics"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('run')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend("")  # as in an interactive session

    assert measure("none", path)["latency_ms"] > 0


def test_error_holds_the_reason_why_a_file_cannot_be_measured(tmp_path):
    (tmp_path / "model.tflite").write_text("no model")

    with pytest.raises(RuntimeError, match="(?s)model.tflite cannot be.*valid"):
        measure("none", tmp_path / "model.tflite")


def test_latency_is_the_median_after_the_warm_up(monkeypatch):
    # Each run takes one second more than the run before it.
    clock = {"now": 0.0, "runs": 0}

    def run():
        clock["runs"] += 1
        clock["now"] += clock["runs"]

    monkeypatch.setattr(time, "perf_counter", lambda: clock["now"])

    found = benchmark.measure_here(lambda: run)

    assert clock["runs"] == 10 + 50
    # Runs 11 to 60: the median is (35 + 36) / 2 s.
    assert found["latency_ms"] == 35.5 * 1000


def test_peak_memory_includes_memory_that_was_freed():
    def open_model():
        block = bytearray(400_000_000)
        block[::4096] = b"x" * len(block[::4096])
        del block
        return lambda: None

    found = benchmark.measure_here(open_model)

    # Some, if the system takes back idle memory of this process meanwhile.
    assert 350 < found["peak_memory_mb"] < 440


def test_peak_memory_is_none_where_the_system_does_not_tell(monkeypatch):
    monkeypatch.setattr(benchmark, "_STATUS_FILE", "/nowhere")

    found = benchmark.measure_here(lambda: lambda: None)

    assert found["latency_ms"] >= 0
    assert found["peak_memory_mb"] is None
