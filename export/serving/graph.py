"""The graph that a server runs, from encoded images to encoded label maps.

Decoding, rotation, resizing, normalization, the decision and encoding are all
in the graph, so that a client cannot get them wrong.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, TypeAlias

import keras
import tensorflow as tf

from segan_tf import config, expected_dice, labels
from segan_tf.decision import DEFAULT, Decision
from segan_tf.imaging import preprocessing
from segan_tf.inference import signatures

from . import expectation, image_decoding

DECODED_AT_ONCE = 2  # images of a batch; bounds a server's memory

MAX_MULTILABEL = 8  # one bit of a gray value each

_FULL = 255


@dataclasses.dataclass(frozen=True)
class FixedStyle:
    """A segmentor with styles, used as one of the image alone.

    Several share the weights of one segmentor.

    Attributes:
      segmentor: of [image, style].
      mixture: the weight of each style that it draws in.
    """

    segmentor: keras.Model
    mixture: tuple[float, ...]

    @property
    def input_shape(self) -> tuple[Any, ...]:
        """The shape of the image."""
        return tuple(self.segmentor.inputs[0].shape)

    def __call__(self, image: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Predicts as a segmentor does."""
        style = tf.constant([self.mixture], tf.float32)
        style = tf.repeat(style, tf.shape(image)[0], axis=0)
        return self.segmentor([image, style], training=training)


Segmentor: TypeAlias = "keras.Model | FixedStyle"


def segment_image_bytes(
    segmentor: Segmentor,
    image_bytes: tf.Tensor,
    *,
    labels: labels.Labels,
    decision: Decision = DEFAULT,
) -> dict[str, tf.Tensor]:
    """Predicts the label map of every image, at the image's own size.

    Args:
      segmentor: float32 [batch, size, size, 3], normalized -> float32 [batch,
        size, size, labels] in [0, 1].
      image_bytes: string [batch]; JPEG, PNG or BMP files of any sizes.
      labels: of the segmentor's channels.
      decision: the threshold of each, and the curve of the expected Dice.

    Returns:
      label_map_bytes: string [batch], gray PNG files, see `gray_weights`.
      label_fractions: float32 [batch, labels], the share of the image's
        pixels where a label holds.
      mean_probability: float32 [batch, labels], or [batch] for one label: the
        mean of the label's probability where it holds, 0 if it holds nowhere.
      label_names: string [batch, labels].
      lesion_fraction: float32 [batch], of a model that knows lesions only.
      expected_dice: float32 [batch], of the label map with the true one, if
        the decision has the curve of `expected_dice.THRESHOLDS`.
      error: string [batch], "" or what is wrong with the file; its label map
        is then empty, no bytes, and its numbers are 0. The others are not
        affected: a server may have joined them from several clients.
    """
    _, *size, _ = segmentor.input_shape
    images, sizes, errors = _decode_images(image_bytes, size)
    probability_maps = segmentor(
        preprocessing.normalize(images), training=False
    )
    answer = _describe_all(
        probability_maps, sizes, errors, labels=labels, decision=decision
    )
    answer[signatures.ERROR] = errors
    answer[signatures.LABEL_NAMES] = _label_names(labels, tf.size(image_bytes))
    if labels.count == 1:
        answer[signatures.MEAN_PROBABILITY] = answer[
            signatures.MEAN_PROBABILITY
        ][:, 0]
    if labels.names == ("lesion",):
        answer[signatures.LESION_FRACTION] = answer[signatures.LABEL_FRACTIONS][
            :, 0
        ]
    return answer


def segment_images(
    segmentor: Segmentor, images: tf.Tensor, *, labels: labels.Labels
) -> dict[str, tf.Tensor]:
    """Predicts the probability maps of images of one size, at that size.

    Args:
      segmentor: as for `segment_image_bytes`.
      images: uint8 [batch, height, width, 3], RGB.
      labels: of the segmentor's channels.

    Returns:
      probability_map: float32 [batch, height, width, labels] in [0, 1].
      label_names: string [batch, labels].
    """
    batch, height, width, _ = tf.unstack(tf.shape(images))
    _, *size, _ = segmentor.input_shape
    resized = preprocessing.resize_image(images, *size)
    probability_map = segmentor(
        preprocessing.normalize(resized), training=False
    )
    return {
        signatures.PROBABILITY_MAP: preprocessing.resize_probability_map(
            probability_map, height, width
        ),
        signatures.LABEL_NAMES: _label_names(labels, batch),
    }


def gray_weights(labels: labels.Labels) -> list[int]:
    """Returns what each label adds to a pixel's gray value where it holds.

    A single label adds 255. Multiclass labels, of which a pixel has at most
    one, add their numbers, 1 to k. Multilabel ones add a bit each, 1, 2, 4 to
    128: a pixel of 5 has the first and the third label.

    Raises:
      UserError: there are more multilabel labels than bits.
    """
    if labels.count == 1:
        return [_FULL]
    if labels.multiclass:
        return list(range(1, labels.count + 1))
    if labels.count > MAX_MULTILABEL:
        raise config.UserError(
            f"the SavedModel's label maps hold at most {MAX_MULTILABEL} "
            f"multilabel labels, a bit each, not {labels.count}; train them "
            "as multiclass ones, or as two models."
        )
    return [1 << i for i in range(labels.count)]


def _decode_images(
    image_bytes: tf.Tensor, size: Sequence[int]
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Decodes and resizes images, few at once.

    All at once, a batch of large images would need memory for all of them.

    Returns:
      float32 [batch, *size, 3] in 0..255; int32 [batch, 2], the images' own
      heights and widths; and string [batch], "" or what is wrong with a file,
      whose image is then black.
    """

    def read(content: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        image, error = image_decoding.read_image(content)
        resized = preprocessing.resize_image(image, *size)
        return resized, tf.shape(image)[:2], error

    return tf.map_fn(
        read,
        image_bytes,
        parallel_iterations=DECODED_AT_ONCE,
        fn_output_signature=(
            tf.TensorSpec((*size, 3), tf.float32),
            tf.TensorSpec((2,), tf.int32),
            tf.TensorSpec((), tf.string),
        ),
    )


def _describe_all(
    probability_maps: tf.Tensor,
    sizes: tf.Tensor,
    errors: tf.Tensor,
    *,
    labels: labels.Labels,
    decision: Decision,
) -> dict[str, tf.Tensor]:
    """Decides label maps at the images' own sizes, few at once.

    Returns:
      By name: PNG files, string [batch]; the fraction and the mean probability
      of each label, float32 [batch, labels]; and the expected Dice, float32
      [batch], if the decision has a curve for it. Empty and 0 where there is
      an error.
    """
    of_labels = tf.TensorSpec((labels.count,), tf.float32)
    specs = {
        signatures.LABEL_MAP_BYTES: tf.TensorSpec((), tf.string),
        signatures.LABEL_FRACTIONS: of_labels,
        signatures.MEAN_PROBABILITY: of_labels,
    }
    if expected_dice.THRESHOLDS in decision.expected_dice:
        specs[signatures.EXPECTED_DICE] = tf.TensorSpec((), tf.float32)
    nothing = {
        name: tf.constant("")
        if spec.dtype == tf.string
        else tf.zeros(spec.shape, spec.dtype)
        for name, spec in specs.items()
    }

    def describe(
        of_image: tuple[tf.Tensor, tf.Tensor, tf.Tensor],
    ) -> dict[str, tf.Tensor]:
        probability_map, size, error = of_image
        return tf.cond(
            error == "",
            lambda: _describe(
                probability_map, size, labels=labels, decision=decision
            ),
            lambda: nothing,
        )

    return tf.map_fn(
        describe,
        (probability_maps, sizes, errors),
        parallel_iterations=DECODED_AT_ONCE,
        fn_output_signature=specs,
    )


def _describe(
    probability_map: tf.Tensor,
    size: tf.Tensor,
    *,
    labels: labels.Labels,
    decision: Decision,
) -> dict[str, tf.Tensor]:
    probability_map = preprocessing.resize_probability_map(
        probability_map, size[0], size[1]
    )
    label_map = preprocessing.decide_label_map(
        probability_map,
        multiclass=labels.multiclass,
        thresholds=decision.thresholds,
    )
    # Of 8 bits: each float32 map of a large image takes 4 bytes a pixel.
    gray = tf.reduce_sum(
        tf.cast(label_map, tf.uint8)
        * tf.constant(gray_weights(labels), tf.uint8),
        axis=-1,
        keepdims=True,
    )
    # Row by row, since float32 is exact only up to 2 ** 24 pixels.
    rows = tf.cast(tf.reduce_sum(label_map, axis=1), tf.int32)
    areas = tf.cast(tf.reduce_sum(rows, axis=0), tf.float32)
    sums = tf.reduce_sum(probability_map * label_map, axis=(0, 1))
    found = {
        signatures.LABEL_MAP_BYTES: tf.io.encode_png(gray),
        signatures.LABEL_FRACTIONS: areas
        / tf.cast(size[0] * size[1], tf.float32),
        signatures.MEAN_PROBABILITY: tf.math.divide_no_nan(sums, areas),
    }
    curve = decision.expected_dice.get(expected_dice.THRESHOLDS)
    if curve is not None:
        found[signatures.EXPECTED_DICE] = expectation.expect_dice(
            probability_map,
            multiclass=labels.multiclass,
            thresholds=decision.thresholds_of(labels.count),
            curve=curve,
        )
    return found


def _label_names(labels: labels.Labels, batch: tf.Tensor) -> tf.Tensor:
    return tf.tile(tf.constant([labels.names]), (batch, 1))
