"""Segmentation losses: functions, and `keras.losses.Loss` objects over them.

The functions return one value per image, so that replicas can add them up. The
objects are for `model.compile` and average over the batch as usual in Keras.

Symbols: image x, true label map y, segmentor S, critic C with scales
i = 1..L, masking o, features f^i, labels j = 1..k with weights w_j of mean 1.
"""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from segan_tf.metrics import batch as batch_metrics
from segan_tf.models import critic as critic_lib

DICE_EPSILON = 1.0  # pixels; keeps the Dice loss of few pixels smooth
LOG_EPSILON = 1e-7  # keeps log(p) finite; Keras' own


def scale_distances(
    features: Sequence[tf.Tensor], other_features: Sequence[tf.Tensor]
) -> tf.Tensor:
    """Computes || f^i(x) - f^i(x') ||_1 for every scale i.

    The L1 norm is the mean absolute difference over the scale's positions and
    channels (the paper, Loss), so that scales of any size have equal weight.
    Example: the scale [1, 3] against [2, 5] gives (1 + 2) / 2 = 1.5.

    Args:
      features: L tensors [batch, views, height_i, width_i, channels_i], see
        `critic.compute_features`.
      other_features: the same shapes.

    Returns:
      float32 [batch, views, L].
    """
    return tf.stack(
        [
            tf.reduce_mean(
                tf.abs(tf.cast(f, tf.float32) - tf.cast(g, tf.float32)),
                axis=(2, 3, 4),
            )
            for f, g in zip(features, other_features, strict=True)
        ],
        axis=2,
    )


def multi_scale_l1(
    distances: tf.Tensor, weights: Sequence[float] | tf.Tensor = ()
) -> tf.Tensor:
    """Computes l_mae = (1/L) sum_i || f^i(x o S(x)) - f^i(x o y) ||_1.

    Source: SegAN, equation 2, with the paper's mean absolute difference.
    Several views are averaged, (1/k) sum_j w_j l_mae_j, so that the size of
    the loss does not depend on the number of labels.
    Example: scales [1, 3] against [2, 5] and [4] against [0] have the
    distances (1 + 2) / 2 = 1.5 and 4, so the loss is (1.5 + 4) / 2 = 2.75.

    Args:
      distances: float32 [batch, views, L], from `scale_distances`.
      weights: one for each view; all 1 by default.

    Returns:
      float32 [batch].
    """
    return weighted_mean(tf.reduce_mean(distances, axis=2), weights)


def weighted_mean(
    values: tf.Tensor, weights: Sequence[float] | tf.Tensor = ()
) -> tf.Tensor:
    """Computes (1/k) sum_j w_j v_j over the labels.

    The sum is divided by k, not by sum_j w_j, so that the same mean over a
    random subset of the labels has this one as its expectation.
    Example: values [3, 5] with weights [0.5, 1.5] give (1.5 + 7.5) / 2 = 4.5.

    Args:
      values: float32 [batch, labels].
      weights: [labels], of mean 1; all 1 by default.

    Returns:
      float32 [batch].
    """
    if not isinstance(weights, tf.Tensor) and not weights:
        return tf.reduce_mean(values, axis=1)
    return tf.reduce_mean(values * weights, axis=1)


def scale_weights(weights: Sequence[float]) -> tuple[float, ...]:
    """Scales label weights to a mean of 1.

    Example: [1, 3] give [0.5, 1.5].

    Args:
      weights: one for each label, or none at all for equal weights.

    Raises:
      ValueError: a weight is negative, or all are 0.
    """
    if weights and (min(weights) < 0 or not sum(weights)):
        raise ValueError(
            f"label_weights ({', '.join(map(str, weights))}) must be 0 or "
            "more, and not all 0"
        )
    return tuple(w * len(weights) / sum(weights) for w in weights)


def soft_dice_loss(
    true_label_map: tf.Tensor,
    predicted_label_map: tf.Tensor,
    *,
    weights: Sequence[float] = (),
    multiclass: bool = True,
) -> tf.Tensor:
    """Computes 1 - (2 sum p y + e) / (sum p^2 + sum y^2 + e).

    Source: V-Net (arXiv:1606.04797), equation of section 3. e is 1 pixel, but
    all pixels of the image for a label that the image lacks. With 1 pixel
    there too, such images would dominate: at p = 0.01 everywhere their
    gradient, over 128x128 pixels, is about twenty times that of an image which
    has the label, and a thin or rare label is never learned. With all pixels
    the loss of an absent label is about the mean of p^2, and 0 once nothing of
    it is predicted.
    Example: p = [1, 0.5], y = [1, 0] give 1 - (2 + 1) / (1.25 + 1 + 1) =
    0.0769; y = [0, 0] gives 1 - 2 / (1.25 + 2) = 0.3846.

    Args:
      true_label_map: float32 [batch, height, width, labels] in {0, 1}.
      predicted_label_map: the same shape, in [0, 1].
      weights: one for each label, of mean 1; all 1 by default.
      multiclass: unused; all terms have the same arguments.

    Returns:
      float32 [batch], the weighted mean over the labels.
    """
    del multiclass
    p, y = predicted_label_map, true_label_map
    both = tf.reduce_sum(p * y, axis=(1, 2))
    each = tf.reduce_sum(p * p + y * y, axis=(1, 2))
    absent = tf.reduce_sum(y, axis=(1, 2)) == 0
    pixels = tf.cast(tf.reduce_prod(tf.shape(y)[1:3]), tf.float32)
    smooth = tf.where(absent, pixels, DICE_EPSILON)
    return weighted_mean(1 - (2 * both + smooth) / (each + smooth), weights)


def cross_entropy(
    true_label_map: tf.Tensor,
    predicted_label_map: tf.Tensor,
    *,
    multiclass: bool = True,
    weights: Sequence[float] = (),
) -> tf.Tensor:
    """Computes the cross-entropy, averaged over the pixels.

        multilabel: -(1/k) sum_j w_j (y_j log p_j + (1 - y_j) log(1 - p_j))
        multiclass: -(sum_j w_j y_j log p_j + y_0 log p_0)

    with the background y_0 = 1 - sum_j y_j and p_0 = 1 - sum_j p_j, and every
    p clipped to [1e-7, 1 - 1e-7]. For one label the two are the same.
    Example: p = 0.5 everywhere gives -log 0.5 = 0.693 for one label.

    Args:
      true_label_map: float32 [batch, height, width, labels] in {0, 1}.
      predicted_label_map: the same shape, in [0, 1].
      multiclass: whether a pixel has at most one label.
      weights: one for each label, of mean 1; all 1 by default.

    Returns:
      float32 [batch].
    """
    p, y = predicted_label_map, true_label_map
    present = tf.reduce_mean(y * _log(p), axis=(1, 2))
    if multiclass:
        y_0 = 1 - tf.reduce_sum(y, axis=-1)
        p_0 = 1 - tf.reduce_sum(p, axis=-1)
        background = tf.reduce_mean(y_0 * _log(p_0), axis=(1, 2))
        return -(weighted_mean(present, weights) * y.shape[-1] + background)
    absent = tf.reduce_mean((1 - y) * _log(1 - p), axis=(1, 2))
    return -weighted_mean(present + absent, weights)


def _log(p: tf.Tensor) -> tf.Tensor:
    return tf.math.log(tf.clip_by_value(p, LOG_EPSILON, 1 - LOG_EPSILON))


# The terms of the segmentor's loss that compare label maps, by their name in
# the log: (true, predicted, *, multiclass, weights) -> float32 [batch]. To add
# a term, add its function and a row here, and in config.py a setting for its
# weight with loss_term="<name>".
LABEL_MAP_TERMS: dict[str, Callable[..., tf.Tensor]] = {
    "dice_loss": soft_dice_loss,
    "cross_entropy": cross_entropy,
}


class _LabelMapLoss(keras.losses.Loss):
    """A loss with a weight for each label."""

    def __init__(
        self, label_weights: Sequence[float] = (), **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.label_weights = tuple(label_weights)
        self._weights = scale_weights(self.label_weights)

    def _as_label_maps(
        self, y_true: tf.Tensor, y_pred: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        y_true, y_pred = batch_metrics.as_label_maps(y_true, y_pred)
        given, labels = len(self._weights), y_pred.shape[-1]
        if given not in (0, labels):
            raise ValueError(
                f"label_weights ({given} numbers) must be one for each of the "
                f"{labels} labels"
            )
        return y_true, y_pred

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        return {**super().get_config(), "label_weights": self.label_weights}


@keras.saving.register_keras_serializable(package="segan_tf")
class SoftDice(_LabelMapLoss):
    """Computes the soft Dice loss, see `soft_dice_loss`.

    >>> y_true = [[[[1.0], [0.0]]]]  # an image of 1 x 2 pixels and one label
    >>> y_pred = [[[[1.0], [0.5]]]]
    >>> SoftDice()(y_true, y_pred)  # 1 - (2 + 1) / (1.25 + 1 + 1)
    0.0769

    ``y_true`` is [batch, height, width, labels] in {0, 1} and ``y_pred``
    float32 of the same shape, in [0, 1]; multiclass and multilabel labels are
    treated alike.

    Args:
      label_weights: one for each label, scaled to a mean of 1; all 1 by
        default.
      name: name of the loss.
      **kwargs: ``reduction``, of `keras.losses.Loss`.
    """

    def __init__(
        self,
        label_weights: Sequence[float] = (),
        *,
        name: str = "soft_dice",
        **kwargs: Any,
    ) -> None:
        super().__init__(label_weights, name=name, **kwargs)

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """Returns the loss of each image, float32 [batch]."""
        y_true, y_pred = self._as_label_maps(y_true, y_pred)
        return soft_dice_loss(y_true, y_pred, weights=self._weights)


@keras.saving.register_keras_serializable(package="segan_tf")
class CrossEntropyDice(_LabelMapLoss):
    """Computes cross-entropy plus the soft Dice loss.

    It is the sum of `cross_entropy` and `soft_dice_loss`, the loss of
    ``--noadversarial``.

    >>> y_true = [[[[1.0], [0.0]]]]  # an image of 1 x 2 pixels and one label
    >>> y_pred = [[[[0.5], [0.5]]]]
    >>> CrossEntropyDice()(y_true, y_pred)  # 0.693 + 1 - 2 / (0.5 + 1 + 1)
    0.893

    ``y_true`` is [batch, height, width, labels] in {0, 1} and ``y_pred``
    float32 of the same shape, in [0, 1].

    Args:
      multiclass: whether a pixel has at most one label; then the sum of
        ``y_pred`` over several labels must be at most 1, see
        `layers.MulticlassSoftmax`.
      label_weights: one for each label, scaled to a mean of 1; all 1 by
        default.
      name: name of the loss.
      **kwargs: ``reduction``, of `keras.losses.Loss`.
    """

    def __init__(
        self,
        multiclass: bool = True,
        label_weights: Sequence[float] = (),
        *,
        name: str = "cross_entropy_dice",
        **kwargs: Any,
    ) -> None:
        super().__init__(label_weights, name=name, **kwargs)
        self.multiclass = multiclass

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """Returns the loss of each image, float32 [batch]."""
        y_true, y_pred = self._as_label_maps(y_true, y_pred)
        return cross_entropy(
            y_true, y_pred, multiclass=self.multiclass, weights=self._weights
        ) + soft_dice_loss(y_true, y_pred, weights=self._weights)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        return {**super().get_config(), "multiclass": self.multiclass}


def stack_image(image: tf.Tensor, label_map: tf.Tensor) -> tf.Tensor:
    """Stacks an image and its label map, as `MultiScaleL1` expects ``y_true``.

    Args:
      image: float32 [..., height, width, 3], normalized.
      label_map: [..., height, width, labels] in {0, 1}.

    Returns:
      float32 [..., height, width, 3 + labels].
    """
    return tf.concat([image, tf.cast(label_map, tf.float32)], axis=-1)


@keras.saving.register_keras_serializable(package="segan_tf")
class MultiScaleL1(_LabelMapLoss):
    """Computes the multi-scale L1 of a critic, see `multi_scale_l1`.

    The critic sees the image masked by each label map, but a Keras loss is not
    given the image. So ``y_true`` is the image and the true label map stacked
    on channels, see `stack_image`:

    >>> dataset = dataset.map(lambda x, y: (x, losses.stack_image(x, y)))
    >>> model.compile(loss=losses.MultiScaleL1(critic))
    >>> model.fit(dataset)

    ``y_true`` is float32 [batch, height, width, 3 + labels] and ``y_pred``
    float32 [batch, height, width, labels] in [0, 1]. Example: an image of 1 x 2
    pixels, all 2, with y = [1, 0] and p = [1, 0.5], and a critic whose scales
    are the masked image and twice the masked image. The distances are
    (0 + 2 * 0.5) / 2 = 0.5 and 1, so the loss is (0.5 + 1) / 2 = 0.75.

    With ``fit`` the critic's weights do not change. `segan_tf.train` trains
    both models; in your own loop, train the critic to increase this loss.

    As in training, the critic uses the statistics of the batch. `get_config`
    has its architecture, not its weights: a loaded loss warns that its critic
    is untrained. Load a compiled model with ``compile=False`` and compile it
    again with the trained critic.

    Args:
      critic: from `build_critic`.
      form: the critic's form, one of config.CRITIC_FORMS.
      label_weights: one for each label, scaled to a mean of 1; all 1 by
        default. The stacked critic sees the labels together and has none.
      name: name of the loss.
      **kwargs: ``reduction``, of `keras.losses.Loss`.

    Raises:
      ValueError: label_weights are given for the stacked critic.
    """

    def __init__(
        self,
        critic: keras.Model,
        form: str = "stacked",
        *,
        label_weights: Sequence[float] = (),
        name: str = "multi_scale_l1",
        **kwargs: Any,
    ) -> None:
        super().__init__(label_weights, name=name, **kwargs)
        if label_weights and form == "stacked":
            raise ValueError(
                f"label_weights ({', '.join(map(str, label_weights))}) have no "
                'effect with form="stacked"; leave them out'
            )
        self.critic = critic
        self.form = form

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """Returns the loss of each image, float32 [batch]."""
        image, label_map = y_true[..., :3], y_true[..., 3:]
        label_map, y_pred = self._as_label_maps(label_map, y_pred)
        distances = scale_distances(
            *(
                critic_lib.compute_features(self.critic, self.form, image, m)
                for m in (y_pred, label_map)
            )
        )
        return multi_scale_l1(distances, self._weights)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor, the critic as a config."""
        return {
            **super().get_config(),
            "critic": keras.saving.serialize_keras_object(self.critic),
            "form": self.form,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "MultiScaleL1":
        """Builds the loss with a critic of random weights, and warns so."""
        warnings.warn(
            "the critic of MultiScaleL1 was built from its config and is "
            "untrained; compile again with the trained critic",
            stacklevel=2,
        )
        critic = keras.saving.deserialize_keras_object(config["critic"])
        return cls(**{**config, "critic": critic})
