"""The critic C, which the segmentor is trained against.

It sees several labels in one of three forms, which are identical for a single
label:

- ``stacked``: one critic for the k masked images stacked on channels (S3-1C
  in SegAN, section 3.3).
- ``shared``: one critic for one masked image; the masked images of the k
  labels are folded into the batch, so its weights do not grow with k.
- ``per_label``: a critic for each label (S3-3C there).
"""

from collections.abc import Sequence

import keras
import tensorflow as tf

from segan_tf.models import blocks, layers


def build_critic(
    *,
    image_size: int = 128,
    width: int = 64,
    num_labels: int = 1,
    form: str = "stacked",
    clip: float = 0.0,
    num_styles: int = 0,
    synchronized: bool = False,
    dtype: str = "float32",
) -> keras.Model:
    """Builds the critic, which has the architecture of SegAN's encoder.

    Args:
      image_size: side in pixels, a multiple of 16.
      width: channels of the first level (64 in the paper).
      num_labels: number of labels, background not counted.
      form: one of config.CRITIC_FORMS.
      clip: bound on all trainable weights; 0: none.
      num_styles: number of annotation styles; the critic then sees the style
        that the segmentor sees.
      synchronized: whether batch statistics span all replicas.
      dtype: Keras dtype policy.

    Returns:
      A functional model ``critic``: masked image float32 [batch, image_size,
      image_size, channels] -> features, a list of [batch, image_size / 2^i,
      image_size / 2^i, width 2^(i-1)], i = 1..4. The input of ``shared`` has
      3 channels, that of the others 3 num_labels; ``per_label`` returns the
      four scales of the first label, then those of the second, and so on.
      With styles the input is [masked image, style], style float32 [batch,
      num_styles], which modulates every scale (`blocks.modulate`).
    """
    channels = 3 if form == "shared" else 3 * num_labels
    masked = keras.Input(
        (image_size, image_size, channels), name="masked_image"
    )
    style = blocks.style_input(num_styles)
    inputs, names = [masked], [""]
    if form == "per_label" and num_labels > 1:
        names = [f"label{label}_" for label in range(1, num_labels + 1)]
        inputs = [
            layers.MaskedImageOfLabel(label, name=f"{name}masked_image")(masked)
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
                style=style,
                synchronized=synchronized,
                constraint=layers.Clip(clip) if clip else None,
                dtype=dtype,
            )
            features.append(x)
    return blocks.make_model(masked, style, features, name="critic")


def compute_features(
    critic: keras.Model,
    form: str,
    image: tf.Tensor,
    label_map: tf.Tensor,
    *,
    style: tf.Tensor | None = None,
) -> list[tf.Tensor]:
    """Computes f_C(x o y) at every scale, with batch statistics.

    Args:
      critic: from `build_critic`, of the same form.
      form: one of config.CRITIC_FORMS.
      image: float32 [batch, height, width, 3], normalized.
      label_map: float32 [batch, height, width, labels] in [0, 1].
      style: float32 [batch, styles], for a critic with styles.

    Returns:
      A tensor [batch, views, height_i, width_i, channels_i] for each scale
      i; views are the labels, in order, or 1 for ``stacked``, whose critic
      sees all labels together.
    """
    views = label_map.shape[-1]
    if form == "shared":
        if style is not None:
            style = tf.repeat(style, views, axis=0)
        inputs = blocks.with_style(fold_labels(image, label_map), style)
        features = critic(inputs, training=True)
        return [tf.reshape(f, (-1, views, *f.shape[1:])) for f in features]
    inputs = blocks.with_style(mask_image(image, label_map), style)
    features = critic(inputs, training=True)
    if form == "stacked":
        return [f[:, None] for f in features]
    scales = len(blocks.LEVEL_MULTIPLES)
    return [tf.stack(features[i::scales], axis=1) for i in range(scales)]


def mask_image(image: tf.Tensor, label_map: tf.Tensor) -> tf.Tensor:
    """Masks the image by each label: x o y in the paper.

    Args:
      image: float32 [batch, height, width, 3], normalized, so that a masked
        pixel (0) has the mean color.
      label_map: float32 [batch, height, width, labels] in [0, 1].

    Returns:
      float32 [batch, height, width, 3 labels], stacked on channels.
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
    """Draws ``drawn`` of ``count`` labels; every set is equally likely.

    Returns:
      int32 [drawn], distinct label channels.
    """
    order = tf.random.stateless_uniform((count,), seed)
    return tf.argsort(order)[:drawn]
