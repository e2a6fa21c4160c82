"""Checks that settings do not contradict the shards that they name."""

from segan_tf import labels as labels_lib
from segan_tf.config import Config, UserError
from segan_tf.datasets import shard_index


def check(config: Config) -> None:
    """Checks that the settings of a training fit its shards, if it has some.

    Raises:
      UserError: they do not.
    """
    folder = config.data_dir
    if not shard_index.is_shards(folder):
        return
    index = shard_index.read(folder)
    if config.image_size != index.image_size:
        raise UserError(
            f"--image_size ({config.image_size}) is not the "
            f"{index.image_size} that the shards in --data_dir ({folder}) were "
            f"converted for; give --image_size={index.image_size}, or convert "
            f"again with --image_size={config.image_size}."
        )
    if "cache" in config.given:
        raise UserError(
            f"--cache ({config.cache}) has no effect on shards, which are "
            "read where they are; leave it out."
        )


def check_labels(
    config: Config,
    given: labels_lib.Labels | None,
) -> labels_lib.Labels:
    """Returns the labels of shards, after a check that no others are given.

    Args:
      config: names the shards and the kind of the labels.
      given: those of --label_names, if it is given.

    Raises:
      UserError: others are.
    """
    index = shard_index.read(config.data_dir)
    remedy = "leave it out, or convert the label maps again."
    if config.multiclass != index.labels.multiclass:
        raise UserError(
            f"--label_kind ({config.label_kind}) is not that of {index.path} "
            f"({index.labels.label_kind}); give "
            f"--label_kind={index.labels.label_kind}, or convert again."
        )
    if given and given != index.labels:
        raise UserError(
            f"--label_names ({config.label_names}) reads label maps in "
            f"another way than {index.path} "
            f"({', '.join(index.labels.names)}); {remedy}"
        )
    return index.labels
