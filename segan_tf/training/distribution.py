"""Devices, the distribution strategy and what is built under it."""

import keras
import tensorflow as tf

from segan_tf import config
from segan_tf.models import critic, efficientnet, imagenet_weights, segmentor
from segan_tf.training import optimizers, steps


def create_strategy(
    *, num_replicas: int = 0, virtual_devices: int = 0
) -> tf.distribute.Strategy:
    """Creates MirroredStrategy over the GPUs, or takes the one device.

    Args:
      num_replicas: GPUs to use; 0 uses all that are visible.
      virtual_devices: splits the CPU into as many replicas instead.

    Raises:
      UserError: more GPUs are asked for than are visible, or TensorFlow has
        already started and the CPU cannot be split any more.
    """
    if virtual_devices > 1:
        return tf.distribute.MirroredStrategy(_split_cpu(virtual_devices))
    gpus = [device.name for device in tf.config.list_logical_devices("GPU")]
    if num_replicas > max(1, len(gpus)):
        raise config.UserError(
            f"--num_replicas ({num_replicas}) is more than the {len(gpus)} "
            "visible GPUs; use 0 for all of them."
        )
    gpus = gpus[: num_replicas or None]
    if len(gpus) > 1:
        return tf.distribute.MirroredStrategy(gpus)
    return tf.distribute.get_strategy()


def _split_cpu(count: int) -> list[str]:
    cpu = tf.config.list_physical_devices("CPU")[0]
    try:
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration()] * count
        )
    except RuntimeError as error:
        if len(tf.config.list_logical_devices("CPU")) != count:
            raise config.UserError(
                f"--virtual_devices ({count}) must be set before TensorFlow "
                "starts; start a new process."
            ) from error
    return [f"CPU:{index}" for index in range(count)]


def check_batch_size(batch_size: int, num_replicas: int) -> None:
    """Refuses a global batch that the replicas cannot share evenly.

    Raises:
      UserError: names the nearest batch sizes that divide.
    """
    if batch_size % num_replicas:
        below = batch_size // num_replicas * num_replicas
        raise config.UserError(
            f"--batch_size ({batch_size}) must be a multiple of the "
            f"{num_replicas} replicas; use "
            f"{config.nearest(below, num_replicas)}."
        )


def check_xla(xla: bool, num_replicas: int) -> None:
    """Refuses to compile the step of several replicas.

    XLA compiles it for one device, and the step writes to the variables of
    all.

    Raises:
      UserError: there is more than one replica.
    """
    if xla and num_replicas > 1:
        raise config.UserError(
            f"--xla compiles for one device and cannot be used with "
            f"{num_replicas} replicas; leave it out, or use --num_replicas=1."
        )


def build_segmentor(
    run: config.Config, *, synchronized: bool = False
) -> keras.Model:
    """Builds the segmentor that the run names, with random weights."""
    return _BUILDERS[run.segmentor](
        image_size=run.image_size,
        width=run.width,
        num_labels=run.num_labels,
        exclusive=run.exclusive,
        synchronized=synchronized,
        dtype=run.precision,
    )


_BUILDERS = {
    "segan": segmentor.build_segan,
    "efficientnet_lite0": efficientnet.build_efficientnet_lite0,
}


def build_game(
    run: config.Config, *, steps_per_epoch: int, num_replicas: int = 1
) -> steps.Game:
    """Builds S, C and their optimisers; call it in the strategy's scope.

    Batch statistics are taken over all replicas, so that the number of
    replicas does not change what is learnt.
    """
    keras.utils.set_random_seed(run.seed)
    synchronized = num_replicas > 1
    model = build_segmentor(run, synchronized=synchronized)
    if run.starts_from_imagenet:
        efficientnet.load_imagenet_weights(
            model, imagenet_weights.read_imagenet_weights()
        )
    averaged = None
    if run.ema:
        averaged = build_segmentor(run, synchronized=synchronized)
        averaged.set_weights(model.get_weights())
    opponent = None
    if run.adversarial:
        opponent = critic.build_critic(
            image_size=run.image_size,
            width=run.critic_width or run.width,
            num_labels=run.num_labels,
            form=run.critic_form,
            clip=run.critic_clip,
            synchronized=synchronized,
            dtype=run.precision,
        )
    return steps.Game(
        run=run,
        segmentor=model,
        segmentor_optimizer=optimizers.build_optimizer(
            run, steps_per_epoch, model
        ),
        critic=opponent,
        critic_optimizer=opponent
        and optimizers.build_optimizer(run, steps_per_epoch, opponent),
        averaged=averaged,
    )
