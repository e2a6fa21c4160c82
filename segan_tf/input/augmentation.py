"""Random augmentation of training pairs, the same for image and label map.

Every draw depends on a seed alone, without hidden state, so that a resumed run
sees exactly the pairs that it would have seen without the interruption.
"""

import tensorflow as tf

from segan_tf.imaging import preprocessing
from segan_tf.input import sampling_grid

CROP_SHARE = 0.5  # the paper, Data: resized or cropped at random
STRONG_COLOR = 0.2  # --augment=strong: change of contrast etc.; ours

# Uniform numbers per pair; each use below has its own.
_OTHER_DRAWS = 12
_DRAWS = _OTHER_DRAWS + sampling_grid.NUM_DRAWS


def augment_pair(
    image: tf.Tensor,
    label_map: tf.Tensor,
    seed: tf.Tensor,
    *,
    image_size: int,
    strong: bool = False,
    flip: str = "both",
) -> tuple[tf.Tensor, tf.Tensor]:
    """Augments a cached pair.

    The pair is either resized to ``image_size`` (image bilinear, label map
    nearest) or cropped to it, then flipped (the paper, Data). ``strong`` adds
    rotation, scale, shear, elastic deformation and color jitter and, where
    nothing is upright (``flip`` is both), transposes, which with the flips turn
    by quarters.

    Args:
      image: uint8 [height, width, 3], not smaller than image_size.
      label_map: uint8 [height, width, labels] in {0, 1}.
      seed: int64 [2], one per pair and epoch.
      image_size: side of the result in pixels.
      strong: use the stronger augmentation.
      flip: "none", "horizontal" (left and right) or "both".

    Returns:
      image float32 [image_size, image_size, 3] in 0..255, not normalized, and
      label_map float32 [image_size, image_size, labels] in {0, 1}.
    """
    draw = tf.random.stateless_uniform([_DRAWS], seed)
    image, label_map = tf.cond(
        draw[0] < CROP_SHARE,
        lambda: _crop(image, label_map, draw[1:3], size=image_size),
        lambda: _resize(image, label_map, image_size),
    )
    label_map = tf.cast(label_map, tf.float32)
    both = tf.concat([image, label_map], axis=-1)
    if flip != "none":
        both = _flip(both, draw[3], axis=1)
    if flip == "both":
        both = _flip(both, draw[4], axis=0)
    if strong and flip == "both":
        both = tf.cond(
            draw[5] < 1 / 2,
            lambda: tf.transpose(both, (1, 0, 2)),
            lambda: both,
        )
    labels = label_map.shape[-1]
    both = tf.ensure_shape(both, (image_size, image_size, 3 + labels))
    image, label_map = both[..., :3], both[..., 3:]
    if strong:
        grid = sampling_grid.draw_sampling_grid(draw[_OTHER_DRAWS:], image_size)
        image, label_map = sampling_grid.warp(image, label_map, grid)
        image = jitter_colors(image, draw[6:12])
    return image, label_map


def _resize(
    image: tf.Tensor, label_map: tf.Tensor, size: int
) -> tuple[tf.Tensor, tf.Tensor]:
    return (
        preprocessing.resize_image(image, size, size),
        preprocessing.resize_label_map(label_map, size, size),
    )


def _crop(
    image: tf.Tensor, label_map: tf.Tensor, draw: tf.Tensor, *, size: int
) -> tuple[tf.Tensor, tf.Tensor]:
    room = tf.cast(tf.shape(image)[:2] - size + 1, tf.float32)
    top, left = tf.unstack(tf.cast(draw * room, tf.int32))
    rows, columns = slice(top, top + size), slice(left, left + size)
    return tf.cast(image[rows, columns], tf.float32), label_map[rows, columns]


def _flip(both: tf.Tensor, draw: tf.Tensor, *, axis: int) -> tf.Tensor:
    return tf.cond(
        draw < 1 / 2, lambda: tf.reverse(both, (axis,)), lambda: both
    )


def jitter_colors(image: tf.Tensor, draw: tf.Tensor) -> tf.Tensor:
    """Changes each channel's gain, then contrast, saturation, brightness.

    Args:
      image: float32 [height, width, 3] in 0..255.
      draw: float32 [6] in 0..1; 1/2 everywhere changes nothing.

    Returns:
      float32 [height, width, 3] in 0..255.
    """
    amount = STRONG_COLOR
    signed = 2 * draw - 1
    image = image * (1 + amount / 2 * signed[0:3])
    mean = tf.reduce_mean(image, axis=(0, 1), keepdims=True)
    image = mean + (image - mean) * (1 + amount * signed[3])
    gray = tf.reduce_mean(image, axis=-1, keepdims=True)
    image = gray + (image - gray) * (1 + amount * signed[4])
    image = image * (1 + amount * signed[5])
    return tf.clip_by_value(image, 0.0, 255.0)
