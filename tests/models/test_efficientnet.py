import keras
import numpy as np
import pytest
import tensorflow as tf
import variants

from segan_tf.models import efficientnet, imagenet_weights
from segan_tf.models import weights as weights_lib

# Encoder: blocks, and those whose stride is 2, from the published tables:
# repeats 1, 2, 2, 3, 3, 4 and, scaled, 1, 3, 3, 4, 4, 5.
ENCODERS = {
    "efficientnet_lite0": (15, (1, 3, 5, 11)),
    "efficientnet_lite1": (20, (1, 4, 7, 15)),
    "efficientnet_lite2": (20, (1, 4, 7, 15)),
}


def build(encoder="efficientnet_lite0", **changes):
    arguments = {"image_size": 64, "width": 16, **changes}
    return getattr(efficientnet, f"build_{encoder}")(**arguments)


def same_conv(x, kernel, stride, *, groups=1):
    """Convolves [h, w, c] with PyTorch's [out, in, k, k], TensorFlow's way.

    'same' padding at stride 2 puts the odd row below and the odd column to
    the right, which PyTorch's own padding does not.
    """
    size, k = x.shape[0], kernel.shape[-1]
    total = max(0, (-(-size // stride) - 1) * stride + k - size)
    before = total // 2
    padding = ((before, total - before), (before, total - before), (0, 0))
    windows = np.lib.stride_tricks.sliding_window_view(
        np.pad(x, padding), (k, k), (0, 1)
    )[::stride, ::stride]
    if groups == 1:
        return np.einsum("hwcij,ocij->hwo", windows, kernel, optimize=True)
    return np.einsum("hwcij,cij->hwc", windows, kernel[:, 0], optimize=True)


def norm(x, weights, name):
    mean, variance = (
        weights[f"{name}.running_{part}"] for part in ("mean", "var")
    )
    normalized = (x - mean) / np.sqrt(variance + 1e-3)
    return normalized * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def known_activations(image, weights, *, num_blocks, halving):
    """Computes every block's output in numpy, from the file's own names."""

    def relu6(x):
        return np.clip(x, 0, 6)

    x = same_conv(image, weights["_conv_stem.weight"], 2)
    x = relu6(norm(x, weights, "_bn0"))
    outputs = []
    for index in range(num_blocks):
        name, entering = f"_blocks.{index}", x
        if f"{name}._expand_conv.weight" in weights:
            x = same_conv(x, weights[f"{name}._expand_conv.weight"], 1)
            x = relu6(norm(x, weights, f"{name}._bn0"))
        kernel = weights[f"{name}._depthwise_conv.weight"]
        x = same_conv(x, kernel, 1 + (index in halving), groups=len(kernel))
        x = relu6(norm(x, weights, f"{name}._bn1"))
        x = same_conv(x, weights[f"{name}._project_conv.weight"], 1)
        x = norm(x, weights, f"{name}._bn2")
        if x.shape == entering.shape:
            x = x + entering
        outputs.append(x)
    return outputs


@pytest.mark.parametrize("encoder", variants.of_segmentors(ENCODERS))
def test_encoder_computes_the_activations_of_the_published_network(encoder):
    num_blocks, halving = ENCODERS[encoder]
    weights = imagenet_weights.read_imagenet_weights(encoder)
    segmentor = build(encoder)
    efficientnet.load_imagenet_weights(segmentor, encoder)
    image = np.float32(np.random.default_rng(0).normal(size=(64, 64, 3)))
    names = [
        layer.name
        for index in range(num_blocks)
        for layer in segmentor.layers
        if layer.name in (f"block{index}_add", f"block{index}_project_norm")
        and not (
            layer.name.endswith("norm")
            and f"block{index}_add"
            in {other.name for other in segmentor.layers}
        )
    ]
    model = keras.Model(
        segmentor.input, [segmentor.get_layer(name).output for name in names]
    )
    ours = model(image[None], training=False)
    known = known_activations(
        image, weights, num_blocks=num_blocks, halving=halving
    )
    assert len(ours) == len(known) == num_blocks
    for mine, theirs in zip(ours, known, strict=True):
        assert theirs.std() > 0.1
        np.testing.assert_allclose(mine[0], theirs, atol=2e-3 * theirs.std())


@pytest.mark.parametrize("encoder", variants.of_segmentors(ENCODERS))
def test_imagenet_weights_replace_exactly_the_encoder_s_weights(encoder):
    segmentor = build(encoder)
    named = weights_lib.named_weights(segmentor)
    before = {name: weight.numpy() for name, weight in named.items()}
    efficientnet.load_imagenet_weights(segmentor, encoder)
    for name, weight in named.items():
        changed = not np.array_equal(before[name], weight.numpy())
        assert changed == name.startswith(("stem", "block")), name


def count_published(weights, num_blocks):
    """Counts the weights of the published network up to the last block."""
    omitted = (f"_blocks.{num_blocks}.", "_conv_head", "_bn1.", "_fc.")
    return sum(
        weight.size
        for name, weight in weights.items()
        if not name.startswith(omitted) and weight.dtype == np.float32
    )


@pytest.mark.parametrize("encoder", variants.of_segmentors(ENCODERS))
def test_encoder_has_all_weights_of_the_published_network(encoder):
    weights = imagenet_weights.read_imagenet_weights(encoder)
    named = weights_lib.named_weights(build(encoder))
    ours = sum(
        np.prod(weight.shape)
        for name, weight in named.items()
        if name.startswith(("stem", "block"))
    )
    assert ours == count_published(weights, ENCODERS[encoder][0])


def test_width_changes_the_decoder_only():
    def channels(width):
        segmentor = build(width=width)
        decoder = [
            segmentor.get_layer(f"up{level}_conv").filters
            for level in (4, 3, 2, 1)
        ]
        return decoder, segmentor.get_layer("block14_project_conv").filters

    assert channels(64) == ([64, 48, 32, 24], 192)
    assert channels(8) == ([8, 6, 4, 3], 192)
    assert channels(1) == ([1, 1, 1, 1], 192)


def test_label_map_has_the_size_of_the_image():
    segmentor = build(image_size=96, num_labels=3, multiclass=False)
    label_map = segmentor(tf.zeros((2, 96, 96, 3)), training=False).numpy()
    assert label_map.shape == (2, 96, 96, 3)
    assert label_map.min() > 0
    assert label_map.max() < 1


@pytest.mark.parametrize("encoder", variants.of_segmentors(ENCODERS))
def test_only_layers_that_run_on_phones_are_used(encoder):
    kinds = {type(layer).__name__ for layer in build(encoder).layers}
    assert kinds == {
        "InputLayer",
        "Conv2D",
        "DepthwiseConv2D",
        "BatchNormalization",
        "ReLU",
        "Add",
        "UpSampling2D",
        "Concatenate",
        "ResizeConv",
        "Activation",
    }


@pytest.mark.parametrize("size", [64, 96])
def test_weights_do_not_depend_on_the_image_size(size):
    shapes = [w.shape for w in build(image_size=size).weights]
    assert shapes == [w.shape for w in build(image_size=128).weights]
