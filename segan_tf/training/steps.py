"""One train step: the critic climbs the multi-scale L1 loss, S descends it."""

import dataclasses

import keras
import tensorflow as tf

from segan_tf import config
from segan_tf.data import preprocessing
from segan_tf.models import critic as critic_lib
from segan_tf.training import losses


@dataclasses.dataclass(frozen=True)
class Game:
    """The two players and what moves them.

    Attributes:
      run: the configuration: global batch size, form of the critic, weights
        of the labels and of the Dice term.
      segmentor: S, normalised image -> predicted label map.
      segmentor_optimizer: moves S.
      critic: C, masked image -> features of every scale; None trains S alone.
      critic_optimizer: moves C.
      averaged: the running mean of S's weights, if the run keeps one.
    """

    run: config.Config
    segmentor: keras.Model
    segmentor_optimizer: keras.optimizers.Optimizer
    critic: keras.Model | None = None
    critic_optimizer: keras.optimizers.Optimizer | None = None
    averaged: keras.Model | None = None

    @property
    def result(self) -> keras.Model:
        """The segmentor that is scored and handed out."""
        return self.averaged or self.segmentor

    @property
    def label_weights(self) -> tuple[float, ...]:
        """The weights of the labels, brought to a mean of 1; () if all are."""
        weights = self.run.label_weights
        return tuple(w * len(weights) / sum(weights) for w in weights)


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
      scalars, ``scale_distances`` float32 [scales] and ``label_dice`` float32
      [labels].
    """
    with tf.GradientTape() as tape:
        predicted = game.segmentor(image, training=True)
    logs, seen = {}, None
    if game.critic is not None:
        seen = _draw_labels(game)
        logs = critic_step(game, image, predicted, true_label_map, seen=seen)
    more_logs, pull = _pull(game, image, predicted, true_label_map, seen=seen)
    logs.update(more_logs)
    variables = game.segmentor.trainable_variables
    gradients = tape.gradient(predicted, variables, output_gradients=pull)
    game.segmentor_optimizer.apply_gradients(
        zip(gradients, variables, strict=True)
    )
    logs.update(_map_logs(game, predicted, true_label_map))
    return logs


def average_weights(game: Game) -> None:
    """Moves the running mean of S's weights after a step.

        mean <- d mean + (1 - d) weight,   d = min(ema, (1 + t) / (10 + t))

    with t the steps made: in the first ones the mean follows more closely,
    since it still holds what S began with. Batch statistics are averaged too,
    so that they belong to the averaged weights. Call it outside the replicas.
    """
    made = tf.cast(game.segmentor_optimizer.iterations, tf.float32)
    decay = tf.minimum(game.run.ema, (1 + made) / (10 + made))
    for mean, weight in zip(
        game.averaged.weights, game.segmentor.weights, strict=True
    ):
        mean.assign(mean + (1 - decay) * (weight - mean))


def critic_step(
    game: Game,
    image: tf.Tensor,
    predicted_label_map: tf.Tensor,
    true_label_map: tf.Tensor,
    *,
    seen: tf.Tensor | None = None,
) -> dict[str, tf.Tensor]:
    """Moves C up the loss: max_C mean_n l_mae(f_C(x o S(x)), f_C(x o y)).

    Args:
      game: both models and their optimisers.
      image: float32 [batch, height, width, 3], normalised.
      predicted_label_map: float32 [batch, height, width, labels] in [0, 1].
      true_label_map: the same shape, in {0, 1}.
      seen: float32 [labels seen, labels], one-hot; None shows C all labels.

    Returns:
      ``critic_loss``, this replica's share.
    """
    with tf.GradientTape() as tape:
        _, distance = _distances(
            game, image, predicted_label_map, true_label_map, seen=seen
        )
        critic_loss = -_share(game, distance)
    variables = game.critic.trainable_variables
    gradients = tape.gradient(critic_loss, variables)
    game.critic_optimizer.apply_gradients(
        zip(gradients, variables, strict=True)
    )
    return {"critic_loss": critic_loss}


def _pull(
    game: Game,
    image: tf.Tensor,
    predicted: tf.Tensor,
    true_label_map: tf.Tensor,
    *,
    seen: tf.Tensor | None,
) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
    """Computes the gradient of S's loss by S(x), with C fixed."""
    logs, weights = {}, game.run.loss_weights
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(predicted)
        if game.critic is not None:
            distances, distance = _distances(
                game, image, predicted, true_label_map, seen=seen
            )
            logs["multi_scale_l1"] = _share(game, distance)
            distances = tf.reduce_mean(distances, axis=1)
            logs["scale_distances"] = _share(game, distances)
        dice_loss = losses.soft_dice_loss(
            predicted, true_label_map, weights=game.label_weights
        )
        logs["dice_loss"] = _share(game, dice_loss)
        if weights["cross_entropy"]:
            cross_entropy = losses.cross_entropy(
                predicted,
                true_label_map,
                exclusive=game.run.exclusive,
                weights=game.label_weights,
            )
            logs["cross_entropy"] = _share(game, cross_entropy)
        terms = [w * logs[name] for name, w in weights.items() if w]
        loss = tf.add_n(terms)
    logs = {"segmentor_loss": loss, **logs}
    return logs, tape.gradient(loss, predicted)


def _draw_labels(game: Game) -> tf.Tensor | None:
    """Draws the labels that C sees in this step; None if it sees all.

    The draw follows from the seed and the step alone, so that a run that was
    stopped goes on with the same ones, and all replicas draw alike.
    """
    count, drawn = game.run.num_labels, game.run.critic_labels_per_step
    if not 0 < drawn < count:
        return None
    step = tf.convert_to_tensor(game.segmentor_optimizer.iterations)
    seed = tf.stack([game.run.seed, tf.cast(step, tf.int64)])
    return tf.one_hot(critic_lib.sample_labels(count, drawn, seed), count)


def _distances(
    game: Game,
    image: tf.Tensor,
    predicted_label_map: tf.Tensor,
    true_label_map: tf.Tensor,
    *,
    seen: tf.Tensor | None,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Computes the distances of every scale and their multi-scale L1.

    f_C(x o S(x)) and f_C(x o y) are computed in a pass each, with their own
    batch statistics. The mean over the labels seen is an unbiased estimate of
    the mean over all, since every label is drawn equally often.

    Returns:
      float32 [batch, views, scales], and their mean float32 [batch].
    """
    form, weights = game.run.critic_form, game.label_weights
    maps = (predicted_label_map, true_label_map)
    if seen is not None:
        # A product with a one-hot matrix rather than tf.gather: its gradient
        # is a product too, and not a scatter over every pixel.
        maps = [tf.einsum("bhwk,mk->bhwm", m, seen) for m in maps]
        if weights:
            weights = tf.linalg.matvec(seen, tf.constant(weights))
    elif form == "stacked":
        weights = ()  # the one critic sees the labels together
    distances = losses.scale_distances(
        *(
            critic_lib.compute_features(game.critic, form, image, label_map)
            for label_map in maps
        )
    )
    return distances, losses.multi_scale_l1(distances, weights)


def _share(game: Game, per_image: tf.Tensor) -> tf.Tensor:
    """Sums over the replica's images, divided by the global batch."""
    return tf.reduce_sum(per_image, axis=0) / game.run.batch_size


def hard_dice(label_map: tf.Tensor, true_label_map: tf.Tensor) -> tf.Tensor:
    """Computes Dice of two binary label maps, 1 where both are empty.

    Args:
      label_map: float32 [batch, height, width, labels] in {0, 1}.
      true_label_map: the same shape, in {0, 1}.

    Returns:
      float32 [batch, labels].
    """
    both = tf.reduce_sum(label_map * true_label_map, axis=(1, 2))
    each = tf.reduce_sum(label_map + true_label_map, axis=(1, 2))
    return tf.where(each > 0, 2 * both / tf.maximum(each, 1), 1.0)


def confusion_matrix(
    label_map: tf.Tensor, true_label_map: tf.Tensor
) -> tf.Tensor:
    """Counts pixels by true and predicted label, of exclusive labels.

    Args:
      label_map: float32 [batch, height, width, labels] in {0, 1}.
      true_label_map: the same shape, in {0, 1}.

    Returns:
      int32 [labels + 1, labels + 1]: rows are true, columns predicted; the
      first of each is the background.
    """
    count = label_map.shape[-1]
    numbers = tf.range(1, count + 1, dtype=tf.float32)
    true, predicted = (
        tf.cast(tf.reshape(tf.reduce_sum(m * numbers, -1), (-1,)), tf.int32)
        for m in (true_label_map, label_map)
    )
    return tf.math.confusion_matrix(true, predicted, count + 1)


def _map_logs(
    game: Game, predicted: tf.Tensor, true_label_map: tf.Tensor
) -> dict[str, tf.Tensor]:
    """Measures the decided maps: their Dice, and the share of any label."""
    decided = preprocessing.decide_label_map(
        predicted, exclusive=game.run.exclusive
    )
    label_dice = _share(game, hard_dice(decided, true_label_map))
    share = tf.reduce_mean(tf.reduce_max(decided, axis=-1), axis=(1, 2))
    return {
        "dice": tf.reduce_mean(label_dice),
        "label_dice": label_dice,
        "predicted_share": _share(game, share),
    }
