"""The optimizers of S and C, and their learning-rate schedule."""

import keras

from segan_tf import compat
from segan_tf.config import Config

ADAM_BETA_1 = 0.5  # the paper, Training
ADAM_BETA_2 = 0.999  # the paper, Training
LAMB_EPSILON = 1e-6  # tensorflow-addons' default
WARMUP_EPOCHS = 1  # of --schedule=cosine; ours


def build_optimizer(
    config: Config, model: keras.Model, *, steps_per_epoch: int
) -> keras.optimizers.Optimizer:
    """Builds the optimizer of all trained weights of a model.

    Its own variables are created too, so that a checkpoint can be restored
    before the first step.

    Args:
      config: all settings of the run.
      model: what it trains.
      steps_per_epoch: for the learning-rate schedule.

    Raises:
      UserError: it needs tensorflow-addons, which is missing.
    """
    build = {"adam": _build_adam, "lamb": _build_lamb}[config.optimizer]
    return build(build_schedule(config, steps_per_epoch), model)


def build_schedule(
    config: Config, steps_per_epoch: int
) -> keras.optimizers.schedules.LearningRateSchedule:
    """Builds the paper's staircase, or a cosine that decays to 0."""
    if config.schedule == "staircase":
        return keras.optimizers.schedules.ExponentialDecay(
            config.learning_rate,
            decay_steps=config.decay_epochs * steps_per_epoch,
            decay_rate=config.decay_rate,
            staircase=True,
        )
    warmup = min(config.epochs - 1, WARMUP_EPOCHS) * steps_per_epoch
    return keras.optimizers.schedules.CosineDecay(
        0.0 if warmup else config.learning_rate,
        decay_steps=config.epochs * steps_per_epoch - warmup,
        warmup_target=config.learning_rate if warmup else None,
        warmup_steps=warmup,
    )


def _build_adam(
    rate: keras.optimizers.schedules.LearningRateSchedule,
    model: keras.Model,
) -> keras.optimizers.Optimizer:
    optimizer = keras.optimizers.Adam(
        rate, beta_1=ADAM_BETA_1, beta_2=ADAM_BETA_2
    )
    optimizer.build(model.trainable_variables)
    return optimizer


def _build_lamb(
    rate: keras.optimizers.schedules.LearningRateSchedule,
    model: keras.Model,
) -> keras.optimizers.Optimizer:
    """Builds LAMB: Adam's step u, scaled to the length of its tensor w.

        w <- w - rate |w| / |u| u,   u = m / (sqrt(v) + epsilon)

    with m and v as in Adam, bias-corrected; where |w| or |u| is 0 the step is
    rate u. A tensor then moves by the same share of its length however large
    the batch is. Source: arXiv:1904.00962, algorithm 2, without weight decay.
    """
    numbers = {
        "beta_1": ADAM_BETA_1,
        "beta_2": ADAM_BETA_2,
        "epsilon": LAMB_EPSILON,
    }
    addons = compat.find_addons()
    if addons is None:
        optimizer = keras.optimizers.Lamb(rate, **numbers)
        optimizer.build(model.trainable_variables)
        return optimizer
    optimizer = addons.optimizers.LAMB(rate, **numbers)
    # The name of `build` in the older optimizers that it derives from.
    optimizer._create_all_weights(model.trainable_variables)
    return optimizer
