import math

import numpy as np
import tensorflow as tf

from segan_tf import losses


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


def test_soft_dice_loss_by_hand():
    p = tf.reshape(tf.constant([1.0, 0.5]), (1, 1, 2, 1))
    y = tf.reshape(tf.constant([1.0, 0.0]), (1, 1, 2, 1))
    # both 1 * 1 + 0.5 * 0, each 1 + 0.25 + 1 + 0, and e = 1
    expected = 1 - (2 * 1 + 1) / (1.25 + 1 + 1)
    np.testing.assert_allclose(losses.soft_dice_loss(y, p), [expected], 1e-6)


def test_soft_dice_loss_of_an_absent_label_by_hand():
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


def test_cross_entropy_by_hand():
    p = tf.reshape(tf.constant([0.5, 0.25]), (1, 1, 2, 1))
    y = tf.reshape(tf.constant([1.0, 0.0]), (1, 1, 2, 1))
    expected = -(math.log(0.5) + math.log(1 - 0.25)) / 2
    np.testing.assert_allclose(losses.cross_entropy(y, p), [expected], 1e-6)


def test_cross_entropy_stays_finite_when_certain_and_wrong():
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


def test_label_weights_weigh_dice_and_cross_entropy():
    y = tf.ones((1, 3, 3, 2))
    p = tf.concat([tf.ones((1, 3, 3, 1)), tf.zeros((1, 3, 3, 1))], axis=-1)
    loss = losses.soft_dice_loss(y, p, weights=(0.5, 1.5))
    np.testing.assert_allclose(loss, [1.5 * (1 - 1 / 10) / 2], 1e-6)
    half = tf.fill((1, 3, 3, 2), 0.5)
    loss = losses.cross_entropy(y, half, multiclass=False, weights=(0.5, 1.5))
    np.testing.assert_allclose(loss, [math.log(2) * (0.5 + 1.5) / 2], 1e-6)


def test_label_that_the_image_lacks_adds_nothing_when_not_predicted():
    y = tf.concat([tf.ones((1, 2, 2, 1)), tf.zeros((1, 2, 2, 1))], axis=-1)
    np.testing.assert_allclose(losses.soft_dice_loss(y, y), [0], atol=1e-7)
    # Predicted in one of 4 pixels: 1 - 4 / (1 + 4), halved by the mean.
    p = tf.reshape(tf.constant([1, 1, 1, 0, 1, 0, 1, 0.0]), (1, 2, 2, 2))
    np.testing.assert_allclose(
        losses.soft_dice_loss(y, p), [(1 - 4 / (1 + 4)) / 2], 1e-6
    )


def test_cross_entropy_of_exclusive_labels_by_hand():
    # One pixel is label 1, one background: -(log 0.5 + log 0.7) / 2.
    p = tf.reshape(tf.constant([0.5, 0.25, 0.1, 0.2]), (1, 1, 2, 2))
    y = tf.reshape(tf.constant([1.0, 0.0, 0.0, 0.0]), (1, 1, 2, 2))
    expected = -(math.log(0.5) + math.log(1 - 0.1 - 0.2)) / 2
    np.testing.assert_allclose(losses.cross_entropy(y, p), [expected], 1e-6)


def test_both_kinds_of_cross_entropy_are_one_for_a_single_label():
    p = tf.random.stateless_uniform((2, 4, 4, 1), (1, 2))
    y = tf.cast(p > 0.3, tf.float32)
    np.testing.assert_allclose(
        losses.cross_entropy(y, p, multiclass=True),
        losses.cross_entropy(y, p, multiclass=False),
        1e-5,
    )
