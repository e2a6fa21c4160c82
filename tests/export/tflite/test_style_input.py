"""Tests of TFLite models that take the annotation style as a second input."""

import json
import zipfile

import numpy as np
import pytest
import small_models
import tensorflow as tf
from ai_edge_litert import interpreter as litert
from ai_edge_litert import schema_py_generated as schema

from export.tflite import convert, operators
from segan_tf import config, labels, styles
from segan_tf.decision import Decision
from segan_tf.imaging import preprocessing
from segan_tf.inference import tflite_model
from segan_tf.inference.predictor import Predictor

SIZE = 32
TWO = styles.Styles(("T1", "clinic B"), (0.75, 0.25))
KINDS = config.QUANTIZATIONS
# Mean differences: rounding of the kernels, of float16, of 8 bits.
TOLERANCES = {"none": 1e-5, "float16": 1e-3, "dynamic": 0.02, "int8": 0.08}
MIXTURES = [(1.0, 0.0), (0.0, 1.0), (0.75, 0.25), (0.1, 0.9)]
CALIBRATED = Decision((0.3,), (0.0, 1.0))


@pytest.fixture(scope="module")
def segmentor():
    return small_models.build_styled_segmentor()


def export(segmentor, path, **changes):
    """Exports by the plainest arguments but for the changes."""
    given = {
        "quantization": "none",
        "labels": labels.LESION,
        "version": 7,
        "styles": TWO,
        "calibration_images": small_models.draw_calibration_images(),
        **changes,
    }
    return convert.export_tflite(segmentor, str(path), **given)


@pytest.fixture(scope="module")
def folder(segmentor, tmp_path_factory):
    path = tmp_path_factory.mktemp("tflite")
    for kind in KINDS:
        name = f"segan_{kind}_styles.tflite"
        export(segmentor, path / name, quantization=kind)
    return path


def path_of(folder, kind):
    return folder / f"segan_{kind}_styles.tflite"


def expected_map(segmentor, image, mixture):
    normalized = preprocessing.normalize(tf.cast(image[None], tf.float32))
    style = tf.constant([mixture], tf.float32)
    return segmentor([normalized, style], training=False).numpy()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mixture", MIXTURES)
def test_each_mixture_is_drawn_as_by_keras(segmentor, folder, kind, mixture):
    (image,) = small_models.draw_images((SIZE, SIZE), seed=5)
    model = tflite_model.TFLiteModel(path_of(folder, kind))

    given = model.segment(image[None], mixture)

    expected = expected_map(segmentor, image, mixture)
    assert given.shape == expected.shape
    assert np.abs(given - expected).mean() < TOLERANCES[kind]
    # Another style differs by more than the rounding.
    other = expected_map(segmentor, image, mixture[::-1])
    assert np.abs(other - expected).mean() > 0.16


@pytest.mark.parametrize("kind", KINDS)
def test_style_is_float32_whatever_the_pixels_are(folder, kind):
    model = litert.Interpreter(str(path_of(folder, kind)))
    details = model.get_signature_runner("serving_default").get_input_details()

    assert {
        name: (one["shape"].tolist(), one["dtype"])
        for name, one in details.items()
    } == {
        "image": ([1, 32, 32, 3], np.uint8 if kind == "int8" else np.float32),
        "style": ([1, 2], np.float32),
    }


def test_contract_names_the_styles_in_order_and_their_mean(segmentor, tmp_path):
    path = tmp_path / "segan_none_styles.tflite"
    export(segmentor, path, decision=CALIBRATED)

    found = json.loads(path.with_suffix(".json").read_text())

    assert found["style_input"] == {
        "name": "style",
        "shape": [1, 2],
        "dtype": "float32",
        "styles": ["T1", "clinic B"],
        "mean": [0.75, 0.25],
        "default": [0.0, 1.0],
    }
    assert found["style"] == "clinic B"
    assert found["thresholds"] == [0.3]
    assert found["input"]["name"] == "image"
    with zipfile.ZipFile(path) as archive:
        inside = json.loads(archive.read("contract.json"))
    assert inside["style_input"] == found["style_input"]


def test_model_of_the_image_alone_says_what_style_it_draws_in(tmp_path):
    path = tmp_path / "segan_none.tflite"
    plain = small_models.build_segmentor()
    export(plain, path, decision=CALIBRATED)

    found = json.loads(path.with_suffix(".json").read_text())
    model = tflite_model.TFLiteModel(path)

    assert found["style"] == "clinic B"
    assert "style_input" not in found
    # It is part of the weights, and no choice any more.
    assert model.styles == styles.PLAIN
    assert model.decision == Decision((0.3,))


def test_only_models_of_the_image_alone_have_metadata(folder, tmp_path):
    def metadata_names(path):
        with open(path, "rb") as file:
            model = schema.Model.GetRootAs(file.read(), 0)
        return [model.Metadata(i).Name() for i in range(model.MetadataLength())]

    for kind in KINDS:
        found = metadata_names(path_of(folder, kind))
        assert b"TFLITE_METADATA" not in found
    plain = tmp_path / "plain.tflite"
    export(small_models.build_segmentor(), plain, styles=styles.PLAIN)
    assert b"TFLITE_METADATA" in metadata_names(plain)


@pytest.mark.parametrize("kind", KINDS)
def test_operators_are_builtin(folder, kind):
    names = operators.list_operators(path_of(folder, kind).read_bytes())
    operators.check_unportable_operators(names)
    assert "FULLY_CONNECTED" in names


def test_int8_is_calibrated_on_each_image_in_each_style(monkeypatch):
    fed = []

    class Converter:
        def __init__(self):
            self.target_spec = tf.lite.TargetSpec()

        def convert(self):
            fed.extend(self.representative_dataset())
            raise StopIteration

    monkeypatch.setattr(
        tf.lite.TFLiteConverter,
        "from_saved_model",
        lambda *_, **__: Converter(),
    )
    images = small_models.draw_calibration_images(3)
    with pytest.raises(StopIteration):
        convert.convert("anywhere", "int8", images=images, styles=TWO)

    assert [feed["style"].tolist() for feed in fed] == [
        [[1, 0]],
        [[0, 1]],
        [[0.75, 0.25]],
    ] * 3
    assert [feed["image"][0, 5, 5].tolist() for feed in fed] == [
        image[5, 5].tolist() for image in images for _ in range(3)
    ]


def test_predictor_draws_in_the_styles_of_a_file(segmentor, folder):
    image = small_models.draw_images((SIZE, SIZE), seed=5)[0]
    path = path_of(folder, "none")
    for style in (*TWO.names, "mean", "T1+clinic B"):
        predictor = Predictor(path, style=style)
        expected = expected_map(segmentor, image, TWO.mixture(style))[0]
        np.testing.assert_allclose(
            predictor.probability_map(image), expected, atol=1e-4
        )
        np.testing.assert_array_equal(
            predictor.label_map(image), expected > 0.5
        )
    assert Predictor(path).styles == TWO
    assert Predictor(path).decision_text == ""
    with pytest.raises(config.UserError, match="knows T1, clinic B, mean"):
        Predictor(path, style="T3")


def test_calibrated_style_is_the_default(segmentor, tmp_path):
    path = export(segmentor, tmp_path / "model.tflite", decision=CALIBRATED)
    image = small_models.draw_images((SIZE, SIZE), seed=5)[0]
    predictor = Predictor(path)

    assert predictor.decision == CALIBRATED
    assert predictor.decision_text == "threshold 0.3, style clinic B"
    expected = expected_map(segmentor, image, (0, 1))[0]
    np.testing.assert_array_equal(predictor.label_map(image), expected > 0.3)


def test_file_whose_contract_names_other_styles_is_an_error(folder, tmp_path):
    content = path_of(folder, "none").read_bytes()
    path = tmp_path / "spoiled.tflite"
    path.write_bytes(content[: content.index(b"PK\x03\x04")])
    with zipfile.ZipFile(path_of(folder, "none")) as archive:
        contract = json.loads(archive.read("contract.json"))
    contract["style_input"]["styles"].pop()
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("contract.json", json.dumps(contract))

    with pytest.raises(ValueError, match=r"^its contract.json names no styles"):
        tflite_model.TFLiteModel(path)
