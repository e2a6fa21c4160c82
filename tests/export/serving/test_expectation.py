"""Tests of the expected Dice that a server answers."""

import c_loader
import numpy as np
import pytest
import small_models
import tensorflow as tf

from export.serving import expectation, saved_model
from segan_tf import labels, styles
from segan_tf.decision import Decision
from segan_tf.expected_dice import Curve
from segan_tf.inference import agreement, saved_model_check
from segan_tf.inference.predictor import Predictor
from segan_tf.models import segan

ONE = labels.Labels()
CURVE = Curve((0.05, 0.3, 0.95), (0.1, 0.5, 0.9))


def decide_with(*thresholds, curve=CURVE, style=()):
    return Decision(thresholds, style, {"thresholds": curve})


def ask(path, *images, signature="serving_default"):
    encoded = [tf.io.encode_png(image).numpy() for image in images]
    with c_loader.CSession(path) as session:
        return session.run(
            signature, {"image_bytes": np.array(encoded, dtype=object)}
        )


def test_expected_dice_is_that_counted_by_hand(tmp_path):
    path = saved_model.export_saved_model(
        small_models.build_color_reader(1, size=16),
        str(tmp_path),
        version=1,
        labels=ONE,
        decision=decide_with(0.5, curve=Curve((0.0, 1.0), (0.2, 0.8))),
    )
    image = np.zeros((16, 16, 3), np.uint8)
    # Above 0.1, 0.5 and 0.9 are 12, 8 and 4 columns.
    for columns, probability in ((12, 0.2), (8, 0.6), (4, 0.95)):
        image[:, :columns, 0] = 255 * probability
    agreed = (2 * 8 / 20 + 2 * 4 / 16 + 2 * 4 / 12) / 3

    answer = ask(path, image, np.zeros_like(image))

    assert answer["expected_dice"].dtype == np.float32
    # Where nothing is found there is no agreement.
    np.testing.assert_allclose(
        answer["expected_dice"], [0.2 + 0.6 * agreed, 0.2], atol=1e-6
    )
    saved_model_check.check_operators(path)


@pytest.fixture(scope="module", params=small_models.DECISIONS)
def case(request, tmp_path_factory):
    """Returns labels, decision, segmentor and the path of its SavedModel."""
    wanted, thresholds = small_models.DECISIONS[request.param]
    segmentor = small_models.build_for_labels(wanted)
    decision = decide_with(*thresholds)
    path = saved_model.export_saved_model(
        segmentor,
        str(tmp_path_factory.mktemp("export")),
        version=1,
        labels=wanted,
        decision=decision,
    )
    return wanted, decision, segmentor, path


def test_expected_dice_equals_that_of_the_predictor(case):
    wanted, decision, segmentor, path = case
    # The second and the third are compared at every second pixel.
    images = small_models.draw_images((45, 37), (300, 431), (1000, 66))

    answer = ask(path, *images)

    predictor = Predictor(segmentor, labels=wanted, decision=decision)
    expected = [predictor(image).expected_dice for image in images]
    np.testing.assert_allclose(answer["expected_dice"], expected, atol=1e-5)
    assert 0.1 < min(expected) < max(expected) < 0.9  # no ends of the curve
    saved_model_check.check_operators(path)


@pytest.mark.parametrize(
    "curve",
    [
        CURVE,
        Curve((0.5,), (0.7,)),
        Curve((0.0, 0.5, 0.5, 1.0), (0.2, 0.4, 0.6, 0.6)),  # rises at once
    ],
)
@pytest.mark.parametrize("value", [0.0, 0.05, 0.2, 0.3, 0.5, 0.7, 0.95, 1.0])
def test_graph_reads_a_curve_as_python_does(curve, value):
    value = np.float32(value)
    found = expectation.interpolate(curve, tf.constant(value))
    assert float(found) == pytest.approx(curve(value), abs=1e-6)


@pytest.mark.any_edition
def test_only_the_style_of_the_decision_has_an_expected_dice(tmp_path):
    two = styles.Styles(("T1", "clinic B"), (0.75, 0.25))
    segmentor = segan.build_segan(image_size=32, width=4, num_styles=2)
    small_models.draw_weights(segmentor)
    path = saved_model.export_saved_model(
        segmentor,
        str(tmp_path),
        version=1,
        labels=ONE,
        styles=two,
        decision=decide_with(0.3, style=(0.0, 1.0)),
    )
    images = small_models.draw_images((40, 50))

    default = ask(path, *images)
    own = ask(path, *images, signature="serving_clinic_b")
    other = ask(path, *images, signature="serving_t1")

    assert set(default) == set(own) == {*other, "expected_dice"}
    for name, value in default.items():
        np.testing.assert_array_equal(own[name], value)


@pytest.mark.any_edition
def test_curve_of_views_alone_changes_nothing(tmp_path):
    path = saved_model.export_saved_model(
        small_models.build_segmentor(),
        str(tmp_path),
        version=1,
        labels=ONE,
        decision=Decision(expected_dice={"views": CURVE}),
    )
    assert "expected_dice" not in ask(path, *small_models.draw_images((20, 20)))


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("size", [(20, 31), (257, 256), (700, 900)])
@pytest.mark.parametrize("multiclass", [True, False])
def test_agreement_is_that_of_the_predictor(count, size, multiclass):
    rng = np.random.default_rng(0)
    maps = rng.random((*size, count), np.float32) / count
    maps[..., count // 2] = 0
    given = {"multiclass": multiclass, "thresholds": [0.3] * count}
    expected = agreement.outlines(maps, **given)
    found = expectation.outlines(tf.constant(maps), **given)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)
    assert float(expectation.mean_pairwise_dice(found)) == pytest.approx(
        agreement.mean_pairwise_dice(expected), abs=1e-6
    )
