"""Tests of what an artifact takes, measured in a process of its own."""

import time

import pytest
import small_models

from export.parity import benchmark
from export.serving import saved_model
from export.tflite import convert
from segan_tf import labels


@pytest.fixture(scope="module")
def segmentor():
    return small_models.build_segmentor()


def measure(path, **changes):
    """Measures by the plainest arguments but for the changes."""
    given = {
        "signature": saved_model.PROBABILITIES,
        "size": small_models.SIZE,
        "num_threads": 1,
    }
    return benchmark.measure(str(path), **{**given, **changes})


def test_a_tflite_model_takes_time_and_memory(segmentor, tmp_path):
    path = convert.export_tflite(
        segmentor,
        str(tmp_path / "model.tflite"),
        quantization="none",
        labels=labels.Labels(),
        version=1,
    )

    found = measure(path)

    assert 0 < found["latency_ms"] < 1000
    # Of 32x32 pixels and 8 channels: a few MB, and no TensorFlow in it.
    assert 0 < found["peak_memory_mb"] < 60


def test_a_saved_model_takes_time_and_memory(segmentor, tmp_path):
    path = saved_model.export_saved_model(
        segmentor, str(tmp_path), 1, labels=labels.LESION
    )

    found = measure(path)

    assert 0 < found["latency_ms"] < 1000
    assert 0 < found["peak_memory_mb"] < 400


def test_what_cannot_be_measured_says_why(tmp_path):
    (tmp_path / "model.tflite").write_text("no model")

    with pytest.raises(RuntimeError, match="(?s)model.tflite cannot be.*valid"):
        measure(tmp_path / "model.tflite")


def test_the_median_is_taken_after_the_warm_up(monkeypatch):
    # Each run takes one tick more than the run before it.
    clock = {"now": 0.0, "runs": 0}

    def run():
        clock["runs"] += 1
        clock["now"] += clock["runs"]

    monkeypatch.setattr(time, "perf_counter", lambda: clock["now"])

    found = benchmark._measure_here(lambda: run)

    assert clock["runs"] == 10 + 50
    # Runs 11 to 60: the median is (35 + 36) / 2 s.
    assert found["latency_ms"] == 35.5 * 1000


def test_memory_that_is_given_back_still_counts(monkeypatch):
    def run_of():
        block = bytearray(80_000_000)
        block[::4096] = b"x" * len(block[::4096])
        del block
        return lambda: None

    found = benchmark._measure_here(run_of)

    assert 75 < found["peak_memory_mb"] < 120


def test_a_system_that_does_not_tell_its_memory_gives_none(monkeypatch):
    monkeypatch.setattr(benchmark, "_STATUS_FILE", "/nowhere")

    assert benchmark._measure_here(lambda: lambda: None)["latency_ms"] >= 0
    assert (
        benchmark._measure_here(lambda: lambda: None)["peak_memory_mb"] is None
    )
