"""Tests of the Keras metrics Dice and IoU."""

import keras
import numpy as np
import pytest

import segan_tf
from segan_tf import metrics
from segan_tf.metrics import per_image


def maps(*images):
    """Makes label maps of one row and one label: [images, 1, n, 1]."""
    return np.float32(images)[:, None, :, None]


def several_labels(seed=0, *, multiclass, count=3):
    """Draws true and predicted maps of 5 images, some without a label."""
    rng = np.random.default_rng(seed)
    if multiclass:
        numbers = rng.integers(0, count + 1, (5, 6, 7))
        y_true = np.eye(count + 1)[numbers][..., 1:]
        y_pred = rng.dirichlet(np.ones(count + 1) / 3, (5, 6, 7))[..., 1:]
    else:
        y_true = rng.integers(0, 2, (5, 6, 7, count))
        y_pred = rng.random((5, 6, 7, count))
    y_true[:3, ..., 1] = 0
    y_pred[:2, ..., 1] = 0  # the third image has it predicted, but not true
    return np.float32(y_true), np.float32(y_pred)


@pytest.mark.parametrize(
    ("metric", "expected"),
    [(metrics.Dice, 2 * 1 / (2 + 2)), (metrics.IoU, 1 / (2 + 2 - 1))],
)
def test_metric_of_a_worked_example(metric, expected):
    metric = metric()
    metric.update_state(maps([1, 0, 1]), maps([0.9, 0.6, 0.2]))
    np.testing.assert_allclose(metric.result(), expected, 1e-6)


def test_metrics_are_means_over_images():
    y_true = maps([1, 1, 1, 0], [1, 0, 0, 0])
    y_pred = maps([1, 0, 0, 0], [1, 0, 0, 0])
    dice, iou = metrics.Dice(), metrics.IoU()
    for metric in (dice, iou):
        metric.update_state(y_true, y_pred)
    np.testing.assert_allclose(dice.result(), (2 * 1 / (1 + 3) + 1) / 2)
    np.testing.assert_allclose(iou.result(), (1 / 3 + 1) / 2, 1e-6)


def test_label_counts_where_it_is_true_or_predicted():
    # Neither, then found, then predicted but not there: (1 + 0) / 2.
    dice = metrics.Dice()
    dice.update_state(
        maps([0, 0], [1, 0], [0, 0]), maps([0, 0], [1, 0], [0, 1])
    )
    np.testing.assert_allclose(dice.result(), (1 + 0) / 2)


def test_label_that_is_nowhere_scores_one():
    dice = metrics.Dice(2, multiclass=False)
    empty = np.zeros((2, 4, 4, 2))
    dice.update_state(empty, empty)
    np.testing.assert_array_equal(dice.per_label(), [1, 1])


def test_result_is_the_mean_of_the_labels_and_not_of_the_images():
    dice = metrics.Dice(2, multiclass=False)
    y_true = np.zeros((3, 1, 2, 2))
    y_true[..., 0, 0] = 1
    y_true[0, ..., 0, 1] = 1
    y_pred = y_true.copy()
    y_pred[1:] = 0  # label 0 is missed in two of three images
    dice.update_state(y_true, y_pred)
    np.testing.assert_allclose(dice.per_label(), [1 / 3, 1])
    np.testing.assert_allclose(dice.result(), (1 / 3 + 1) / 2)


@pytest.mark.parametrize(
    ("multiclass", "expected"),
    # 0.4 and 0.35 leave 0.25 to the background: the first label holds. As
    # multilabel probabilities neither is above 0.5.
    [(True, [1.0, 1.0]), (False, [0.0, 1.0])],
)
def test_labels_are_decided_as_everywhere(multiclass, expected):
    dice = metrics.Dice(2, multiclass)
    dice.update_state([[[[1.0, 0.0]]]], [[[[0.4, 0.35]]]])
    np.testing.assert_array_equal(dice.per_label(), expected)


@pytest.mark.parametrize("multiclass", [True, False])
@pytest.mark.parametrize(
    ("metric", "of_image"),
    [(metrics.Dice, per_image.dice), (metrics.IoU, per_image.iou)],
)
def test_metric_is_the_mean_of_the_per_image_metric(
    metric, of_image, multiclass
):
    y_true, y_pred = several_labels(multiclass=multiclass)
    metric = metric(3, multiclass)
    for batch in (slice(0, 2), slice(2, 5)):
        metric.update_state(y_true[batch], y_pred[batch])
    if multiclass:
        rest = 1 - y_pred.sum(-1, keepdims=True)
        likeliest = np.concatenate([rest, y_pred], -1).argmax(-1)
        decided = np.eye(4)[likeliest][..., 1:] > 0
    else:
        decided = y_pred > 0.5
    expected = []
    for label in range(3):
        pairs = zip(decided[..., label], y_true[..., label] > 0, strict=True)
        values = [
            of_image(per_image.confusion(predicted, true))
            for predicted, true in pairs
            if predicted.any() or true.any()
        ]
        assert len(values) == (3 if label == 1 else 5)
        expected.append(np.mean(values))
    np.testing.assert_allclose(metric.per_label(), expected, 1e-5)
    np.testing.assert_allclose(metric.result(), np.mean(expected), 1e-5)


def test_sample_weights_weigh_the_images():
    dice = metrics.Dice()
    y_true, y_pred = maps([1, 0], [1, 0]), maps([1, 0], [0, 1])
    dice.update_state(y_true, y_pred, sample_weight=np.float32([3, 1]))
    np.testing.assert_allclose(dice.result(), (3 * 1 + 1 * 0) / (3 + 1))


def test_reset_forgets_all_images():
    dice = metrics.Dice(2, multiclass=False)
    dice.update_state(np.ones((1, 2, 2, 2)), np.zeros((1, 2, 2, 2)))
    np.testing.assert_array_equal(dice.per_label(), [0, 0])
    dice.reset_state()
    np.testing.assert_array_equal(dice.per_label(), [1, 1])
    dice.update_state(np.ones((1, 2, 2, 2)), np.ones((1, 2, 2, 2)))
    np.testing.assert_array_equal(dice.per_label(), [1, 1])


def test_wrong_number_of_labels_is_an_error():
    with pytest.raises(ValueError, match=r"num_labels \(2\) must be the num"):
        metrics.Dice(2).update_state(
            np.ones((1, 2, 2, 1)), np.ones((1, 2, 2, 1))
        )


@pytest.mark.parametrize("metric", [metrics.Dice, metrics.IoU])
def test_metric_is_the_same_after_a_round_trip_through_its_config(metric):
    metric = metric(3, multiclass=False, name="mine")
    copy = type(metric).from_config(metric.get_config())
    assert copy.get_config() == metric.get_config()
    assert copy.name == "mine"
    y_true, y_pred = several_labels(multiclass=False)
    for one in (metric, copy):
        one.update_state(y_true, y_pred)
    np.testing.assert_array_equal(copy.per_label(), metric.per_label())


def test_compiled_model_reports_the_metrics_and_is_saved_with_them(tmp_path):
    model = segan_tf.build_segan(image_size=32, width=2)
    model.compile(
        "sgd", "mse", metrics=[segan_tf.metrics.Dice(), segan_tf.metrics.IoU()]
    )
    rng = np.random.default_rng(0)
    image = np.float32(rng.normal(size=(4, 32, 32, 3)))
    y_true = np.float32(image[..., :1] > 0)
    model.fit(image, y_true, batch_size=2, verbose=0)
    values = model.evaluate(
        image, y_true, batch_size=2, return_dict=True, verbose=0
    )
    expected = metrics.Dice()
    expected.update_state(y_true, model(image, training=False))
    np.testing.assert_allclose(values["dice"], expected.result(), 1e-5)
    assert 0 < values["iou"] < values["dice"] < 1
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    again = loaded.evaluate(
        image, y_true, batch_size=2, return_dict=True, verbose=0
    )
    np.testing.assert_allclose(
        [again[name] for name in ("dice", "iou")],
        [values[name] for name in ("dice", "iou")],
        1e-6,
    )


def test_unknown_metric_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'Kappa'"):
        metrics.Kappa  # noqa: B018
