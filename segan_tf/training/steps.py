"""One train step: the critic climbs the multi-scale L1 loss, S descends it."""

import dataclasses

import keras
import tensorflow as tf

from segan_tf import config
from segan_tf.models import critic as critic_lib
from segan_tf.training import losses


@dataclasses.dataclass(frozen=True)
class Game:
    """The two players and what moves them.

    Attributes:
      segmentor: S, normalised image -> predicted label map.
      segmentor_optimizer: moves S.
      critic: C, masked image -> features of every scale; None trains S alone.
      critic_optimizer: moves C.
      global_batch_size: images per step over all replicas.
      dice_factor: weight of the soft Dice term in the loss of S.
    """

    segmentor: keras.Model
    segmentor_optimizer: keras.optimizers.Optimizer
    critic: keras.Model | None
    critic_optimizer: keras.optimizers.Optimizer | None
    global_batch_size: int
    dice_factor: float


def train_step(
    game: Game, image: tf.Tensor, true_label_map: tf.Tensor
) -> dict[str, tf.Tensor]:
    """Makes one critic step and one segmentor step on a replica's batch.

    S does not change during the critic step, so S(x) is computed once and
    serves both; the segmentor's batch statistics are updated once a step.
    The critic's features are computed for each of the two steps, because C
    changes in between, and its statistics are updated by all four passes.

    Args:
      game: both models and their optimisers.
      image: float32 [batch, height, width, 3], normalised.
      true_label_map: float32 [batch, height, width, labels] in {0, 1}.

    Returns:
      This replica's share of each logged value, to be summed over replicas:
      scalars, and ``scale_distances`` float32 [scales].
    """
    with tf.GradientTape() as tape:
        predicted = game.segmentor(image, training=True)
    if game.critic is None:
        logs, pull = _pull_alone(game, predicted, true_label_map)
    else:
        logs = critic_step(game, image, predicted, true_label_map)
        more_logs, pull = _pull_by_critic(
            game, image, predicted, true_label_map
        )
        logs.update(more_logs)
    variables = game.segmentor.trainable_variables
    gradients = tape.gradient(predicted, variables, output_gradients=pull)
    game.segmentor_optimizer.apply_gradients(
        zip(gradients, variables, strict=True)
    )
    logs.update(_map_logs(game, predicted, true_label_map))
    return logs


def critic_step(
    game: Game,
    image: tf.Tensor,
    predicted_label_map: tf.Tensor,
    true_label_map: tf.Tensor,
) -> dict[str, tf.Tensor]:
    """Moves C up the loss: max_C mean_n l_mae(f_C(x o S(x)), f_C(x o y))."""
    with tf.GradientTape() as tape:
        distance = losses.multi_scale_l1(
            *_features(game, image, predicted_label_map, true_label_map)
        )
        critic_loss = -_share(game, distance)
    variables = game.critic.trainable_variables
    gradients = tape.gradient(critic_loss, variables)
    game.critic_optimizer.apply_gradients(
        zip(gradients, variables, strict=True)
    )
    return {"critic_loss": critic_loss}


def _pull_by_critic(
    game: Game,
    image: tf.Tensor,
    predicted: tf.Tensor,
    true_label_map: tf.Tensor,
) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
    """Computes the gradient of S's loss by S(x), with C fixed."""
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(predicted)
        distances = losses.scale_distances(
            *_features(game, image, predicted, true_label_map)
        )
        distance = _share(game, tf.reduce_mean(distances, axis=1))
        loss = distance
        dice_loss = _share(
            game, losses.soft_dice_loss(predicted, true_label_map)
        )
        if game.dice_factor:
            loss += game.dice_factor * dice_loss
    logs = {
        "segmentor_loss": loss,
        "multi_scale_l1": distance,
        "dice_loss": dice_loss,
        "scale_distances": _share(game, distances),
    }
    return logs, tape.gradient(loss, predicted)


def _pull_alone(
    game: Game, predicted: tf.Tensor, true_label_map: tf.Tensor
) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
    """Computes the gradient of BCE + Dice by S(x): the baseline."""
    with tf.GradientTape() as tape:
        tape.watch(predicted)
        entropy = _share(
            game, losses.binary_cross_entropy(predicted, true_label_map)
        )
        dice_loss = _share(
            game, losses.soft_dice_loss(predicted, true_label_map)
        )
        loss = entropy + game.dice_factor * dice_loss
    logs = {
        "segmentor_loss": loss,
        "cross_entropy": entropy,
        "dice_loss": dice_loss,
    }
    return logs, tape.gradient(loss, predicted)


def _features(
    game: Game,
    image: tf.Tensor,
    predicted_label_map: tf.Tensor,
    true_label_map: tf.Tensor,
) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
    """Computes f_C(x o S(x)) and f_C(x o y), each with its own statistics."""
    return tuple(
        game.critic(critic_lib.mask_image(image, label_map), training=True)
        for label_map in (predicted_label_map, true_label_map)
    )


def _share(game: Game, per_image: tf.Tensor) -> tf.Tensor:
    """Sums over the replica's images, divided by the global batch."""
    return tf.reduce_sum(per_image, axis=0) / game.global_batch_size


def hard_dice(
    predicted_label_map: tf.Tensor, true_label_map: tf.Tensor
) -> tf.Tensor:
    """Computes Dice of the thresholded maps, 1 where both are empty.

    Args:
      predicted_label_map: float32 [batch, height, width, labels] in [0, 1].
      true_label_map: the same shape, in {0, 1}.

    Returns:
      float32 [batch], the mean over the labels.
    """
    hard = tf.cast(predicted_label_map > config.THRESHOLD, tf.float32)
    both = tf.reduce_sum(hard * true_label_map, axis=(1, 2))
    each = tf.reduce_sum(hard + true_label_map, axis=(1, 2))
    dice = tf.where(each > 0, 2 * both / tf.maximum(each, 1), 1.0)
    return tf.reduce_mean(dice, axis=1)


def _map_logs(
    game: Game, predicted: tf.Tensor, true_label_map: tf.Tensor
) -> dict[str, tf.Tensor]:
    """Measures the thresholded maps: their Dice, and the share predicted."""
    hard = tf.cast(predicted > config.THRESHOLD, tf.float32)
    return {
        "dice": _share(game, hard_dice(predicted, true_label_map)),
        "predicted_share": _share(game, tf.reduce_mean(hard, axis=(1, 2, 3))),
    }
