"""Tests that a decision gives the same label maps wherever a model runs."""

import io
import json

import numpy as np
import page_decision
import pytest
import small_models
from PIL import Image

from export.serving import saved_model, session
from export.tflite import convert
from segan_tf import decision, labels
from segan_tf.decision import Decision
from segan_tf.imaging import preprocessing
from segan_tf.inference.predictor import Predictor

ONE = labels.Labels()
PIXELS = (45, 37)


@pytest.fixture(scope="module", params=small_models.DECISIONS)
def case(request, tmp_path_factory):
    """Returns labels, decision, segmentor, its exports' folder, an image."""
    wanted, thresholds = small_models.DECISIONS[request.param]
    segmentor = small_models.build_for_labels(wanted)
    folder = tmp_path_factory.mktemp("export")
    given = {"version": 7, "labels": wanted, "decision": Decision(thresholds)}
    saved_model.export_saved_model(segmentor, str(folder), **given)
    path = str(folder / "segan_none.tflite")
    convert.export_tflite(segmentor, path, quantization="none", **given)
    (image,) = small_models.draw_images(PIXELS)
    return wanted, Decision(thresholds), segmentor, folder, image


@pytest.fixture
def expected(case):
    """Returns Keras' label map, which another decision would change."""
    wanted, given, segmentor, _, image = case
    found = Predictor(segmentor, labels=wanted, decision=given).label_map(image)
    default = Predictor(segmentor, labels=wanted).label_map(image)
    assert np.mean(found != default) > 0.01
    assert 0.01 < found.mean() < 0.99
    return found


@pytest.mark.parametrize("name", ["saved_model/7", "segan_none.tflite"])
def test_exported_model_predicts_with_its_decision(case, expected, name):
    _, given, _, folder, image = case
    predictor = Predictor(str(folder / name))
    assert predictor.decision == given
    np.testing.assert_array_equal(predictor.label_map(image), expected)


def test_server_answers_with_the_decision(case, expected):
    wanted, _, _, folder, image = case
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG")
    with session.Session(folder / "saved_model" / "7") as server:
        answer = server.run(
            "serving_default",
            {"image_bytes": np.array([stream.getvalue()], object)},
        )
    with Image.open(io.BytesIO(answer["label_map_bytes"][0])) as served:
        gray = np.asarray(served)[..., None]
    number = np.arange(1, wanted.count + 1)
    if wanted.count == 1:
        found = gray == 255
    elif wanted.multiclass:
        found = gray == number
    else:
        found = gray & (1 << (number - 1)) > 0
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_allclose(
        answer["label_fractions"][0], expected.mean((0, 1)), atol=1e-6
    )


def test_page_decides_as_the_contract_says(case, expected, tmp_path):
    _, _, segmentor, folder, image = case
    contract = json.loads((folder / "segan_none.json").read_text())
    small = preprocessing.resize_image(image, 32, 32).numpy()
    found = page_decision.decide(
        tmp_path,
        small_models.segment(segmentor, small[None])[0],
        PIXELS,
        multiclass=contract["label_kind"] == "multiclass",
        thresholds=contract["thresholds"],
    )
    np.testing.assert_array_equal(found, expected)


def test_decision_that_is_given_replaces_that_of_the_model(case):
    wanted, _, segmentor, folder, image = case
    default = Decision((0.5,) * wanted.count)
    predictor = Predictor(str(folder / "segan_none.tflite"), decision=default)
    expected = Predictor(segmentor, labels=wanted).label_map(image)
    np.testing.assert_array_equal(predictor.label_map(image), expected)


def test_model_without_a_decision_is_exported_with_the_default(tmp_path):
    segmentor = small_models.build_segmentor()
    saved_model.export_saved_model(
        segmentor, str(tmp_path), version=1, labels=ONE
    )
    assets = tmp_path / "saved_model" / "1" / "assets.extra"
    assert decision.read(assets) == Decision()
