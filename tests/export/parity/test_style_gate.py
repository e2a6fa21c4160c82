"""Tests that models which take the style are compared in each style."""

import json
import os

import numpy as np
import pytest
import small_models

from export import artifact
from export.parity import benchmark, gate, parity_dataset, table
from export.tflite import convert
from segan_tf import labels, styles
from segan_tf.decision import DEFAULT, Decision
from segan_tf.models import layers, segan, weights

pytestmark = pytest.mark.any_edition

TWO = styles.Styles(("T1", "clinic B"), (0.75, 0.25))
MEASURED = {"latency_ms": 2.5, "peak_memory_mb": 12.0}


@pytest.fixture(autouse=True, scope="module")
def _no_measurement():
    """Replaces the processes that measure time and memory."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(benchmark, "measure", lambda *_, **__: dict(MEASURED))
        yield


def fix_style(styled, mixture, num_labels):
    plain = segan.build_segan(image_size=32, width=4, num_labels=num_labels)
    weights.fix_style(styled, plain, mixture)
    return plain


def export_all(
    folder, *, decision=DEFAULT, num_labels=1, style_input=True, kinds=("none",)
):
    """Exports a model of two styles."""
    styled = small_models.build_styled_segmentor(num_labels=num_labels)
    images = small_models.draw_images((50, 40), (20, 70))
    shape = (num_labels,)
    return gate.export_all(
        fix_style(styled, decision.style or TWO.mean, num_labels),
        export_dir=str(folder),
        version=1,
        step=1800,
        labels=labels.Labels(("lesion", "hair")[:num_labels]),
        quantizations=kinds,
        dataset=parity_dataset.ParityDataset(
            images,
            [(x, np.ones(x.shape[:2] + shape, np.uint8)) for x in images],
            "a test",
            small_models.draw_calibration_images(),
        ),
        decision=decision,
        styled=artifact.StyledSegmentor(
            styled,
            TWO,
            {
                name: fix_style(styled, TWO.mixture(name), num_labels)
                for name in TWO.names
            },
        ),
        style_input=style_input,
        allow_parity_loss="int8" in kinds,
    )


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("export")
    return folder, export_all(folder, kinds=("none", "int8"))


def test_each_quantization_has_a_row_for_the_model_that_takes_the_style(
    exported,
):
    folder, record = exported
    rows = record["artifacts"]
    assert list(rows) == [
        "saved_model",
        "none",
        "int8",
        "none_styles",
        "int8_styles",
    ]
    assert rows["int8_styles"]["path"] == "segan_int8_styles.tflite"
    assert set(rows["int8_styles"]["files"]) == {
        "segan_int8_styles.tflite",
        "segan_int8_styles.json",
    }
    assert (folder / "segan_int8_styles.json").exists()
    assert set(rows["int8"]["files"]) == {
        "segan_int8.tflite",
        "segan_int8.json",
    }
    assert record["style"] == "mean"


@pytest.mark.parametrize("kind", ["none", "int8"])
def test_each_style_and_the_mean_are_judged_as_the_quantization_is(
    exported, kind
):
    rows = exported[1]["artifacts"]
    checks = rows[f"{kind}_styles"]["checks"]
    limits = [(c["measure"], c["limit"]) for c in rows[kind]["checks"]]
    for style in ("T1", "clinic B", "mean"):
        found = [
            (c["measure"], c["limit"]) for c in checks if c["style"] == style
        ]
        assert found == limits
    assert len(checks) == 3 * len(limits)


def test_float32_draws_each_style_as_keras(exported):
    _, record = exported
    row = record["artifacts"]["none_styles"]
    assert row["within_limit"]
    assert set(row["styles"]) == {"T1", "clinic B", "mean"}
    dice = set()
    for style, part in row["styles"].items():
        assert 0 < part["largest_difference"] < 1e-4
        assert part["dice"] == record["keras"]["styles"][style]["dice"]
        dice.add(part["dice"])
    assert len(dice) == 3  # they differ
    assert row["dice"] == pytest.approx(np.mean(list(dice)))
    worst = max(p["largest_difference"] for p in row["styles"].values())
    assert row["largest_difference"] == worst


def test_table_has_a_row_for_each_style(exported):
    lines = table.format_table(exported[1]).splitlines()
    start = next(
        i for i, x in enumerate(lines) if x.startswith("segan_int8_styles")
    )
    dice = exported[1]["artifacts"]["int8_styles"]["styles"]["clinic B"]["dice"]
    assert [line.split("  ")[1] for line in lines[start + 1 : start + 4]] == [
        "in style T1",
        "in style clinic B",
        "in style mean",
    ]
    assert f"{dice:.4f}" in lines[start + 2]
    assert lines[3].startswith("  in style T1")  # of Keras


def test_model_that_draws_one_style_otherwise_is_withheld(
    tmp_path, monkeypatch
):
    write = convert.export_tflite

    def spoil(segmentor, *args, **more):
        if len(segmentor.inputs) > 1:
            segmentor = small_models.build_styled_segmentor()
            for layer in segmentor.layers:
                if isinstance(layer, layers.StyleModulation):
                    n = layer.offset.shape[-1]
                    layer.offset.assign_add(np.float32([[0] * n, [0.5] * n]))
        return write(segmentor, *args, **more)

    monkeypatch.setattr(convert, "export_tflite", spoil)

    record = export_all(tmp_path)

    (failure,) = table.failures(record)
    assert failure.startswith("segan_none_styles.tflite differs from Keras by")
    assert "in the style clinic B, more than 0.0001" in failure
    assert "in the style T1" not in failure
    assert "segan_none.tflite" in os.listdir(tmp_path)
    assert "segan_none_styles.tflite" not in os.listdir(tmp_path)


def test_thresholds_are_for_the_style_of_the_decision(exported, tmp_path):
    # The third is none of the names and is compared too.
    decision = Decision((0.999,), (0.5, 0.5))

    record = export_all(tmp_path, decision=decision)

    assert record["style"] == "T1+clinic B"
    of_keras = record["keras"]["styles"]
    assert list(of_keras) == ["T1", "clinic B", "mean", "T1+clinic B"]
    assert of_keras["T1+clinic B"]["dice"] == record["keras"]["dice"]
    default = exported[1]["keras"]["styles"]
    assert of_keras["T1"] == default["T1"]
    assert of_keras["mean"] == default["mean"]
    contract = json.loads((tmp_path / "segan_none_styles.json").read_text())
    assert contract["style_input"]["default"] == [0.5, 0.5]
    assert contract["thresholds"] == [0.999]


def test_each_label_is_judged_in_each_style(tmp_path):
    record = export_all(tmp_path, num_labels=2)

    row = record["artifacts"]["none_styles"]
    judged = {(c["style"], c["label"]) for c in row["checks"]}
    assert judged == {
        (style, label)
        for style in ("T1", "clinic B", "mean")
        for label in ("", "lesion", "hair")
    }
    lines = table.format_table(record).splitlines()
    start = next(
        i for i, x in enumerate(lines) if x.startswith("segan_none_styles")
    )
    assert [line[:10].strip() for line in lines[start + 1 : start + 4]] == [
        "in style",
        "lesion",
        "hair",
    ]


def test_models_that_take_the_style_are_written_on_request_only(tmp_path):
    record = export_all(tmp_path, style_input=False)
    assert list(record["artifacts"]) == ["saved_model", "none"]
    assert "styles" not in record["keras"]
