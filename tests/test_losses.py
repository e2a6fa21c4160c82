import math

import keras
import numpy as np
import pytest
import tensorflow as tf

import segan_tf
from segan_tf import losses
from segan_tf.config import CRITIC_FORMS
from segan_tf.models import critic as critic_lib


def features(*values):
    """Makes a scale's features [1, 1, 1, n, 1], of one view, of n numbers."""
    return tf.reshape(tf.constant(values, tf.float32), (1, 1, 1, -1, 1))


def multi_scale_l1(ours, theirs, weights=()):
    return losses.multi_scale_l1(losses.scale_distances(ours, theirs), weights)


def test_multi_scale_l1_is_the_mean_over_scales_of_mean_differences():
    ours = [features(1, 3), features(4)]
    theirs = [features(2, 5), features(0)]
    loss = multi_scale_l1(ours, theirs)
    assert loss.shape == (1,)
    # (1 + 2) / 2 at the first scale, 4 at the second
    np.testing.assert_allclose(loss, [(1.5 + 4) / 2])


def test_scale_distances_keep_images_apart():
    ours = [tf.concat([features(1, 3), features(0, 0)], axis=0)]
    theirs = [tf.zeros_like(ours[0])]
    distances = losses.scale_distances(ours, theirs)
    np.testing.assert_allclose(distances, [[[(1 + 3) / 2]], [[0]]])


def test_multi_scale_l1_of_equal_features_is_zero():
    same = [features(1, -2, 3)]
    assert multi_scale_l1(same, same).numpy().tolist() == [0.0]


def test_soft_dice_loss_of_a_worked_example():
    p = tf.reshape(tf.constant([1.0, 0.5]), (1, 1, 2, 1))
    y = tf.reshape(tf.constant([1.0, 0.0]), (1, 1, 2, 1))
    # both 1 * 1 + 0.5 * 0, each 1 + 0.25 + 1 + 0, and e = 1
    expected = 1 - (2 * 1 + 1) / (1.25 + 1 + 1)
    np.testing.assert_allclose(losses.soft_dice_loss(y, p), [expected], 1e-6)


def test_soft_dice_loss_of_an_absent_label():
    p = tf.reshape(tf.constant([1.0, 0.5]), (1, 1, 2, 1))
    # e is the 2 pixels of the image.
    expected = 1 - 2 / (1 + 0.25 + 2)
    loss = losses.soft_dice_loss(tf.zeros_like(p), p)
    np.testing.assert_allclose(loss, [expected], 1e-6)


def test_images_without_a_label_do_not_outweigh_those_with_it():
    # 0.05 everywhere, as at the start of learning a rare label.
    p = tf.Variable(tf.fill((2, 64, 64, 1), 0.05))
    y = np.zeros((2, 64, 64, 1), np.float32)
    y[0, 10:12] = 1  # the first image has the label, a thin line
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(losses.soft_dice_loss(tf.constant(y), p))
    pull = tape.gradient(loss, p).numpy()
    towards = np.abs(pull[0][y[0] == 1]).sum()
    away = pull[1].sum()
    assert pull[0][y[0] == 1].max() < 0 < pull[1].min()
    assert away < towards


def test_soft_dice_loss_of_two_empty_maps_is_zero():
    empty = tf.zeros((2, 4, 4, 1))
    np.testing.assert_allclose(losses.soft_dice_loss(empty, empty), [0, 0])


def test_soft_dice_loss_is_the_mean_over_labels():
    y = tf.ones((1, 3, 3, 2))
    p = tf.concat([tf.ones((1, 3, 3, 1)), tf.zeros((1, 3, 3, 1))], axis=-1)
    # The first label agrees, of the second nothing is found: 1 - 1 / (9 + 1).
    expected = (0 + (1 - 1 / 10)) / 2
    np.testing.assert_allclose(losses.soft_dice_loss(y, p), [expected], 1e-6)


def test_cross_entropy_of_a_worked_example():
    p = tf.reshape(tf.constant([0.5, 0.25]), (1, 1, 2, 1))
    y = tf.reshape(tf.constant([1.0, 0.0]), (1, 1, 2, 1))
    expected = -(math.log(0.5) + math.log(1 - 0.25)) / 2
    np.testing.assert_allclose(losses.cross_entropy(y, p), [expected], 1e-6)


def test_cross_entropy_of_a_certain_and_wrong_prediction_is_finite():
    loss = losses.cross_entropy(tf.zeros((1, 2, 2, 1)), tf.ones((1, 2, 2, 1)))
    assert np.isfinite(loss).all()
    assert loss[0] > 10


def test_multi_scale_l1_is_the_mean_over_the_views():
    distances = tf.constant([[[1.0, 3.0], [5.0, 7.0]]])  # two views
    loss = losses.multi_scale_l1(distances)
    np.testing.assert_allclose(loss, [((1 + 3) / 2 + (5 + 7) / 2) / 2])
    # Weights of mean 1: the second view alone, counted twice.
    loss = losses.multi_scale_l1(distances, (0.0, 2.0))
    np.testing.assert_allclose(loss, [(0 * 2 + 2 * 6) / 2])


def test_label_weights_apply_to_dice_and_cross_entropy():
    y = tf.ones((1, 3, 3, 2))
    p = tf.concat([tf.ones((1, 3, 3, 1)), tf.zeros((1, 3, 3, 1))], axis=-1)
    loss = losses.soft_dice_loss(y, p, weights=(0.5, 1.5))
    np.testing.assert_allclose(loss, [1.5 * (1 - 1 / 10) / 2], 1e-6)
    half = tf.fill((1, 3, 3, 2), 0.5)
    loss = losses.cross_entropy(y, half, multiclass=False, weights=(0.5, 1.5))
    np.testing.assert_allclose(loss, [math.log(2) * (0.5 + 1.5) / 2], 1e-6)


def test_absent_label_adds_nothing_unless_predicted():
    y = tf.concat([tf.ones((1, 2, 2, 1)), tf.zeros((1, 2, 2, 1))], axis=-1)
    np.testing.assert_allclose(losses.soft_dice_loss(y, y), [0], atol=1e-7)
    # Predicted in one of 4 pixels: 1 - 4 / (1 + 4), halved by the mean.
    p = tf.reshape(tf.constant([1, 1, 1, 0, 1, 0, 1, 0.0]), (1, 2, 2, 2))
    np.testing.assert_allclose(
        losses.soft_dice_loss(y, p), [(1 - 4 / (1 + 4)) / 2], 1e-6
    )


def test_cross_entropy_of_multiclass_labels():
    # One pixel is label 1, one background: -(log 0.5 + log 0.7) / 2.
    p = tf.reshape(tf.constant([0.5, 0.25, 0.1, 0.2]), (1, 1, 2, 2))
    y = tf.reshape(tf.constant([1.0, 0.0, 0.0, 0.0]), (1, 1, 2, 2))
    expected = -(math.log(0.5) + math.log(1 - 0.1 - 0.2)) / 2
    np.testing.assert_allclose(losses.cross_entropy(y, p), [expected], 1e-6)


def test_both_kinds_of_cross_entropy_are_equal_for_a_single_label():
    p = tf.random.stateless_uniform((2, 4, 4, 1), (1, 2))
    y = tf.cast(p > 0.3, tf.float32)
    np.testing.assert_allclose(
        losses.cross_entropy(y, p, multiclass=True),
        losses.cross_entropy(y, p, multiclass=False),
        1e-5,
    )


def label_map(*values):
    """Makes a label map of one row and one label: [1, 1, n, 1]."""
    return np.reshape(np.float32(values), (1, 1, -1, 1))


def round_trip(loss):
    return type(loss).from_config(loss.get_config())


def test_soft_dice_object_of_a_worked_example():
    loss = losses.SoftDice()(label_map(1, 0), label_map(1, 0.5))
    np.testing.assert_allclose(loss, 1 - (2 * 1 + 1) / (1.25 + 1 + 1), 1e-6)


def test_cross_entropy_dice_object_of_a_worked_example():
    loss = losses.CrossEntropyDice()(label_map(1, 0), label_map(0.5, 0.5))
    expected = -math.log(0.5) + 1 - (2 * 0.5 + 1) / (0.5 + 1 + 1)
    np.testing.assert_allclose(loss, expected, 1e-6)


def test_objects_average_over_the_batch():
    y_true = np.concatenate([label_map(1, 0), label_map(0, 0)])
    y_pred = np.concatenate([label_map(1, 0.5), label_map(1, 0.5)])
    expected = [1 - (2 * 1 + 1) / (1.25 + 1 + 1), 1 - 2 / (1.25 + 2)]
    loss = losses.SoftDice()(y_true, y_pred)
    np.testing.assert_allclose(loss, sum(expected) / 2, 1e-6)
    weights = np.float32([1, 0])
    loss = losses.SoftDice(reduction="sum")(y_true, y_pred, weights)
    np.testing.assert_allclose(loss, expected[0], 1e-6)


def test_objects_accept_integer_label_maps():
    loss = losses.SoftDice()(np.uint8(label_map(1, 0)), label_map(1, 0.5))
    np.testing.assert_allclose(loss, 1 - (2 * 1 + 1) / (1.25 + 1 + 1), 1e-6)


@pytest.mark.parametrize("multiclass", [True, False])
def test_objects_scale_label_weights_to_a_mean_of_one(multiclass):
    uniform = tf.random.stateless_uniform((2, 4, 4, 2), (1, 2))
    p, y = uniform / 2, tf.cast(uniform > [[[[0.5, 1]]]], tf.float32)
    scaled = (2 * 1 / (1 + 3), 2 * 3 / (1 + 3))
    dice = losses.soft_dice_loss(y, p, weights=scaled)
    loss = losses.SoftDice(label_weights=(1, 3))(y, p)
    np.testing.assert_allclose(loss, np.mean(dice), 1e-6)
    entropy = losses.cross_entropy(y, p, weights=scaled, multiclass=multiclass)
    loss = losses.CrossEntropyDice(multiclass, (1, 3))(y, p)
    np.testing.assert_allclose(loss, np.mean(dice + entropy), 1e-6)


@pytest.mark.parametrize("weights", [(1, -1), (0, 0)])
def test_impossible_label_weights_are_an_error(weights):
    with pytest.raises(ValueError, match="must be 0 or more, and not all 0"):
        losses.SoftDice(label_weights=weights)


@pytest.mark.parametrize(
    ("true_shape", "predicted_shape"),
    [((1, 4, 4), (1, 4, 4, 1)), ((1, 4, 4, 1), (1, 4, 4, 3))],
)
def test_shapes_that_would_broadcast_are_an_error(true_shape, predicted_shape):
    with pytest.raises(ValueError, match="must have the same shape"):
        losses.SoftDice()(np.zeros(true_shape), np.zeros(predicted_shape))


def test_wrong_number_of_label_weights_is_an_error():
    with pytest.raises(ValueError, match=r"\(2 numbers\) must be one for each"):
        losses.SoftDice((1, 2))(label_map(1, 0), label_map(1, 0))


@pytest.mark.parametrize(
    "loss",
    [
        losses.SoftDice((1, 3), reduction="sum"),
        losses.CrossEntropyDice(False, (1, 3), name="mine"),
    ],
)
def test_object_is_the_same_after_a_round_trip_through_its_config(loss):
    copy = round_trip(loss)
    assert copy.get_config() == loss.get_config()
    assert copy.name == loss.name
    y = tf.cast(
        tf.random.stateless_uniform((2, 4, 4, 2), (1, 2)) > 0.5, tf.float32
    )
    p = tf.random.stateless_uniform((2, 4, 4, 2), (3, 4))
    np.testing.assert_array_equal(copy(y, p), loss(y, p))


def identity_critic():
    """Builds a critic whose scales are the masked image and twice that."""
    masked = keras.Input((1, 2, 3))
    double = keras.layers.Rescaling(2.0)(masked)
    return keras.Model(masked, [keras.layers.Rescaling(1.0)(masked), double])


def test_multi_scale_l1_object_of_a_worked_example():
    y_true = losses.stack_image(tf.fill((1, 1, 2, 3), 2.0), label_map(1, 0))
    assert y_true.shape == (1, 1, 2, 3 + 1)
    loss = losses.MultiScaleL1(identity_critic())(y_true, label_map(1, 0.5))
    distances = [(0 + 2 * 0.5) / 2, 2 * (0 + 2 * 0.5) / 2]
    np.testing.assert_allclose(loss, sum(distances) / 2, 1e-6)


@pytest.mark.parametrize("form", CRITIC_FORMS)
def test_multi_scale_l1_object_is_the_function_over_the_critic_s_features(form):
    critic = segan_tf.build_critic(
        image_size=32, width=2, num_labels=3, form=form
    )
    image = tf.random.stateless_normal((2, 32, 32, 3), (1, 2))
    y = tf.one_hot(tf.argmax(image, axis=-1), 3)
    p = tf.random.stateless_uniform((2, 32, 32, 3), (3, 4))
    features = [
        critic_lib.compute_features(critic, form, image, m) for m in (p, y)
    ]
    weights = () if form == "stacked" else (1, 2, 3)
    expected = losses.multi_scale_l1(
        losses.scale_distances(*features), losses.scale_weights(weights)
    )
    loss = losses.MultiScaleL1(critic, form, label_weights=weights)
    actual = loss(losses.stack_image(image, y), p)
    np.testing.assert_allclose(actual, np.mean(expected), 1e-6)


def test_label_weights_for_the_stacked_critic_are_an_error():
    with pytest.raises(ValueError, match=r"label_weights \(1, 2\) have no eff"):
        losses.MultiScaleL1(identity_critic(), label_weights=(1, 2))


def test_multi_scale_l1_trains_a_segmentor_in_fit_with_a_fixed_critic(tmp_path):
    segmentor = segan_tf.build_segan(image_size=32, width=2)
    critic = segan_tf.build_critic(image_size=32, width=2)
    before = [weight.numpy() for weight in critic.trainable_weights]
    image = tf.random.stateless_normal((4, 32, 32, 3), (1, 2))
    y_true = losses.stack_image(image, image[..., :1] > 0)
    segmentor.compile("adam", loss=losses.MultiScaleL1(critic))
    history = segmentor.fit(image, y_true, epochs=5, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    for old, new in zip(before, critic.trainable_weights, strict=True):
        np.testing.assert_array_equal(old, new.numpy())
    segmentor.save(tmp_path / "model.keras")
    with pytest.warns(UserWarning, match="MultiScaleL1 .* is untrained"):
        loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.loss.form == "stacked"
    for ours, theirs in zip(
        critic.layers, loaded.loss.critic.layers, strict=True
    ):
        assert ours.get_config() == theirs.get_config()
    np.testing.assert_array_equal(
        loaded(image, training=False), segmentor(image, training=False)
    )


@pytest.mark.parametrize("loss", [losses.SoftDice, losses.CrossEntropyDice])
def test_compiled_model_is_saved_with_its_loss(loss, tmp_path):
    model = segan_tf.build_segan(image_size=32, width=2)
    model.compile("adam", loss=loss(label_weights=(2,)))
    image = tf.random.stateless_normal((4, 32, 32, 3), (1, 2))
    y_true = tf.cast(image[..., :1] > 0, tf.float32)
    model.fit(image, y_true, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.loss.get_config() == model.loss.get_config()
    np.testing.assert_allclose(
        loaded.evaluate(image, y_true, verbose=0),
        model.evaluate(image, y_true, verbose=0),
        1e-6,
    )
