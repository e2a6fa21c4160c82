"""What happens to one picture between its file and the segmentor.

The training pipeline and the exported graphs both call these functions, so a
client sends plain RGB and gets exactly what the segmentor was trained on.
"""

import tensorflow as tf

from segan_tf import config

_LARGEST_PIXEL_VALUE = 255.0


def normalise(image: tf.Tensor) -> tf.Tensor:
    """Subtracts ImageNet's mean colour and divides by its deviation.

        normalised = (image / 255 - mean) / std, channel by channel

    The mean colour becomes 0. Since a masked image is the *normalised* image
    times a label map, masked-out pixels have the mean colour, not black.

    >>> normalise([[[0.485 * 255, 0.456 * 255, 255.0]]])  # 0.594 / 0.225
    [[[0.0, 0.0, 2.64]]]

    Args:
      image: uint8 or float32 [..., 3], RGB, 0..255.

    Returns:
      float32 [..., 3], normalised; between -2.2 and 2.7.
    """
    image = tf.cast(image, tf.float32) / _LARGEST_PIXEL_VALUE
    return (image - tf.constant(config.IMAGE_MEAN)) / tf.constant(
        config.IMAGE_STD
    )


def denormalise(image: tf.Tensor) -> tf.Tensor:
    """Undoes `normalise`, for showing what a model was given.

    Args:
      image: float32 [..., 3], normalised.

    Returns:
      float32 [..., 3], RGB, 0..255.
    """
    image = image * tf.constant(config.IMAGE_STD) + tf.constant(
        config.IMAGE_MEAN
    )
    return image * _LARGEST_PIXEL_VALUE


def resize_image(image: tf.Tensor, height: int, width: int) -> tf.Tensor:
    """Resizes pictures bilinearly, with antialiasing when they shrink.

    Without antialiasing a photograph twelve times as wide as the result would
    be sampled at one pixel in twelve, and every hair would turn into dots.

    Args:
      image: uint8 or float32 [height, width, 3] or [batch, height, width, 3].
      height: of the result, in pixels.
      width: of the result, in pixels.

    Returns:
      float32 of the same rank, on the image's own scale, not rounded.
    """
    return tf.image.resize(image, (height, width), antialias=True)


def resize_label_map(
    label_map: tf.Tensor, height: int, width: int
) -> tf.Tensor:
    """Resizes label maps to their nearest neighbours, so they stay two-valued.

    Args:
      label_map: uint8 or float32 [height, width, labels], or with a batch
        dimension in front.
      height: of the result, in pixels.
      width: of the result, in pixels.

    Returns:
      The same dtype and rank.
    """
    return tf.image.resize(label_map, (height, width), method="nearest")


def decide_label_map(
    probability_map: tf.Tensor, *, exclusive: bool
) -> tf.Tensor:
    """Decides which labels hold at each pixel.

    A single label, or one of several overlapping ones, holds where its
    probability is above 0.5. Of several exclusive labels the likeliest holds,
    unless the background, with the rest of the probability, is likelier: 0.4
    and 0.35 leave 0.25 for the background, and the first label holds.

    Args:
      probability_map: float32 [..., labels] in [0, 1]; of exclusive labels
        the sum over the labels is at most 1.
      exclusive: at most one label holds at a pixel.

    Returns:
      float32 of the same shape, in {0, 1}.
    """
    count = probability_map.shape[-1]
    if not exclusive or count == 1:
        return tf.cast(probability_map > config.THRESHOLD, tf.float32)
    rest = 1 - tf.reduce_sum(probability_map, axis=-1, keepdims=True)
    likeliest = tf.argmax(tf.concat([rest, probability_map], -1), axis=-1)
    return tf.one_hot(likeliest - 1, count)  # -1, the background, is all 0


def resize_probability_map(
    probability_map: tf.Tensor, height: int, width: int
) -> tf.Tensor:
    """Resizes probability maps bilinearly; they stay within [0, 1].

    Args:
      probability_map: float32 [height, width, labels] in [0, 1], or with a
        batch dimension in front.
      height: of the result, in pixels.
      width: of the result, in pixels.

    Returns:
      float32 of the same rank, in [0, 1].
    """
    return tf.image.resize(probability_map, (height, width))
