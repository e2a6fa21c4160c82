"""Preprocessing of images and postprocessing of probability maps.

The training pipeline, the predictor and the exported graphs all call these
functions, so that clients send plain RGB and the segmentor gets images like
those it was trained on.
"""

from collections.abc import Sequence

import tensorflow as tf

from segan_tf.decision import THRESHOLD, score_factors

# Means and standard deviations of ImageNet's training images in [0, 1], RGB,
# with which the published ImageNet encoders were trained.
IMAGE_MEAN = (0.485, 0.456, 0.406)
IMAGE_STD = (0.229, 0.224, 0.225)

_LARGEST_PIXEL_VALUE = 255.0


def normalize(image: tf.Tensor) -> tf.Tensor:
    """Subtracts ImageNet's mean color and divides by its standard deviation.

        normalized = (image / 255 - mean) / std, channel by channel

    The mean color becomes 0. Because a masked image is the *normalized* image
    times a label map, masked-out pixels have the mean color instead of black.

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
    """Inverts `normalize`, to show the input of a model.

    Args:
      image: float32 [..., 3], normalized.

    Returns:
      float32 [..., 3], RGB, 0..255.
    """
    image = image * tf.constant(IMAGE_STD) + tf.constant(IMAGE_MEAN)
    return image * _LARGEST_PIXEL_VALUE


def resize_image(image: tf.Tensor, height: int, width: int) -> tf.Tensor:
    """Resizes images bilinearly, with antialiasing when they shrink.

    Without antialiasing, a photograph twelve times as wide as the result would
    be sampled at one pixel in twelve, and hairs would become dots.

    Args:
      image: uint8 or float32 [height, width, 3] or [batch, height, width, 3].
      height: of the result, in pixels.
      width: of the result, in pixels.

    Returns:
      float32 of the same rank, in the range of the image, not rounded.
    """
    return tf.image.resize(image, (height, width), antialias=True)


def resize_label_map(
    label_map: tf.Tensor, height: int, width: int
) -> tf.Tensor:
    """Resizes label maps to the nearest neighbor, so they stay binary.

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
    probability_map: tf.Tensor,
    *,
    multiclass: bool,
    thresholds: Sequence[float] = (),
) -> tf.Tensor:
    """Turns probabilities into labels.

    A single label, or each of several multilabel ones, is set where its
    probability is above its threshold t. Of several multiclass labels the one
    with the highest score is set, unless the background's is as high:

        score of a label = probability (1 - t) / t
        score of the background = 1 - the sum of the probabilities

    So a label that has only the background as a rival is set above t, too. At
    0.5 scores are probabilities: 0.4 and 0.35 leave 0.25 for the background, so
    the first is set. With thresholds 0.6 and 0.5 the scores are 0.27 and 0.35,
    and the second is set.

    Args:
      probability_map: float32 [..., labels] in [0, 1]; for multiclass labels
        the sum over the labels is at most 1.
      multiclass: at most one label at a pixel.
      thresholds: one for each label, in (0, 1); 0.5 each by default.

    Returns:
      float32 of the same shape, in {0, 1}.

    Raises:
      ValueError: there is not one threshold for each label.
    """
    probability_map = tf.convert_to_tensor(probability_map)
    count = probability_map.shape[-1]
    limits = tuple(thresholds) or (THRESHOLD,) * count
    if len(limits) != count:
        raise ValueError(f"{len(limits)} thresholds for {count} labels")
    dtype = probability_map.dtype
    if not multiclass or count == 1:
        return tf.cast(probability_map > tf.constant(limits, dtype), tf.float32)
    background = 1 - tf.reduce_sum(probability_map, axis=-1, keepdims=True)
    scores = probability_map * tf.constant(score_factors(limits), dtype)
    with_background = tf.concat([background, scores], axis=-1)
    most_probable = tf.argmax(with_background, axis=-1)
    return tf.one_hot(most_probable - 1, count)  # -1, the background, is all 0


def resize_probability_map(
    probability_map: tf.Tensor, height: int, width: int
) -> tf.Tensor:
    """Resizes probability maps bilinearly, so they stay within [0, 1].

    Args:
      probability_map: float32 [height, width, labels] in [0, 1], or with a
        batch dimension in front.
      height: of the result, in pixels.
      width: of the result, in pixels.

    Returns:
      float32 of the same rank, in [0, 1].
    """
    return tf.image.resize(probability_map, (height, width))
