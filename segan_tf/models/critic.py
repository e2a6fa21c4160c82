"""The critic C: what the segmentor learns against."""

import keras
import tensorflow as tf

from segan_tf import config
from segan_tf.models import blocks


class Clip(keras.constraints.Constraint):
    """Bounds every weight to [-limit, limit] after the optimiser's step.

    Without a bound the critic's loss can run to infinity (SegAN, section 3).
    The scale and offset of batch normalisation are bounded too, as in the
    2018 code: they alone can make the features, and so the loss, grow.
    """

    def __init__(self, limit: float):
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
    clip: float = 0.0,
    synchronized: bool = False,
    dtype: str = "float32",
) -> keras.Model:
    """Builds the reference's critic: the segmentor's encoder.

    Args:
      image_size: pixels a side, a multiple of 16.
      width: channels of the first level (64 in the reference).
      num_labels: labels; the masked images of all labels are stacked.
      clip: bound of all trained weights; 0 leaves them free.
      synchronized: batch statistics over all replicas.
      dtype: Keras dtype policy.

    Returns:
      A functional model ``critic``: masked image float32 [batch, image_size,
      image_size, 3 num_labels] -> the features of its four scales, a list of
      [batch, image_size / 2^i, image_size / 2^i, width 2^(i-1)], i = 1..4.
    """
    masked = keras.Input(
        (image_size, image_size, 3 * num_labels), name="masked_image"
    )
    constraint = Clip(clip) if clip else None
    x, features = masked, []
    for level, multiple in enumerate(config.LEVEL_MULTIPLES, start=1):
        x = blocks.down(
            x,
            width * multiple,
            name=f"scale{level}",
            normalised=level > 1,
            synchronized=synchronized,
            constraint=constraint,
            dtype=dtype,
        )
        features.append(x)
    return keras.Model(masked, features, name="critic")


def mask_image(image: tf.Tensor, label_map: tf.Tensor) -> tf.Tensor:
    """Masks the image by each label: x o y in the reference.

    Args:
      image: float32 [batch, height, width, 3], normalised, so that a masked
        pixel (0) takes the mean colour.
      label_map: float32 [batch, height, width, labels] in [0, 1].

    Returns:
      float32 [batch, height, width, 3 labels], the masked images stacked.
    """
    labels = tf.unstack(label_map, axis=-1)
    return tf.concat([image * label[..., None] for label in labels], axis=-1)
