"""The optimizers of S and C, and how their learning rate falls."""

import keras

from segan_tf import compat
from segan_tf.config import Config

ADAM_BETA_1 = 0.5  # reference, Training
ADAM_BETA_2 = 0.999  # reference, Training
LAMB_EPSILON = 1e-6  # tensorflow-addons' default
WARMUP_EPOCHS = 1  # --schedule=cosine rises over so many; ours


def build_optimizer(
    config: Config, steps_per_epoch: int, model: keras.Model
) -> keras.optimizers.Optimizer:
    """Builds the run's optimizer for all trained weights of the model.

    Its own variables are made at once, so that a checkpoint can be restored
    before the first step.

    Raises:
      UserError: it needs tensorflow-addons, which are missing.
    """
    build = {"adam": _build_adam, "lamb": _build_lamb}[config.optimizer]
    return build(
        _build_schedule(config, steps_per_epoch), model.trainable_variables
    )


def _build_adam(rate, variables) -> keras.optimizers.Optimizer:
    optimizer = keras.optimizers.Adam(
        rate, beta_1=ADAM_BETA_1, beta_2=ADAM_BETA_2
    )
    optimizer.build(variables)
    return optimizer


def _build_lamb(rate, variables) -> keras.optimizers.Optimizer:
    """Builds LAMB: Adam's step u, as long as the weights of its tensor w.

        w <- w - rate |w| / |u| u,   u = m / (sqrt(v) + epsilon)

    with m and v as in Adam, corrected for their start at 0; where |w| or |u|
    is 0 the step is rate u. A tensor then moves by the same share of its
    length however large the batch. Source: arXiv:1904.00962, algorithm 2,
    without weight decay.
    """
    numbers = {
        "beta_1": ADAM_BETA_1,
        "beta_2": ADAM_BETA_2,
        "epsilon": LAMB_EPSILON,
    }
    addons = compat.find_addons()
    if addons is None:
        optimizer = keras.optimizers.Lamb(rate, **numbers)
        optimizer.build(variables)
        return optimizer
    optimizer = addons.optimizers.LAMB(rate, **numbers)
    # What `build` is called in the older optimizers that it derives from.
    optimizer._create_all_weights(variables)
    return optimizer


def _build_schedule(
    config: Config, steps_per_epoch: int
) -> keras.optimizers.schedules.LearningRateSchedule:
    """Builds the reference's staircase, or a cosine down to 0."""
    if config.schedule == "staircase":
        return keras.optimizers.schedules.ExponentialDecay(
            config.learning_rate,
            decay_steps=config.decay_epochs * steps_per_epoch,
            decay_rate=config.decay_rate,
            staircase=True,
        )
    rising = min(config.epochs - 1, WARMUP_EPOCHS) * steps_per_epoch
    return keras.optimizers.schedules.CosineDecay(
        0.0 if rising else config.learning_rate,
        decay_steps=config.epochs * steps_per_epoch - rising,
        warmup_target=config.learning_rate if rising else None,
        warmup_steps=rising,
    )
