import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from segan_tf import losses
from segan_tf.config import CRITIC_FORMS, LABEL_KINDS, Config
from segan_tf.imaging import preprocessing
from segan_tf.metrics import batch as batch_metrics
from segan_tf.training import distributed_step, train_step
from segan_tf.training.state import build_train_state

RUN = Config(image_size=32, width=2, batch_size=4, learning_rate=0.01)


def build_state(**changes):
    return build_train_state(
        dataclasses.replace(RUN, **changes), steps_per_epoch=10
    )


def batch(count=4):
    image = tf.random.stateless_normal((count, 32, 32, 3), (1, 2))
    label_map = tf.cast(image[..., :1] > 0, tf.float32)
    return image, label_map


def weights(model):
    return [w.numpy().copy() for w in model.weights]


def two_pass_step(state, image, true_label_map):
    """Makes the step the plain way: computes S(x) once for each model."""

    def distances(predicted):
        return losses.scale_distances(
            *(
                [f[:, None] for f in state.critic(image * m, training=True)]
                for m in (predicted, true_label_map)
            )
        )

    def move(optimizer, model, loss, tape):
        variables = model.trainable_variables
        gradients = tape.gradient(loss, variables)
        optimizer.apply_gradients(zip(gradients, variables, strict=True))

    # The first pass changes neither weights nor statistics of S.
    statistics = weights(state.segmentor)
    predicted = state.segmentor(image, training=True)
    for variable, value in zip(
        state.segmentor.weights, statistics, strict=True
    ):
        variable.assign(value)
    with tf.GradientTape() as tape:
        loss = -tf.reduce_mean(losses.multi_scale_l1(distances(predicted)))
    move(state.critic_optimizer, state.critic, loss, tape)
    with tf.GradientTape() as tape:
        predicted = state.segmentor(image, training=True)
        loss = tf.reduce_mean(losses.multi_scale_l1(distances(predicted)))
        loss += state.config.loss_weights["dice_loss"] * tf.reduce_mean(
            losses.soft_dice_loss(true_label_map, predicted)
        )
    move(state.segmentor_optimizer, state.segmentor, loss, tape)


def test_one_pass_of_the_segmentor_gives_the_weights_of_two():
    shared, plain = (
        build_state(dice_weight=0.5),
        build_state(dice_weight=0.5),
    )
    for _ in range(3):
        train_step.train_step(shared, *batch())
        two_pass_step(plain, *batch())
    for ours, theirs in (
        (shared.segmentor, plain.segmentor),
        (shared.critic, plain.critic),
    ):
        for a, b in zip(weights(ours), weights(theirs), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-5)


def test_critic_step_climbs_the_loss_that_the_segmentor_step_descends():
    # Unbounded: the first bounding of fresh weights would lower the loss.
    state = build_state(critic_clip=0.0, learning_rate=1e-4)
    image, true_label_map = batch()
    predicted = state.segmentor(image, training=True)
    seen = train_step.Batch(image, true_label_map)
    before = -train_step.critic_step(state, seen, predicted)["critic_loss"]
    after = -train_step.critic_step(state, seen, predicted)["critic_loss"]
    assert after > before

    still = keras.optimizers.SGD(0.0)  # a critic that does not move
    state = dataclasses.replace(build_state(), critic_optimizer=still)
    first = train_step.train_step(state, image, true_label_map)
    for _ in range(5):
        last = train_step.train_step(state, image, true_label_map)
    assert last["multi_scale_l1"] < first["multi_scale_l1"]


def test_critic_step_does_not_change_the_segmentor():
    state = build_state()
    before = weights(state.segmentor)
    image, true_label_map = batch()
    seen = train_step.Batch(image, true_label_map)
    train_step.critic_step(state, seen, true_label_map * 0.5)
    for a, b in zip(before, weights(state.segmentor), strict=True):
        np.testing.assert_array_equal(a, b)


def test_weights_of_the_critic_stay_within_the_bound():
    state = build_state(critic_clip=0.02)
    train_step.train_step(state, *batch())
    for variable in state.critic.trainable_variables:
        assert np.abs(variable.numpy()).max() <= np.float32(0.02)


def test_segmentor_loss_is_the_distance_plus_the_weighted_dice_term():
    state = build_state(dice_weight=0.25)
    logs = train_step.train_step(state, *batch())
    expected = logs["multi_scale_l1"] + 0.25 * logs["dice_loss"]
    np.testing.assert_allclose(logs["segmentor_loss"], expected, 1e-6)
    np.testing.assert_allclose(
        logs["multi_scale_l1"],
        np.mean(logs["scale_distances"]),
        1e-5,
    )


def test_without_the_critic_the_loss_is_cross_entropy_plus_dice():
    state = build_state(adversarial=False)
    assert state.critic is None
    logs = train_step.train_step(state, *batch())
    np.testing.assert_allclose(
        logs["segmentor_loss"],
        logs["cross_entropy"] + 1.0 * logs["dice_loss"],
        1e-6,
    )
    first = float(logs["segmentor_loss"])
    for _ in range(10):
        logs = train_step.train_step(state, *batch())
    assert logs["segmentor_loss"] < first


def test_losses_of_two_replicas_add_up_to_that_of_the_whole_batch():
    state = build_state(adversarial=False)
    image, true_label_map = batch()
    whole = train_step.train_step(state, image, true_label_map)
    state = build_state(adversarial=False)
    # Without batch statistics the halves are independent of each other.
    halves = [
        losses.soft_dice_loss(
            true_label_map[part], state.segmentor(image[part], training=False)
        )
        for part in (slice(0, 2), slice(2, 4))
    ]
    shares = [float(train_step.replica_share(state, half)) for half in halves]
    every = losses.soft_dice_loss(
        true_label_map, state.segmentor(image, training=False)
    )
    np.testing.assert_allclose(sum(shares), float(np.mean(every)), 1e-5)
    assert whole["dice_loss"].shape == ()


@pytest.mark.parametrize(
    ("predicted", "true", "expected"),
    [
        ([1, 1, 0, 0], [1, 0, 1, 0], 2 * 1 / (2 + 2)),
        ([0.6, 0.4, 0, 0], [1, 0, 0, 0], 1.0),
        ([0, 0, 0, 0], [0, 0, 0, 0], 1.0),
        ([0, 0, 0, 0], [1, 0, 0, 0], 0.0),
    ],
)
def test_hard_dice_of_known_label_maps(predicted, true, expected):
    maps = [
        tf.reshape(tf.constant(values, tf.float32), (1, 2, 2, 1))
        for values in (predicted, true)
    ]
    decided = preprocessing.decide_label_map(maps[0], multiclass=True)
    np.testing.assert_allclose(
        batch_metrics.hard_dice(decided, maps[1]), [[expected]]
    )


def several_labels(count=3):
    """Makes a batch whose labels are multiclass thirds of the noise."""
    image = tf.random.stateless_normal((4, 32, 32, 3), (1, 2))
    bounds = tf.cast(tf.argmax(image, axis=-1), tf.int32)
    return image, tf.one_hot(bounds, 4)[..., :count]


def test_every_critic_form_is_the_same_with_one_label():
    games = {
        form: build_state(dice_weight=0.5, critic_form=form)
        for form in CRITIC_FORMS
    }
    for _ in range(3):
        logs = {f: train_step.train_step(g, *batch()) for f, g in games.items()}
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


@pytest.mark.parametrize("form", CRITIC_FORMS)
@pytest.mark.parametrize("kind", LABEL_KINDS)
def test_every_critic_form_and_label_kind_trains(form, kind):
    state = build_state(
        num_labels=3, critic_form=form, label_kind=kind, dice_weight=1.0
    )
    first = train_step.train_step(state, *several_labels())
    assert first["label_dice_sum"].shape == (3,)
    assert first["label_images"].shape == (3,)
    for _ in range(6):
        last = train_step.train_step(state, *several_labels())
    assert last["dice_loss"] < first["dice_loss"]


@pytest.mark.parametrize("form", ["shared", "per_label"])
def test_a_label_without_weight_does_not_move_the_segmentor(form):
    image, label_map = several_labels(2)
    gradients = []
    for changed in (label_map, label_map * [1.0, 0.0]):
        state = build_state(
            num_labels=2,
            label_kind="multilabel",
            label_weights=(1, 0),
            critic_form=form,
            dice_weight=1.0,
        )
        predicted = state.segmentor(image, training=True)
        if form == "shared":  # whose batch statistics are of all labels
            for layer in state.critic.layers:
                if layer.name.endswith("_norm"):
                    layer.trainable = False
        _, gradient = train_step.segmentor_gradient(
            state, train_step.Batch(image, changed), predicted
        )
        gradients.append(gradient.numpy())
    assert np.abs(gradients[0][..., 0]).max() > 0
    assert np.abs(gradients[0][..., 1]).max() < 1e-9
    np.testing.assert_allclose(gradients[0], gradients[1], atol=1e-9)


def test_sampled_labels_give_the_full_gradient_on_average():
    image, label_map = several_labels()
    state = build_state(
        num_labels=3, critic_form="shared", label_weights=(1, 2, 3)
    )
    for layer in state.critic.layers:
        if layer.name.endswith("_norm"):
            layer.trainable = False  # statistics are of the labels drawn
    predicted = state.segmentor(image, training=True)

    def gradient(label_subset):
        seen = train_step.Batch(image, label_map, label_subset=label_subset)
        _, gradient = train_step.segmentor_gradient(state, seen, predicted)
        return gradient.numpy()

    every = [gradient(tf.one_hot([label], 3)) for label in range(3)]
    np.testing.assert_allclose(np.mean(every, 0), gradient(None), atol=1e-9)
    assert np.abs(every[0]).max() > 0


def test_sampled_labels_depend_only_on_seed_and_step():
    def draws(seed):
        state = build_state(
            num_labels=3,
            critic_form="shared",
            critic_labels_per_step=1,
            seed=seed,
        )
        found = []
        for step in range(12):
            state.segmentor_optimizer.iterations.assign(step)
            found.append(int(tf.argmax(train_step.draw_labels(state), -1)[0]))
        return found

    assert draws(0) == draws(0) != draws(1)
    assert set(draws(0)) == {0, 1, 2}


def test_critic_sees_all_labels_by_default():
    for sampled in (0, 3):
        state = build_state(num_labels=3, critic_labels_per_step=sampled)
        assert train_step.draw_labels(state) is None


def test_confusion_matrix_of_known_label_maps():
    true = tf.one_hot([[[0, 0], [1, 2]]], 2)  # 2 is the background
    predicted = tf.one_hot([[[0, 1], [2, 2]]], 2)
    assert batch_metrics.confusion_matrix(predicted, true).numpy().tolist() == [
        [1, 0, 0],
        [0, 1, 1],
        [1, 0, 0],
    ]


def test_ema_follows_closely_at_first_and_slowly_later():
    state = build_state(ema=0.5)
    mean, weight = state.ema_model.weights[0], state.segmentor.weights[0]
    np.testing.assert_array_equal(mean.numpy(), weight.numpy())
    old = mean.numpy()
    train_step.train_step(state, *batch())
    assert not np.array_equal(old, weight.numpy())
    distributed_step.update_ema(state)
    # One step made: the decay is (1 + 1) / (10 + 1), not yet 0.5.
    expected = 2 / 11 * old + 9 / 11 * weight.numpy()
    np.testing.assert_allclose(mean.numpy(), expected, atol=1e-6)
    state.segmentor_optimizer.iterations.assign(100)
    distributed_step.update_ema(state)
    expected = 0.5 * expected + 0.5 * weight.numpy()
    np.testing.assert_allclose(mean.numpy(), expected, atol=1e-6)


def test_batch_statistics_are_averaged_with_the_weights():
    state = build_state(ema=0.9)
    train_step.train_step(state, *batch())
    distributed_step.update_ema(state)
    now, mean = (
        model.get_layer("down2_norm").moving_variance.numpy()
        for model in (state.segmentor, state.ema_model)
    )
    np.testing.assert_allclose(mean, 2 / 11 * 1 + 9 / 11 * now, atol=1e-6)


def test_eval_model_is_the_averaged_segmentor_if_there_is_one():
    state = build_state()
    assert state.ema_model is None
    assert state.eval_model is state.segmentor
    state = build_state(ema=0.9)
    assert state.eval_model is state.ema_model


@pytest.mark.parametrize("adversarial", [True, False])
def test_every_loss_term_has_its_weight(adversarial):
    state = build_state(
        adversarial=adversarial,
        l1_weight=10.0,
        dice_weight=0.5,
        cross_entropy_weight=2.0,
    )
    logs = train_step.train_step(state, *batch())
    expected = 0.5 * logs["dice_loss"] + 2 * logs["cross_entropy"]
    if adversarial:
        expected += 10 * logs["multi_scale_l1"]
    np.testing.assert_allclose(logs["segmentor_loss"], expected, 1e-6)


def test_label_that_is_never_predicted_has_a_training_dice_of_0():
    state = build_state(num_labels=2, label_kind="multilabel")
    last_bias = state.segmentor.trainable_variables[-1]
    last_bias.assign([0.0, -100.0])
    true = np.zeros((4, 32, 32, 2), np.float32)
    true[:, :16, :, 0] = 1
    true[0, :4, :, 1] = 1  # the second label is in one of four images

    logs = train_step.train_step(state, batch()[0], tf.constant(true))

    np.testing.assert_array_equal(logs["label_images"], [4, 1])
    # Not 3 of 4, of the images that lack it.
    assert logs["label_dice_sum"][1] == 0
