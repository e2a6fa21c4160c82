"""The critic C: what the segmentor learns against.

Several labels can be shown to it in three forms, which are one and the same
for a single label:

- ``stacked``: one critic for the k masked images stacked on channels (S3-1C
  in SegAN, section 3.3).
- ``shared``: one critic for one masked image; the masked images of the k
  labels are folded into the batch, so its weights do not grow with k.
- ``per_label``: a critic for each label (S3-3C there).
"""

from collections.abc import Sequence

import keras
import tensorflow as tf

from segan_tf.models import blocks


class Clip(keras.constraints.Constraint):
    """Bounds every weight to [-limit, limit] after the optimizer's step.

    Without a bound the critic's loss can run to infinity (SegAN, section 3).
    The scale and offset of batch normalization are bounded too, as in the
    2018 code: they alone can make the features, and so the loss, grow.
    """

    def __init__(self, limit: float) -> None:
        self.limit = limit

    def __call__(self, w: tf.Tensor) -> tf.Tensor:
        return tf.clip_by_value(w, -self.limit, self.limit)

    def get_config(self) -> dict[str, float]:
        return {"limit": self.limit}


def build_critic(
    *,
    image_size: int = 128,
    width: int = 64,
    num_labels: int = 1,
    form: str = "stacked",
    clip: float = 0.0,
    synchronized: bool = False,
    dtype: str = "float32",
) -> keras.Model:
    """Builds the reference's critic, the segmentor's encoder, in a form.

    Args:
      image_size: pixels a side, a multiple of 16.
      width: channels of the first level (64 in the reference).
      num_labels: labels, background not counted.
      form: one of config.CRITIC_FORMS.
      clip: bound of all trained weights; 0 leaves them free.
      synchronized: batch statistics over all replicas.
      dtype: Keras dtype policy.

    Returns:
      A functional model ``critic``: masked image float32 [batch, image_size,
      image_size, channels] -> features, a list of [batch, image_size / 2^i,
      image_size / 2^i, width 2^(i-1)], i = 1..4. ``shared`` takes 3 channels,
      the others 3 num_labels; ``per_label`` gives the four scales of the
      first label, then those of the second, and so on.
    """
    channels = 3 if form == "shared" else 3 * num_labels
    masked = keras.Input(
        (image_size, image_size, channels), name="masked_image"
    )
    inputs, names = [masked], [""]
    if form == "per_label" and num_labels > 1:
        names = [f"label{label}_" for label in range(1, num_labels + 1)]
        inputs = [
            MaskedImageOfLabel(label, name=f"{name}masked_image")(masked)
            for label, name in enumerate(names)
        ]
    features = []
    for x, name in zip(inputs, names, strict=True):
        for level, multiple in enumerate(blocks.LEVEL_MULTIPLES, start=1):
            x = blocks.down(
                x,
                width * multiple,
                name=f"{name}scale{level}",
                normalized=level > 1,
                synchronized=synchronized,
                constraint=Clip(clip) if clip else None,
                dtype=dtype,
            )
            features.append(x)
    return keras.Model(masked, features, name="critic")


class MaskedImageOfLabel(keras.layers.Layer):
    """Takes one label's masked image out of the stack of all."""

    def __init__(self, label: int, **kwargs) -> None:
        super().__init__(**kwargs)
        self._label = label

    def call(self, masked: tf.Tensor) -> tf.Tensor:
        """Maps float32 [b, h, w, 3 labels] to float32 [b, h, w, 3]."""
        return masked[..., 3 * self._label : 3 * self._label + 3]

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], 3)


def compute_features(
    critic: keras.Model, form: str, image: tf.Tensor, label_map: tf.Tensor
) -> list[tf.Tensor]:
    """Computes f_C(x o y) at every scale, with batch statistics.

    Args:
      critic: from `build_critic`, of the same form.
      form: one of config.CRITIC_FORMS.
      image: float32 [batch, height, width, 3], normalized.
      label_map: float32 [batch, height, width, labels] in [0, 1].

    Returns:
      A tensor [batch, views, height_i, width_i, channels_i] for each scale
      i; views are the labels, in order, or 1 for ``stacked``, whose critic
      sees all labels at once.
    """
    views = label_map.shape[-1]
    if form == "shared":
        features = critic(fold_labels(image, label_map), training=True)
        return [tf.reshape(f, (-1, views, *f.shape[1:])) for f in features]
    features = critic(mask_image(image, label_map), training=True)
    if form == "stacked":
        return [f[:, None] for f in features]
    scales = len(blocks.LEVEL_MULTIPLES)
    return [tf.stack(features[i::scales], axis=1) for i in range(scales)]


def mask_image(image: tf.Tensor, label_map: tf.Tensor) -> tf.Tensor:
    """Masks the image by each label: x o y in the reference.

    Args:
      image: float32 [batch, height, width, 3], normalized, so that a masked
        pixel (0) takes the mean color.
      label_map: float32 [batch, height, width, labels] in [0, 1].

    Returns:
      float32 [batch, height, width, 3 labels], the masked images stacked.
    """
    labels = tf.unstack(label_map, axis=-1)
    return tf.concat([image * label[..., None] for label in labels], axis=-1)


def fold_labels(image: tf.Tensor, label_map: tf.Tensor) -> tf.Tensor:
    """Masks the image by each label and folds the labels into the batch.

    Args:
      image: as for `mask_image`.
      label_map: as for `mask_image`.

    Returns:
      float32 [batch labels, height, width, 3]: all labels of the first
      image, then all of the second, and so on.
    """
    by_label = tf.transpose(label_map, (0, 3, 1, 2))[..., None]
    masked = image[:, None] * by_label
    return tf.reshape(masked, (-1, *image.shape[1:]))


def sample_labels(
    count: int, drawn: int, seed: Sequence[int | tf.Tensor]
) -> tf.Tensor:
    """Draws ``drawn`` of ``count`` labels, each set equally likely.

    Returns:
      int32 [drawn], label channels, no two the same.
    """
    order = tf.random.stateless_uniform((count,), seed)
    return tf.argsort(order)[:drawn]
