"""Tests that no answer is lost or wrong while many clients ask at once."""

import os

import pytest

from benchmarks import serving_load

pytestmark = pytest.mark.serving
pytest.importorskip("grpc", reason="scripts/test --all installs it")
pytest.importorskip(
    "tensorflow_serving.apis", reason="scripts/test --all installs it"
)


@pytest.mark.parametrize("protocol", ["rest", "grpc"])
def test_no_answer_is_lost_or_wrong_under_load(protocol, export_dir):
    """`python -m benchmarks.serving_load` does it for a minute."""
    load = serving_load.run(
        os.path.join(export_dir, "saved_model", "2"),
        protocol=protocol,
        clients=8,
        seconds=4.0,
    )

    assert load.counts["lost"] == load.counts["wrong"] == 0
    assert load.counts["right"] >= 8 - 1
    assert load.counts["error"] > 0
    # A kept image of 1 megapixel would take 3 MB each time.
    assert load.memory_growth < 100
