"""Devices and the distribution strategy."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from segan_tf.config_checks import nearest
from segan_tf.errors import UserError


def create_strategy(
    *,
    num_replicas: int = 0,
    virtual_devices: int = 0,
    addresses: Sequence[str] = (),
    worker: int = 0,
) -> tf.distribute.Strategy:
    """Creates a MirroredStrategy over the GPUs, or the default strategy.

    With several workers, which it waits for, it is a
    MultiWorkerMirroredStrategy.

    Args:
      num_replicas: GPUs to use; 0 uses all that are visible.
      virtual_devices: splits the CPU into as many replicas instead.
      addresses: of several workers that train together, HOST:PORT.
      worker: which of them this one is.

    Raises:
      UserError: more GPUs are asked for than are visible, or TensorFlow has
        already started, so that the CPU can no longer be split or workers no
        longer be joined.
    """
    if addresses:
        return _join_workers(addresses, worker, num_replicas=num_replicas)
    if virtual_devices > 1:
        return tf.distribute.MirroredStrategy(_split_cpu(virtual_devices))
    gpus = [device.name for device in tf.config.list_logical_devices("GPU")]
    _check_gpus(num_replicas, len(gpus))
    gpus = gpus[: num_replicas or None]
    if len(gpus) > 1:
        return tf.distribute.MirroredStrategy(gpus)
    return tf.distribute.get_strategy()


def _join_workers(
    addresses: Sequence[str], worker: int, *, num_replicas: int
) -> tf.distribute.MultiWorkerMirroredStrategy:
    # Without starting TensorFlow, which the strategy must do.
    gpus = len(tf.config.list_physical_devices("GPU"))
    _check_gpus(num_replicas, gpus)
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec({"worker": list(addresses)}),
        task_type="worker",
        task_id=worker,
        num_accelerators={"GPU": min(num_replicas or gpus, gpus)},
        rpc_layer="grpc",
    )
    try:
        return tf.distribute.MultiWorkerMirroredStrategy(resolver)
    except RuntimeError as error:
        raise UserError(
            f"--num_workers ({len(addresses)}) must join before TensorFlow "
            "starts; start a new process."
        ) from error


def _check_gpus(num_replicas: int, visible: int) -> None:
    if num_replicas > max(1, visible):
        raise UserError(
            f"--num_replicas ({num_replicas}) is more than the {visible} "
            "visible GPUs; use 0 for all of them."
        )


def _split_cpu(count: int) -> list[str]:
    cpu = tf.config.list_physical_devices("CPU")[0]
    try:
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration()] * count
        )
    except RuntimeError as error:
        if len(tf.config.list_logical_devices("CPU")) != count:
            raise UserError(
                f"--virtual_devices ({count}) must be set before TensorFlow "
                "starts; start a new process."
            ) from error
    return [f"CPU:{index}" for index in range(count)]


def check_batch_size(
    batch_size: int, num_replicas: int, *, parts: int = 1
) -> None:
    """Checks that the replicas can share a global batch evenly.

    Args:
      batch_size: of all replicas.
      num_replicas: of all workers.
      parts: ``gradient_accumulation_steps``, of each replica's batch.

    Raises:
      UserError: they cannot; names the nearest batch sizes that divide.
    """
    unit = num_replicas * parts
    if batch_size % unit:
        what = [f"the {num_replicas} replicas"] * (num_replicas > 1)
        what += [f"--gradient_accumulation_steps ({parts})"] * (parts > 1)
        below = batch_size // unit * unit
        raise UserError(
            f"--batch_size ({batch_size}) must be a multiple of "
            f"{' times '.join(what)}; use {nearest(below, unit)}."
        )


def check_workers(count: int) -> None:
    """Checks that the installed edition can train with several workers.

    The batch statistics of Keras 2 are summed up when they are saved, so that
    all workers would have to save.

    Raises:
      UserError: it cannot.
    """
    if count > 1 and not hasattr(keras, "ops"):
        raise UserError(
            f"--num_workers ({count}) needs TensorFlow 2.19 or newer, and this "
            f"is {tf.__version__}; see docs/editions.md."
        )


def check_xla(xla: bool, num_replicas: int) -> None:
    """Checks that XLA is used with one replica only.

    XLA compiles for one device, and the step of several replicas writes to
    the variables of all.

    Raises:
      UserError: there is more than one replica.
    """
    if xla and num_replicas > 1:
        raise UserError(
            f"--xla compiles for one device and cannot be used with "
            f"{num_replicas} replicas; leave it out, or use --num_replicas=1."
        )
