"""Tests of exported models that draw in annotation styles."""

import c_loader
import numpy as np
import pytest
import small_models
import tensorflow as tf

from export.serving import saved_model
from segan_tf import decision, labels, styles
from segan_tf.config import UserError
from segan_tf.imaging import preprocessing
from segan_tf.inference import signatures
from segan_tf.inference.predictor import Predictor
from segan_tf.models import segan, weights

SIZE = 32
TWO = styles.Styles(("T1", "clinic B"), (0.75, 0.25))


def build(num_styles):
    built = segan.build_segan(image_size=SIZE, width=4, num_styles=num_styles)
    small_models.draw_weights(built)
    return built


@pytest.fixture(scope="module")
def styled():
    return build(TWO.count)


@pytest.fixture(scope="module")
def version(styled, tmp_path_factory):
    return saved_model.export_saved_model(
        styled,
        str(tmp_path_factory.mktemp("export")),
        version=1,
        labels=labels.LESION,
        styles=TWO,
    )


def draw_images():
    shape = (2, SIZE, SIZE, 3)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def expected_maps(styled, mixture):
    """Runs the segmentor with the style fixed in its weights."""
    plain = build(0)
    weights.fix_style(styled, plain, mixture)
    normalized = preprocessing.normalize(tf.cast(draw_images(), tf.float32))
    return plain(normalized, training=False).numpy()


@pytest.mark.parametrize(
    ("signature", "style"),
    [
        ("probabilities", "mean"),
        ("probabilities_t1", "T1"),
        ("probabilities_clinic_b", "clinic B"),
    ],
)
def test_signature_draws_in_its_style(styled, version, signature, style):
    with c_loader.CSession(version) as session:
        answer = session.run(signature, {"images": draw_images()})
    expected = expected_maps(styled, TWO.mixture(style))
    np.testing.assert_allclose(answer["probability_map"], expected, atol=1e-5)
    other = expected_maps(styled, (0.5, 0.5))
    assert np.abs(other - expected).max() > 1e-3


def test_files_are_answered_in_each_style(styled, version):
    images = draw_images()
    files = np.array(
        [tf.io.encode_png(image).numpy() for image in images], object
    )
    with c_loader.CSession(version) as session:
        for style in TWO.names:
            name = signatures.in_style(signatures.DEFAULT, style)
            answer = session.run(name, {"image_bytes": files})
            fractions = (expected_maps(styled, TWO.mixture(style)) > 0.5).mean(
                axis=(1, 2)
            )
            np.testing.assert_allclose(
                answer["label_fractions"], fractions, atol=2 / SIZE**2
            )


def count_first_kernels(version):
    stored = tf.train.list_variables(f"{version}/variables/variables")
    return sum(shape == [4, 4, 3, 4] for _, shape in stored)


def test_styles_share_the_weights(version, tmp_path):
    plain = saved_model.export_saved_model(
        build(0), str(tmp_path), version=1, labels=labels.LESION
    )
    assert count_first_kernels(version) == count_first_kernels(plain)


def test_predictor_draws_in_the_styles_of_a_saved_model(styled, version):
    image = draw_images()[0]
    for style in (*TWO.names, "mean"):
        found = Predictor(version, style=style).probability_map(image)
        expected = expected_maps(styled, TWO.mixture(style))[0]
        np.testing.assert_allclose(found, expected, atol=1e-5)
    with pytest.raises(UserError, match="in one of T1, clinic B, or in their"):
        Predictor(version, style="T1+clinic B").probability_map(image)


@pytest.mark.any_edition
def test_calibrated_style_is_the_default(styled, tmp_path):
    path = saved_model.export_saved_model(
        styled,
        str(tmp_path),
        version=1,
        labels=labels.LESION,
        styles=TWO,
        decision=decision.Decision((0.3,), (0.0, 1.0)),
    )
    image = draw_images()[0]
    expected = expected_maps(styled, (0.0, 1.0))[0]
    predictor = Predictor(path)
    np.testing.assert_allclose(
        predictor.probability_map(image), expected, atol=1e-5
    )
    np.testing.assert_array_equal(predictor.label_map(image), expected > 0.3)


def test_styles_whose_signatures_would_be_one_are_an_error():
    with pytest.raises(UserError, match="differ only by case or punctuation"):
        styles.check_names(["clinic A", "clinic-a"], "FILE")
