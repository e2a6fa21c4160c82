import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from segan_tf import config
from segan_tf.data import preprocessing
from segan_tf.training import distribution, losses, steps

RUN = config.Config(image_size=32, width=2, batch_size=4, learning_rate=0.01)


def build_game(**changes):
    return distribution.build_game(
        dataclasses.replace(RUN, **changes), steps_per_epoch=10
    )


def batch(count=4):
    image = tf.random.stateless_normal((count, 32, 32, 3), (1, 2))
    label_map = tf.cast(image[..., :1] > 0, tf.float32)
    return image, label_map


def weights(model):
    return [w.numpy().copy() for w in model.weights]


def two_pass_step(game, image, true_label_map):
    """Makes the step in the plain way: S(x) anew for each of the two."""

    def distances(predicted):
        return losses.scale_distances(
            *(
                [f[:, None] for f in game.critic(image * m, training=True)]
                for m in (predicted, true_label_map)
            )
        )

    def move(optimizer, model, loss, tape):
        variables = model.trainable_variables
        gradients = tape.gradient(loss, variables)
        optimizer.apply_gradients(zip(gradients, variables, strict=True))

    # The first pass changes neither weights nor statistics of S.
    statistics = weights(game.segmentor)
    predicted = game.segmentor(image, training=True)
    for variable, value in zip(game.segmentor.weights, statistics, strict=True):
        variable.assign(value)
    with tf.GradientTape() as tape:
        loss = -tf.reduce_mean(losses.multi_scale_l1(distances(predicted)))
    move(game.critic_optimizer, game.critic, loss, tape)
    with tf.GradientTape() as tape:
        predicted = game.segmentor(image, training=True)
        loss = tf.reduce_mean(losses.multi_scale_l1(distances(predicted)))
        loss += game.run.loss_weights["dice_loss"] * tf.reduce_mean(
            losses.soft_dice_loss(predicted, true_label_map)
        )
    move(game.segmentor_optimizer, game.segmentor, loss, tape)


def test_one_pass_of_the_segmentor_gives_the_weights_of_two():
    shared, plain = build_game(dice_weight=0.5), build_game(dice_weight=0.5)
    for _ in range(3):
        steps.train_step(shared, *batch())
        two_pass_step(plain, *batch())
    for ours, theirs in (
        (shared.segmentor, plain.segmentor),
        (shared.critic, plain.critic),
    ):
        for a, b in zip(weights(ours), weights(theirs), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-5)


def test_critic_step_climbs_the_loss_that_the_segmentor_step_descends():
    # Unbounded: the first bounding of fresh weights would lower the loss.
    game = build_game(critic_clip=0.0, learning_rate=1e-4)
    image, true_label_map = batch()
    predicted = game.segmentor(image, training=True)
    before = -steps.critic_step(game, image, predicted, true_label_map)[
        "critic_loss"
    ]
    after = -steps.critic_step(game, image, predicted, true_label_map)[
        "critic_loss"
    ]
    assert after > before

    still = keras.optimizers.SGD(0.0)  # a critic that does not move
    game = dataclasses.replace(build_game(), critic_optimizer=still)
    first = steps.train_step(game, image, true_label_map)
    for _ in range(5):
        last = steps.train_step(game, image, true_label_map)
    assert last["multi_scale_l1"] < first["multi_scale_l1"]


def test_critic_step_leaves_the_segmentor_alone():
    game = build_game()
    before = weights(game.segmentor)
    image, true_label_map = batch()
    steps.critic_step(game, image, true_label_map * 0.5, true_label_map)
    for a, b in zip(before, weights(game.segmentor), strict=True):
        np.testing.assert_array_equal(a, b)


def test_weights_of_the_critic_stay_within_the_bound():
    game = build_game(critic_clip=0.02)
    steps.train_step(game, *batch())
    for variable in game.critic.trainable_variables:
        assert np.abs(variable.numpy()).max() <= np.float32(0.02)


def test_segmentor_loss_is_the_distance_plus_the_weighted_dice_term():
    game = build_game(dice_weight=0.25)
    logs = steps.train_step(game, *batch())
    expected = logs["multi_scale_l1"] + 0.25 * logs["dice_loss"]
    np.testing.assert_allclose(logs["segmentor_loss"], expected, 1e-6)
    np.testing.assert_allclose(
        logs["multi_scale_l1"],
        np.mean(logs["scale_distances"]),
        1e-5,
    )


def test_without_the_critic_the_loss_is_cross_entropy_plus_dice():
    game = build_game(adversarial=False)
    assert game.critic is None
    logs = steps.train_step(game, *batch())
    np.testing.assert_allclose(
        logs["segmentor_loss"],
        logs["cross_entropy"] + 1.0 * logs["dice_loss"],
        1e-6,
    )
    first = float(logs["segmentor_loss"])
    for _ in range(10):
        logs = steps.train_step(game, *batch())
    assert logs["segmentor_loss"] < first


def test_losses_of_two_replicas_add_up_to_that_of_the_whole_batch():
    game = build_game(adversarial=False)
    image, true_label_map = batch()
    whole = steps.train_step(game, image, true_label_map)
    game = build_game(adversarial=False)
    # Without batch statistics the halves are independent of each other.
    halves = [
        losses.soft_dice_loss(
            game.segmentor(image[part], training=False), true_label_map[part]
        )
        for part in (slice(0, 2), slice(2, 4))
    ]
    shares = [float(steps._share(game, half)) for half in halves]
    every = losses.soft_dice_loss(
        game.segmentor(image, training=False), true_label_map
    )
    np.testing.assert_allclose(sum(shares), float(np.mean(every)), 1e-5)
    assert whole["dice_loss"].shape == ()


@pytest.mark.parametrize(
    "predicted, true, expected",
    [
        ([1, 1, 0, 0], [1, 0, 1, 0], 2 * 1 / (2 + 2)),
        ([0.6, 0.4, 0, 0], [1, 0, 0, 0], 1.0),
        ([0, 0, 0, 0], [0, 0, 0, 0], 1.0),
        ([0, 0, 0, 0], [1, 0, 0, 0], 0.0),
    ],
)
def test_hard_dice_by_hand(predicted, true, expected):
    maps = [
        tf.reshape(tf.constant(values, tf.float32), (1, 2, 2, 1))
        for values in (predicted, true)
    ]
    decided = preprocessing.decide_label_map(maps[0], exclusive=True)
    np.testing.assert_allclose(steps.hard_dice(decided, maps[1]), [[expected]])


def several_labels(count=3):
    """Makes a batch whose labels are exclusive thirds of the noise."""
    image = tf.random.stateless_normal((4, 32, 32, 3), (1, 2))
    bounds = tf.cast(tf.argmax(image, axis=-1), tf.int32)
    return image, tf.one_hot(bounds, 4)[..., :count]


def test_with_one_label_every_form_is_the_same_segan():
    games = {
        form: build_game(dice_weight=0.5, critic_form=form)
        for form in config.CRITIC_FORMS
    }
    for _ in range(3):
        logs = {f: steps.train_step(g, *batch()) for f, g in games.items()}
        for form in ("stacked", "per_label"):
            for name, value in logs["shared"].items():
                np.testing.assert_allclose(value, logs[form][name], rtol=1e-5)
    for form in ("stacked", "per_label"):
        for player in ("segmentor", "critic"):
            pairs = zip(
                weights(getattr(games["shared"], player)),
                weights(getattr(games[form], player)),
                strict=True,
            )
            for a, b in pairs:
                np.testing.assert_allclose(a, b, atol=1e-5)


@pytest.mark.parametrize("form", config.CRITIC_FORMS)
@pytest.mark.parametrize("kind", config.LABEL_KINDS)
def test_every_form_and_kind_learns_several_labels(form, kind):
    game = build_game(
        num_labels=3, critic_form=form, label_kind=kind, dice_weight=1.0
    )
    first = steps.train_step(game, *several_labels())
    assert first["label_dice"].shape == (3,)
    np.testing.assert_allclose(first["dice"], np.mean(first["label_dice"]))
    for _ in range(20):
        last = steps.train_step(game, *several_labels())
    assert last["dice_loss"] < first["dice_loss"]


@pytest.mark.parametrize("form", ["shared", "per_label"])
def test_a_label_without_weight_does_not_move_the_segmentor(form):
    image, label_map = several_labels(2)
    pulls = []
    for changed in (label_map, label_map * [1.0, 0.0]):
        game = build_game(
            num_labels=2,
            label_kind="overlapping",
            label_weights=(1, 0),
            critic_form=form,
            dice_weight=1.0,
        )
        predicted = game.segmentor(image, training=True)
        if form == "shared":  # whose batch statistics are of all labels
            for layer in game.critic.layers:
                if layer.name.endswith("_norm"):
                    layer.trainable = False
        _, pull = steps._pull(game, image, predicted, changed, seen=None)
        pulls.append(pull.numpy())
    assert np.abs(pulls[0][..., 0]).max() > 0
    assert np.abs(pulls[0][..., 1]).max() < 1e-9
    np.testing.assert_allclose(pulls[0], pulls[1], atol=1e-9)


def test_sampled_labels_give_the_whole_gradient_on_average():
    image, label_map = several_labels()
    game = build_game(
        num_labels=3, critic_form="shared", label_weights=(1, 2, 3)
    )
    for layer in game.critic.layers:
        if layer.name.endswith("_norm"):
            layer.trainable = False  # statistics are of the labels drawn
    predicted = game.segmentor(image, training=True)

    def pull(seen):
        _, pull = steps._pull(game, image, predicted, label_map, seen=seen)
        return pull.numpy()

    every = [pull(tf.one_hot([label], 3)) for label in range(3)]
    np.testing.assert_allclose(np.mean(every, 0), pull(None), atol=1e-9)
    assert np.abs(every[0]).max() > 0


def test_sampled_labels_follow_from_seed_and_step():
    def draws(seed):
        game = build_game(
            num_labels=3,
            critic_form="shared",
            critic_labels_per_step=1,
            seed=seed,
        )
        found = []
        for step in range(12):
            game.segmentor_optimizer.iterations.assign(step)
            found.append(int(tf.argmax(steps._draw_labels(game), -1)[0]))
        return found

    assert draws(0) == draws(0) != draws(1)
    assert set(draws(0)) == {0, 1, 2}


def test_all_labels_are_seen_unless_fewer_are_asked_for():
    for sampled in (0, 3):
        game = build_game(num_labels=3, critic_labels_per_step=sampled)
        assert steps._draw_labels(game) is None


def test_confusion_matrix_by_hand():
    true = tf.one_hot([[[0, 0], [1, 2]]], 2)  # 2 is the background
    predicted = tf.one_hot([[[0, 1], [2, 2]]], 2)
    assert steps.confusion_matrix(predicted, true).numpy().tolist() == [
        [1, 0, 0],
        [0, 1, 1],
        [1, 0, 0],
    ]


def test_the_mean_of_weights_follows_closely_at_first_and_slowly_later():
    game = build_game(ema=0.5)
    mean, weight = game.averaged.weights[0], game.segmentor.weights[0]
    np.testing.assert_array_equal(mean.numpy(), weight.numpy())
    old = mean.numpy()
    steps.train_step(game, *batch())
    assert not np.array_equal(old, weight.numpy())
    steps.average_weights(game)
    # One step made: the decay is (1 + 1) / (10 + 1), not yet 0.5.
    expected = 2 / 11 * old + 9 / 11 * weight.numpy()
    np.testing.assert_allclose(mean.numpy(), expected, atol=1e-6)
    game.segmentor_optimizer.iterations.assign(100)
    steps.average_weights(game)
    expected = 0.5 * expected + 0.5 * weight.numpy()
    np.testing.assert_allclose(mean.numpy(), expected, atol=1e-6)


def test_batch_statistics_are_averaged_with_the_weights():
    game = build_game(ema=0.9)
    steps.train_step(game, *batch())
    steps.average_weights(game)
    now, mean = (
        model.get_layer("down2_norm").moving_variance.numpy()
        for model in (game.segmentor, game.averaged)
    )
    np.testing.assert_allclose(mean, 2 / 11 * 1 + 9 / 11 * now, atol=1e-6)


def test_the_averaged_segmentor_is_the_result_where_there_is_one():
    game = build_game()
    assert game.averaged is None and game.result is game.segmentor
    game = build_game(ema=0.9)
    assert game.result is game.averaged


@pytest.mark.parametrize("adversarial", [True, False])
def test_every_term_counts_with_its_weight(adversarial):
    game = build_game(
        adversarial=adversarial,
        l1_weight=10.0,
        dice_weight=0.5,
        cross_entropy_weight=2.0,
    )
    logs = steps.train_step(game, *batch())
    expected = 0.5 * logs["dice_loss"] + 2 * logs["cross_entropy"]
    if adversarial:
        expected += 10 * logs["multi_scale_l1"]
    np.testing.assert_allclose(logs["segmentor_loss"], expected, 1e-6)
