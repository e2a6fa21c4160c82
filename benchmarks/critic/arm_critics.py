"""The critics that are compared with the paper's.

Each sees every label in an image of its own, as `--critic_form=shared`: labels
are folded into the batch. None has annotation styles. The formulas are in
docs/research/critic.md.
"""

from collections.abc import Sequence

import keras
import tensorflow as tf

from segan_tf.models import blocks, critic, efficientnet, layers
from segan_tf.models.segmentors import SEGMENTORS

_ENCODER = "efficientnet_lite0"
_PROJECTED_CHANNELS = 32
_POWER_ITERATIONS = 10
_EPSILON = 1e-6
# Outside the label the pyramid sees black: about 0 before the normalization.
_BLACK = -2.0


def build_concat(
    *, image_size: int, width: int, clip: float, dtype: str, **unused: object
) -> keras.Model:
    """Builds the paper's critic for an image and a label map on channels."""
    del unused
    return _build_encoder(
        4, image_size=image_size, width=width, clip=clip, dtype=dtype
    )


def build_spectral(
    *, image_size: int, width: int, dtype: str, **unused: object
) -> keras.Model:
    """Builds the paper's critic with spectral instead of batch norm."""
    del unused
    return _build_encoder(3, image_size=image_size, width=width, dtype=dtype)


def build_pyramid(*, image_size: int, **unused: object) -> keras.Model:
    """Builds EfficientNet-Lite0's stages with fixed ImageNet weights."""
    del unused
    segmentor = SEGMENTORS[_ENCODER].build(image_size=image_size, width=8)
    efficientnet.load_imagenet_weights(segmentor, _ENCODER)
    # What the decoder concatenates: the stages at 1/2 to 1/16 of the size.
    levels = [
        segmentor.get_layer(f"up{level}_skip").input[1] for level in range(1, 5)
    ]
    model = keras.Model(segmentor.input, levels, name="critic")
    model.trainable = False
    return model


def build_projected(*, image_size: int, **unused: object) -> keras.Model:
    """Builds the fixed stages with a trained 1x1 projection of each."""
    del unused
    pyramid = build_pyramid(image_size=image_size)
    projected = [
        keras.layers.Conv2D(
            _PROJECTED_CHANNELS, 1, use_bias=False, name=f"projection{level}"
        )(features)
        for level, features in enumerate(pyramid.outputs, start=1)
    ]
    return keras.Model(pyramid.input, projected, name="critic")


def concat_features(
    model: keras.Model,
    form: str,
    image: tf.Tensor,
    label_map: tf.Tensor,
    *,
    style: None = None,
) -> list[tf.Tensor]:
    """Computes f_C([x, y]); see `critic.compute_features`."""
    del form, style
    labels = label_map.shape[-1]
    folded = _fold(label_map)
    inputs = tf.concat([tf.repeat(image, labels, axis=0), folded], axis=-1)
    return _unfold(model(inputs, training=True), labels)


def pyramid_features(
    model: keras.Model,
    form: str,
    image: tf.Tensor,
    label_map: tf.Tensor,
    *,
    style: None = None,
) -> list[tf.Tensor]:
    """Computes f_C(x o y + black o (1 - y)); see `critic.compute_features`."""
    del form, style
    labels = label_map.shape[-1]
    masked = critic.fold_labels(image, label_map)
    inputs = masked + _BLACK * (1 - _fold(label_map))
    return _unfold(model(inputs, training=False), labels)


def relative_features(
    model: keras.Model,
    form: str,
    image: tf.Tensor,
    label_map: tf.Tensor,
    *,
    style: None = None,
) -> list[tf.Tensor]:
    """Computes the label map itself, as scale 0, and f_C(x o y)."""
    del form
    features = critic.compute_features(
        model, "shared", image, label_map, style=style
    )
    return [_unfold([_fold(label_map)], label_map.shape[-1])[0], *features]


def relative_distances(
    features: Sequence[tf.Tensor], true_features: Sequence[tf.Tensor]
) -> tf.Tensor:
    """Computes || f - g ||_1 / (|| f ||_1 + || g ||_1) for every scale.

    Scale 0, p against y, is a Dice loss: sum |p - y| / (sum p + y + e), with e
    as in `losses.soft_dice_loss`. The scales of C do not count for a label
    that the image lacks: at the first one g is then about 0, and the ratio is 1
    for any prediction.

    Returns:
      float32 [batch, views, scales].
    """
    true = true_features[0]
    pixels = float(true.shape[2] * true.shape[3])
    present = tf.reduce_max(true, axis=(2, 3, 4))
    smooth = present + (1 - present) * pixels
    first = _ratio(features[0], true, smooth)
    others = feature_distances(features[1:], true_features[1:])
    return tf.concat([first[..., None], others * present[..., None]], axis=2)


def feature_distances(
    features: Sequence[tf.Tensor], other_features: Sequence[tf.Tensor]
) -> tf.Tensor:
    """Computes || f - g ||_1 / (|| f ||_1 + || g ||_1) for every scale."""
    pairs = zip(features, other_features, strict=True)
    return tf.stack([_ratio(f, g, _EPSILON) for f, g in pairs], axis=2)


@keras.saving.register_keras_serializable(package="segan_tf_benchmarks")
class SpectralNorm(keras.constraints.Constraint):
    """Divides a kernel by its largest singular value, where that exceeds 1.

    The value is estimated by power iteration (arXiv:1802.05957, algorithm 1).
    """

    def __call__(self, w: tf.Tensor) -> tf.Tensor:
        """Returns the bounded kernel; biases are unchanged."""
        if len(w.shape) < 2:
            return w
        matrix = tf.reshape(tf.convert_to_tensor(w), (-1, w.shape[-1]))
        right = tf.ones((w.shape[-1], 1), matrix.dtype)
        for _ in range(_POWER_ITERATIONS):
            left = _unit(matrix @ right)
            right = _unit(tf.matmul(matrix, left, transpose_a=True))
        largest = tf.norm(matrix @ right)
        return w / tf.maximum(largest, 1.0)


def _build_encoder(
    channels: int,
    *,
    image_size: int,
    width: int,
    clip: float | None = None,
    dtype: str,
) -> keras.Model:
    """Builds the paper's encoder; without `clip`, with spectral norm."""
    is_spectral = clip is None
    constraint = SpectralNorm() if clip is None else layers.Clip(clip)
    inputs = keras.Input((image_size, image_size, channels), name="masked")
    x, features = inputs, []
    for level, multiple in enumerate(blocks.LEVEL_MULTIPLES, start=1):
        x = blocks.down(
            x,
            width * multiple,
            name=f"scale{level}",
            normalized=level > 1 and not is_spectral,
            constraint=constraint,
            dtype=dtype,
        )
        features.append(x)
    return keras.Model(inputs, features, name="critic")


def _fold(label_map: tf.Tensor) -> tf.Tensor:
    """Folds labels into the batch: [batch labels, height, width, 1]."""
    by_label = tf.transpose(label_map, (0, 3, 1, 2))
    return tf.reshape(by_label, (-1, *label_map.shape[1:3], 1))


def _unfold(features: Sequence[tf.Tensor], labels: int) -> list[tf.Tensor]:
    """Undoes `_fold`: [batch, labels, height, width, channels] of each."""
    return [tf.reshape(f, (-1, labels, *f.shape[1:])) for f in features]


def _ratio(f: tf.Tensor, g: tf.Tensor, smooth: tf.Tensor | float) -> tf.Tensor:
    """Computes sum |f - g| / (sum |f| + |g| + smooth): [batch, views]."""
    axes = (2, 3, 4)
    size = tf.reduce_sum(tf.abs(f) + tf.abs(g), axis=axes)
    return tf.reduce_sum(tf.abs(f - g), axis=axes) / (size + smooth)


def _unit(vector: tf.Tensor) -> tf.Tensor:
    return vector / (tf.norm(vector) + _EPSILON)
