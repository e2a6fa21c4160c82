"""What happens to one image between its file and the segmentor.

The training pipeline and the exported graphs both call these functions, so a
client sends plain RGB and gets exactly what the segmentor was trained on.
"""

import tensorflow as tf

# Means and standard deviations of ImageNet's training images in [0, 1], RGB:
# what the published ImageNet encoders were trained with.
IMAGE_MEAN = (0.485, 0.456, 0.406)
IMAGE_STD = (0.229, 0.224, 0.225)
THRESHOLD = 0.5  # a pixel is lesion above it; reference, Metrics

_LARGEST_PIXEL_VALUE = 255.0


def normalize(image: tf.Tensor) -> tf.Tensor:
    """Subtracts ImageNet's mean color and divides by its deviation.

        normalized = (image / 255 - mean) / std, channel by channel

    The mean color becomes 0. Since a masked image is the *normalized* image
    times a label map, masked-out pixels have the mean color, not black.

    >>> normalize([[[0.485 * 255, 0.456 * 255, 255.0]]])  # 0.594 / 0.225
    [[[0.0, 0.0, 2.64]]]

    Args:
      image: uint8 or float32 [..., 3], RGB, 0..255.

    Returns:
      float32 [..., 3], normalized; between -2.2 and 2.7.
    """
    image = tf.cast(image, tf.float32) / _LARGEST_PIXEL_VALUE
    return (image - tf.constant(IMAGE_MEAN)) / tf.constant(IMAGE_STD)


def denormalize(image: tf.Tensor) -> tf.Tensor:
    """Undoes `normalize`, for showing what a model was given.

    Args:
      image: float32 [..., 3], normalized.

    Returns:
      float32 [..., 3], RGB, 0..255.
    """
    image = image * tf.constant(IMAGE_STD) + tf.constant(IMAGE_MEAN)
    return image * _LARGEST_PIXEL_VALUE


def resize_image(image: tf.Tensor, height: int, width: int) -> tf.Tensor:
    """Resizes images bilinearly, with antialiasing when they shrink.

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
    """Resizes label maps to their nearest neighbors, so they stay two-valued.

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
    probability_map: tf.Tensor, *, multiclass: bool
) -> tf.Tensor:
    """Decides which labels hold at each pixel.

    A single label, or one of several multilabel ones, holds where its
    probability is above 0.5. Of several multiclass labels the likeliest holds,
    unless the background, with the rest of the probability, is likelier: 0.4
    and 0.35 leave 0.25 for the background, and the first label holds.

    Args:
      probability_map: float32 [..., labels] in [0, 1]; of multiclass labels
        the sum over the labels is at most 1.
      multiclass: at most one label holds at a pixel.

    Returns:
      float32 of the same shape, in {0, 1}.
    """
    count = probability_map.shape[-1]
    if not multiclass or count == 1:
        return tf.cast(probability_map > THRESHOLD, tf.float32)
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
