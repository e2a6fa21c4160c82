"""One train step: the critic climbs the multi-scale L1 loss, S descends it."""

import dataclasses
from collections.abc import Sequence

import keras
import tensorflow as tf

from segan_tf import losses
from segan_tf.imaging import preprocessing
from segan_tf.metrics import batch as batch_metrics
from segan_tf.models import blocks
from segan_tf.models import critic as critic_lib
from segan_tf.models.critics import CRITICS
from segan_tf.training.state import TrainState

Logs = dict[str, tf.Tensor]


@dataclasses.dataclass(frozen=True)
class Batch:
    """What one step sees on a replica.

    Attributes:
      image: float32 [batch, height, width, 3], normalized.
      true_label_map: float32 [batch, height, width, labels] in {0, 1}.
      style: float32 [batch, styles], weights that sum to 1, of the label maps;
        None for models without styles. C sees what S sees.
      label_subset: float32 [drawn, labels], one-hot: the labels that C sees in
        this step; None for all.
    """

    image: tf.Tensor
    true_label_map: tf.Tensor
    style: tf.Tensor | None = None
    label_subset: tf.Tensor | None = None


def train_step(
    state: TrainState,
    image: tf.Tensor,
    true_label_map: tf.Tensor,
    style: tf.Tensor | None = None,
) -> Logs:
    """Makes one critic step and one segmentor step on a replica's batch.

    S does not change during the critic step, so S(x) is computed once and
    serves both; the segmentor's batch statistics are updated once a step.
    The critic's features are computed for each of the two steps, because C
    changes in between, and its statistics are updated by all four passes.

    Args:
      state: both models and their optimizers.
      image: see `Batch`.
      true_label_map: see `Batch`.
      style: see `Batch`.

    Returns:
      This replica's share of each logged value, to be summed over replicas:
      scalars, ``scale_distances`` float32 [scales], and ``label_dice_sum`` and
      ``label_images`` float32 [labels]: the sum of the Dice over the images
      that have the label, and their number.
    """
    batch = Batch(image, true_label_map, style, draw_labels(state))
    tape, predicted = predict(state, batch)
    logs = critic_step(state, batch, predicted)
    more_logs, gradients = segmentor_gradients(state, batch, tape, predicted)
    apply_gradients(state.segmentor_optimizer, state.segmentor, gradients)
    return logs | more_logs


def predict(
    state: TrainState, batch: Batch
) -> tuple[tf.GradientTape, tf.Tensor]:
    """Computes S(x) as in training, and the tape of its gradients."""
    with tf.GradientTape() as tape:
        inputs = blocks.with_style(batch.image, batch.style)
        predicted = state.segmentor(inputs, training=True)
    return tape, predicted


def apply_gradients(
    optimizer: keras.optimizers.Optimizer,
    model: keras.Model,
    gradients: Sequence[tf.Tensor],
) -> None:
    """Moves the trained variables of a model."""
    optimizer.apply_gradients(
        zip(gradients, model.trainable_variables, strict=True)
    )


def critic_step(state: TrainState, batch: Batch, predicted: tf.Tensor) -> Logs:
    """Moves C up the loss: max_C mean_n l_mae(f_C(x o S(x)), f_C(x o y)).

    Does nothing if S is trained alone, or C has no trained weights.

    Args:
      state: both models and their optimizers.
      batch: of this step.
      predicted: S(x), float32 [batch, height, width, labels] in [0, 1].

    Returns:
      ``critic_loss``, this replica's share; empty if nothing is done.
    """
    if state.critic is None or state.critic_optimizer is None:
        return {}
    logs, gradients = critic_gradients(state, batch, predicted)
    apply_gradients(state.critic_optimizer, state.critic, gradients)
    return logs


def critic_gradients(
    state: TrainState, batch: Batch, predicted: tf.Tensor
) -> tuple[Logs, list[tf.Tensor]]:
    """Computes the gradients of C's loss; arguments as for `critic_step`.

    Returns:
      ``critic_loss``, this replica's share, and a gradient for each trained
      variable of C.

    Raises:
      ValueError: S is trained alone.
    """
    if state.critic is None:
        raise ValueError("there is no critic")
    with tf.GradientTape() as tape:
        _, distance = _distances(state, batch, predicted)
        critic_loss = -replica_share(state, distance)
    gradients = tape.gradient(critic_loss, state.critic.trainable_variables)
    return {"critic_loss": critic_loss}, gradients


def segmentor_gradients(
    state: TrainState,
    batch: Batch,
    tape: tf.GradientTape,
    predicted: tf.Tensor,
) -> tuple[Logs, list[tf.Tensor]]:
    """Computes the gradients of S's loss, with C fixed.

    Args:
      state: both models and their optimizers.
      batch: of this step.
      tape: of `predicted`.
      predicted: from `predict`.

    Returns:
      The logged values of the loss and of the label maps, and a gradient for
      each trained variable of S.
    """
    logs, gradient = segmentor_gradient(state, batch, predicted)
    gradients = tape.gradient(
        predicted,
        state.segmentor.trainable_variables,
        output_gradients=gradient,
    )
    return logs | _map_logs(state, batch, predicted), gradients


def segmentor_gradient(
    state: TrainState, batch: Batch, predicted: tf.Tensor
) -> tuple[Logs, tf.Tensor]:
    """Computes the gradient of S's loss with respect to S(x), with C fixed.

    Arguments are those of `critic_step`.

    Returns:
      The logged values of the loss, and float32 of the shape of S(x).
    """
    logs, weights = {}, state.config.loss_weights
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(predicted)
        if state.critic is not None:
            distances, distance = _distances(state, batch, predicted)
            logs["multi_scale_l1"] = replica_share(state, distance)
            distances = tf.reduce_mean(distances, axis=1)
            logs["scale_distances"] = replica_share(state, distances)
        for name, term in losses.LABEL_MAP_TERMS.items():
            # The Dice loss is logged whether or not it is trained on.
            if weights[name] or name == "dice_loss":
                value = term(
                    batch.true_label_map,
                    predicted,
                    multiclass=state.config.multiclass,
                    weights=state.label_weights,
                )
                logs[name] = replica_share(state, value)
        terms = [w * logs[name] for name, w in weights.items() if w]
        loss = tf.add_n(terms)
    logs = {"segmentor_loss": loss, **logs}
    return logs, tape.gradient(loss, predicted)


def draw_labels(state: TrainState) -> tf.Tensor | None:
    """Draws the labels that C sees in this step.

    The draw depends only on the seed and the step, so that a resumed run draws
    the same ones, and so do all replicas.

    Returns:
      float32 [drawn, labels], one-hot; None if C sees all.
    """
    count, drawn = state.config.num_labels, state.config.critic_labels_per_step
    if not 0 < drawn < count:
        return None
    step = tf.convert_to_tensor(state.segmentor_optimizer.iterations)
    seed = tf.stack([state.config.seed, tf.cast(step, tf.int64)])
    return tf.one_hot(critic_lib.sample_labels(count, drawn, seed), count)


def _distances(
    state: TrainState, batch: Batch, predicted: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Computes the distances of every scale and their multi-scale L1.

    f_C(x o S(x)) and f_C(x o y) are computed in a pass each, with their own
    batch statistics. The mean over the drawn labels is an unbiased estimate
    of the mean over all, since every label is drawn equally often.

    Returns:
      float32 [batch, views, scales], and their mean float32 [batch].
    """
    form, weights = state.config.critic_form, state.label_weights
    maps: Sequence[tf.Tensor] = (predicted, batch.true_label_map)
    subset = batch.label_subset
    if subset is not None:
        # A product with a one-hot matrix rather than tf.gather: its gradient
        # is a product too, and not a scatter over every pixel.
        maps = [tf.einsum("bhwk,mk->bhwm", m, subset) for m in maps]
        if weights:
            weights = tf.linalg.matvec(subset, tf.constant(weights))
    elif form == "stacked":
        weights = ()  # the one critic sees the labels together
    distances = CRITICS[state.config.critic].compute_distances(
        state.critic, form, batch.image, maps, style=batch.style
    )
    return distances, losses.multi_scale_l1(distances, weights)


def replica_share(state: TrainState, per_image: tf.Tensor) -> tf.Tensor:
    """Sums over the replica's images and divides by the global batch size.

    Args:
      state: of the run.
      per_image: float32 [batch, ...].
    """
    return tf.reduce_sum(per_image, axis=0) / state.config.batch_size


def _map_logs(state: TrainState, batch: Batch, predicted: tf.Tensor) -> Logs:
    """Measures the decided maps: their Dice, and the share of any label.

    A label's Dice counts only in the images that have it. Counted as right
    wherever it is absent, a rare label that is never predicted would have a
    Dice far from 0.
    """
    decided = preprocessing.decide_label_map(
        predicted, multiclass=state.config.multiclass
    )
    true = batch.true_label_map
    has_label = tf.reduce_max(true, axis=(1, 2))
    label_dice = batch_metrics.hard_dice(decided, true) * has_label
    share = tf.reduce_mean(tf.reduce_max(decided, axis=-1), axis=(1, 2))
    return {
        "label_dice_sum": tf.reduce_sum(label_dice, axis=0),
        "label_images": tf.reduce_sum(has_label, axis=0),
        "predicted_share": replica_share(state, share),
    }
