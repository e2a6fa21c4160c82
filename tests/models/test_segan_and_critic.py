import keras
import numpy as np
import pytest
import tensorflow as tf

from segan_tf import config
from segan_tf.models import critic, layers, segan, weights


def test_segmentor_maps_an_image_to_one_probability_per_pixel_and_label():
    model = segan.build_segan(image_size=32, width=2, num_labels=3)
    image = tf.random.stateless_normal((2, 32, 32, 3), (1, 2))
    label_map = model(image, training=False).numpy()
    assert label_map.shape == (2, 32, 32, 3)
    assert label_map.dtype == np.float32
    assert label_map.min() > 0
    assert label_map.max() < 1


def test_segmentor_has_the_paper_s_number_of_weights():
    model = segan.build_segan(image_size=32, width=64)
    down = [3 * 64, 64 * 128, 128 * 256, 256 * 512]
    # A level's input is the level below and, but for the first, its skip.
    up = [512 * 256, (256 + 256) * 128, (128 + 128) * 64, (64 + 64) * 1]
    kernels = 16 * sum(down) + 9 * sum(up)
    biases = 64 + 1  # levels without batch normalization
    norms = 4 * (128 + 256 + 512 + 256 + 128 + 64)
    assert model.count_params() == kernels + biases + norms


def test_critic_returns_the_features_of_four_halving_scales():
    model = critic.build_critic(image_size=32, width=2)
    features = model(tf.zeros((1, 32, 32, 3)))
    assert [tuple(f.shape) for f in features] == [
        (1, 16, 16, 2),
        (1, 8, 8, 4),
        (1, 4, 4, 8),
        (1, 2, 2, 16),
    ]


@pytest.mark.parametrize("labels", [1, 3])
def test_every_layer_is_named(labels):
    for model in (
        segan.build_segan(image_size=32, width=2, num_labels=labels),
        critic.build_critic(image_size=32, width=2, num_labels=labels),
    ):
        for layer in model.layers:
            assert layer.name[0].isalpha()
            assert not layer.name.startswith(
                ("conv2d", "batch_normalization", "functional", "re_lu")
            )


def test_all_levels_but_the_first_are_normalized():
    model = critic.build_critic(image_size=32, width=2)
    names = {layer.name for layer in model.layers}
    assert "scale1_norm" not in names
    assert {"scale2_norm", "scale3_norm", "scale4_norm"} <= names


def test_mask_image_multiplies_every_channel_by_each_label():
    image = tf.constant([[[[2.0, 3.0, 5.0]]]])
    label_map = tf.constant([[[[0.5, 0.0]]]])
    masked = critic.mask_image(image, label_map).numpy()
    assert masked.tolist() == [[[[1.0, 1.5, 2.5, 0.0, 0.0, 0.0]]]]


def test_clip_bounds_weights_on_both_sides():
    clipped = layers.Clip(0.05)(tf.constant([-1.0, -0.04, 0.05, 2.0]))
    np.testing.assert_allclose(clipped, [-0.05, -0.04, 0.05, 0.05])


@pytest.mark.parametrize("labels", [1, 3])
def test_resize_conv_is_a_resize_and_then_a_convolution(labels):
    keras.utils.set_random_seed(0)  # the tolerance is for one kernel
    layer = layers.ResizeConv(labels, name="logits")
    x = tf.random.stateless_normal((2, 6, 4, 5), (1, 2))
    layer(x)
    layer.bias.assign(tf.range(labels, dtype=tf.float32))

    def plain(x):
        resized = tf.image.resize(x, (12, 8))
        return tf.nn.conv2d(resized, layer.kernel, 1, "SAME") + layer.bias

    results = []
    for function in (layer, plain):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = function(x)
            loss = tf.reduce_sum(tf.sin(y))
        gradients = tape.gradient(loss, [x, *layer.trainable_variables])
        results.append([y, *gradients])
    for ours, plain_one in zip(*results, strict=True):
        np.testing.assert_allclose(ours, plain_one, atol=2e-5)


def test_mixed_precision_still_returns_float32_probabilities():
    model = segan.build_segan(image_size=32, width=2, dtype="mixed_bfloat16")
    assert model.get_layer("down1_conv").compute_dtype == "bfloat16"
    assert model(tf.zeros((1, 32, 32, 3))).dtype == tf.float32


def test_multiclass_labels_share_a_softmax_with_the_background():
    model = segan.build_segan(image_size=32, width=2, num_labels=2)
    image = tf.random.stateless_normal((1, 32, 32, 3), (1, 2))
    logits = keras.Model(model.input, model.get_layer("logits").output)(image)
    exponents = np.exp(
        np.concatenate([np.zeros_like(logits[..., :1]), logits], -1)
    )
    expected = exponents / exponents.sum(-1, keepdims=True)
    np.testing.assert_allclose(model(image), expected[..., 1:], atol=1e-6)


def test_multilabel_labels_have_a_sigmoid_each():
    model = segan.build_segan(
        image_size=32, width=2, num_labels=2, multiclass=False
    )
    image = tf.random.stateless_normal((1, 32, 32, 3), (1, 2))
    logits = keras.Model(model.input, model.get_layer("logits").output)(image)
    expected = 1 / (1 + np.exp(-logits.numpy()))
    np.testing.assert_allclose(model(image), expected, atol=1e-6)


def test_only_the_last_layer_depends_on_the_labels():
    one, three = (
        segan.build_segan(image_size=32, width=2, num_labels=count)
        for count in (1, 3)
    )
    one, three = map(weights.named_weights, (one, three))
    assert one.keys() == three.keys()
    different = [name for name in one if one[name].shape != three[name].shape]
    assert different == ["logits/kernel", "logits/bias"]


def build_forms(count):
    return {
        form: critic.build_critic(
            image_size=32, width=2, num_labels=count, form=form
        )
        for form in config.CRITIC_FORMS
    }


def test_shared_critic_has_the_same_weights_for_any_number_of_labels():
    one, eight = build_forms(1), build_forms(8)
    params = {form: model.count_params() for form, model in eight.items()}
    alone = one["shared"].count_params()
    assert params["shared"] == alone
    assert params["per_label"] == 8 * alone
    # Seven more labels of 3 channels into the first 4x4 convolution.
    assert params["stacked"] == alone + 7 * 3 * 4 * 4 * 2


def test_every_form_returns_the_scales_of_each_view():
    image = tf.random.stateless_normal((2, 32, 32, 3), (1, 2))
    label_map = tf.random.stateless_uniform((2, 32, 32, 3), (3, 4))
    for form, model in build_forms(3).items():
        features = critic.compute_features(model, form, image, label_map)
        views = 1 if form == "stacked" else 3
        assert [tuple(f.shape) for f in features] == [
            (2, views, 16, 16, 2),
            (2, views, 8, 8, 4),
            (2, views, 4, 4, 8),
            (2, views, 2, 2, 16),
        ]


@pytest.mark.parametrize("form", ["shared", "per_label"])
def test_view_depends_on_its_own_label_only(form):
    image = tf.random.stateless_normal((2, 32, 32, 3), (1, 2))
    label_map = tf.random.stateless_uniform((2, 32, 32, 3), (3, 4))
    changed = tf.concat([label_map[..., :2], 0 * label_map[..., 2:]], axis=-1)
    model = build_forms(3)[form]
    # The first scale has no batch statistics, which would mix the labels.
    before, after = (
        critic.compute_features(model, form, image, maps)[0].numpy()
        for maps in (label_map, changed)
    )
    np.testing.assert_array_equal(before[:, :2], after[:, :2])
    assert not np.allclose(before[:, 2], after[:, 2])


def test_folded_labels_are_the_masked_images_in_order():
    image = tf.random.stateless_normal((2, 4, 4, 3), (1, 2))
    label_map = tf.random.stateless_uniform((2, 4, 4, 3), (3, 4))
    folded = critic.fold_labels(image, label_map).numpy()
    stacked = critic.mask_image(image, label_map).numpy()
    for number in range(2):
        for label in range(3):
            np.testing.assert_array_equal(
                folded[3 * number + label],
                stacked[number, ..., 3 * label : 3 * label + 3],
            )


def test_labels_are_drawn_equally_often_and_never_twice_in_a_draw():
    draws = [
        critic.sample_labels(4, 2, (7, step)).numpy() for step in range(400)
    ]
    assert all(len(set(draw.tolist())) == 2 for draw in draws)
    counts = np.bincount(np.concatenate(draws), minlength=4)
    # 400 * 2 / 4 = 200 each; four standard deviations are 40.
    assert abs(counts - 200).max() < 40
