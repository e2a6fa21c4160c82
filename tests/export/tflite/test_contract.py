"""Tests of the JSON file of a TFLite model."""

import hashlib
import json
import pathlib

import pytest
import small_models

from export.tflite import convert
from segan_tf import labels
from segan_tf.inference import tflite_model
from segan_tf.models import pretrained


def export(folder, *, kind, labels, num_labels):
    """Exports a model; returns its path and its JSON file."""
    path = folder / f"segan_{kind}.tflite"
    convert.export_tflite(
        small_models.build_segmentor(num_labels=num_labels),
        str(path),
        quantization=kind,
        labels=labels,
        version=378,
        calibration_images=small_models.draw_calibration_images(),
    )
    return path, json.loads(path.with_suffix(".json").read_text())


@pytest.mark.parametrize("kind", ["none", "int8"])
def test_contract_describes_input_and_output(tmp_path, kind):
    path, found = export(
        tmp_path, kind=kind, labels=labels.Labels(), num_labels=1
    )

    assert found == {
        "model": f"segan_{kind}.tflite",
        "bytes": path.stat().st_size,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "quantization": kind,
        "version": 378,
        "signature": "serving_default",
        "input": {
            "name": "image",
            "shape": [1, 32, 32, 3],
            "dtype": "uint8" if kind == "int8" else "float32",
            "range": [0, 255],
            "color": "RGB",
            "resize": "bilinear, antialiased, aspect ratio not kept",
        },
        "output": {
            "name": "probability_map",
            "shape": [1, 32, 32, 1],
            "dtype": "float32",
            "scale": 1.0,
            "zero_point": 0,
        },
        "thresholds": [0.5],
        "label_names": ["lesion"],
        "label_kind": "multiclass",
    }


def test_contract_of_a_released_model_gets_the_released_curve(tmp_path):
    released = pretrained.find().tflite_path("int8")
    decision = pretrained.find().decision
    path = tmp_path / "segan_int8.tflite"

    convert.copy_released(released, str(path), version=5, decision=decision)

    found = json.loads(path.with_suffix(".json").read_text())
    assert found["version"] == 5
    assert found["thresholds"] == [0.5]
    curve = found["expected_dice"]["thresholds"]
    assert tuple(curve["dice"]) == decision.expected_dice["thresholds"].dice
    assert path.read_bytes() == pathlib.Path(released).read_bytes()


def test_contract_in_the_file_is_the_same_without_its_hash(tmp_path):
    path, found = export(
        tmp_path, kind="none", labels=small_models.TWO_LABELS, num_labels=2
    )

    inside = tflite_model.TFLiteModel(path).contract

    for name in ("model", "bytes", "sha256"):
        del found[name]
    assert inside == found
    assert inside["label_names"] == ["lesion", "hair"]
    assert inside["label_kind"] == "multilabel"
