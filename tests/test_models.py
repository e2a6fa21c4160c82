import numpy as np
import pytest
import tensorflow as tf

from segan_tf.models import blocks, critic, segmentor


def test_segmentor_maps_an_image_to_one_probability_per_pixel_and_label():
    model = segmentor.build_segan(image_size=32, width=2, num_labels=3)
    image = tf.random.stateless_normal((2, 32, 32, 3), (1, 2))
    label_map = model(image, training=False).numpy()
    assert label_map.shape == (2, 32, 32, 3)
    assert label_map.dtype == np.float32
    assert 0 < label_map.min() and label_map.max() < 1


def test_segmentor_has_the_reference_s_weights():
    model = segmentor.build_segan(image_size=32, width=64)
    down = [3 * 64, 64 * 128, 128 * 256, 256 * 512]
    # A level's input is the level below and, but for the first, its skip.
    up = [512 * 256, (256 + 256) * 128, (128 + 128) * 64, (64 + 64) * 1]
    kernels = 16 * sum(down) + 9 * sum(up)
    biases = 64 + 1  # levels without batch normalisation
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
def test_every_layer_has_a_telling_name(labels):
    for model in (
        segmentor.build_segan(image_size=32, width=2, num_labels=labels),
        critic.build_critic(image_size=32, width=2, num_labels=labels),
    ):
        for layer in model.layers:
            assert layer.name[0].isalpha() and not layer.name.startswith(
                ("conv2d", "batch_normalization", "functional", "re_lu")
            )


def test_first_levels_are_not_normalised_and_all_others_are():
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
    clipped = critic.Clip(0.05)(tf.constant([-1.0, -0.04, 0.05, 2.0]))
    np.testing.assert_allclose(clipped, [-0.05, -0.04, 0.05, 0.05])


@pytest.mark.parametrize("labels", [1, 3])
def test_resize_conv_is_a_resize_and_then_a_convolution(labels):
    layer = blocks.ResizeConv(labels, name="logits")
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
        gradients = tape.gradient(
            loss, [x, layer.kernel.value, layer.bias.value]
        )
        results.append([y, *gradients])
    for ours, plain_one in zip(*results, strict=True):
        np.testing.assert_allclose(ours, plain_one, atol=2e-5)


def test_mixed_precision_still_gives_float32_probabilities():
    model = segmentor.build_segan(
        image_size=32, width=2, dtype="mixed_bfloat16"
    )
    assert model.get_layer("down1_conv").compute_dtype == "bfloat16"
    assert model(tf.zeros((1, 32, 32, 3))).dtype == tf.float32
