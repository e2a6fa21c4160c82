"""The state of training: both models, their optimizers and the EMA."""

import dataclasses
from typing import Any

import keras

from segan_tf import losses, run_dir
from segan_tf import styles as styles_lib
from segan_tf.config import Config, UserError, is_released
from segan_tf.models import pretrained, restore, weights
from segan_tf.models.critics import CRITICS
from segan_tf.models.segmentors import SEGMENTORS
from segan_tf.training import optimizers


@dataclasses.dataclass(frozen=True)
class TrainState:
    """The models and their optimizers.

    Attributes:
      config: global batch size, form of the critic, weights of the labels and
        of the loss terms.
      segmentor: S, normalized image -> predicted label map.
      segmentor_optimizer: of S.
      critic: C, masked image -> features of every scale; None trains S alone.
      critic_optimizer: of C; None if it has no trained weights.
      ema_model: S with the exponential moving average of its weights; None if
        the run keeps none.
      styles: that S can draw in; its models then take [image, style].
    """

    config: Config
    segmentor: keras.Model
    segmentor_optimizer: keras.optimizers.Optimizer
    critic: keras.Model | None = None
    critic_optimizer: keras.optimizers.Optimizer | None = None
    ema_model: keras.Model | None = None
    styles: styles_lib.Styles = styles_lib.PLAIN

    @property
    def eval_model(self) -> keras.Model:
        """The segmentor that is evaluated and exported."""
        return self.ema_model or self.segmentor

    @property
    def variables(self) -> list[Any]:
        """All variables of the models and the optimizers, of either Keras."""
        found: list[Any] = []
        for model in (self.segmentor, self.critic, self.ema_model):
            found += model.weights if model else []
        for optimizer in (self.segmentor_optimizer, self.critic_optimizer):
            found += optimizer.variables if optimizer else []
        return found

    @property
    def label_weights(self) -> tuple[float, ...]:
        """The label weights, scaled to a mean of 1; () if all are 1."""
        return losses.scale_weights(self.config.label_weights)


def build_train_state(
    config: Config,
    *,
    steps_per_epoch: int,
    num_replicas: int = 1,
    styles: styles_lib.Styles = styles_lib.PLAIN,
) -> TrainState:
    """Builds S, C and their optimizers; call it in the strategy's scope.

    Batch statistics are taken over all replicas, so that the number of
    replicas does not change what is learned.

    Args:
      config: all settings of the run.
      steps_per_epoch: for the learning-rate schedule.
      num_replicas: of the strategy.
      styles: of the label maps.

    Raises:
      UserError: an optimizer or the ImageNet weights are missing.
    """
    keras.utils.set_random_seed(config.seed)
    synchronized = num_replicas > 1
    segmentor = restore.build_segmentor(
        config, num_styles=styles.count, synchronized=synchronized
    )
    if config.starts_from_imagenet:
        SEGMENTORS[config.segmentor].load_imagenet_weights(segmentor)
    ema_model = None
    if config.ema:
        ema_model = restore.build_segmentor(
            config, num_styles=styles.count, synchronized=synchronized
        )
        ema_model.set_weights(segmentor.get_weights())
    critic = critic_optimizer = None
    if config.adversarial:
        critic = CRITICS[config.critic].build(
            image_size=config.image_size,
            width=config.critic_width or config.width,
            num_labels=config.num_labels,
            form=config.critic_form,
            clip=config.critic_clip,
            num_styles=styles.count,
            synchronized=synchronized,
            dtype=config.precision,
        )
        if critic.trainable_variables:
            critic_optimizer = optimizers.build_optimizer(
                config, critic, steps_per_epoch=steps_per_epoch
            )
    return TrainState(
        config=config,
        segmentor=segmentor,
        segmentor_optimizer=optimizers.build_optimizer(
            config, segmentor, steps_per_epoch=steps_per_epoch
        ),
        critic=critic,
        critic_optimizer=critic_optimizer,
        ema_model=ema_model,
        styles=styles,
    )


def load_start_weights(state: TrainState) -> None:
    """Gives S and its average the weights of ``start_from``.

    A segmentor with styles may start from one without: it then draws as that
    one does, whatever the style.

    Raises:
      UserError: they do not fit, or the run cannot be loaded.
    """
    config = state.config
    if is_released(config.start_from):
        release = pretrained.find(config.start_from)
        source = release.config
        run_dir.check_same_segmentor(config, source)
        restored = release.load()
    else:
        run_dir.check_start_from(config)
        source = run_dir.read_flags(config.start_from)
        restored = restore.load(source)
    start = restored.segmentor
    if not state.styles.count:
        start = restore.fix_style(source, restored)
    elif restored.styles.count:
        _check_same_styles(state, restored.styles)
    for model in filter(None, (state.segmentor, state.ema_model)):
        weights.copy_weights(start, model)


def _check_same_styles(state: TrainState, styles: styles_lib.Styles) -> None:
    """Checks that a run knows the styles of the one that it starts from.

    Raises:
      UserError: it has other ones.
    """
    if styles.names != state.styles.names:
        raise UserError(
            f"--styles: the training pairs have the styles "
            f"{', '.join(state.styles.names)}, and --start_from "
            f"({state.config.start_from}) was trained with "
            f"{', '.join(styles.names)}; give the same, or --styles=none."
        )
