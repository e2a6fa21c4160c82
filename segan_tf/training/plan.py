"""What the chief tells the other workers before a training.

Only the chief reads the run in model_dir, so only it knows whether the run is
resumed, and with which split, mirroring and styles.
"""

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from typing import Any

from segan_tf import console, files
from segan_tf import styles as styles_lib
from segan_tf.config import PATH_FIELDS, RUN_FIELDS, Config, UserError
from segan_tf.datasets import content, loading, pairs, shard_settings, splits
from segan_tf.training.preparation import Prepared
from segan_tf.training.workers import Workers

# What all workers must be given alike: everything that determines the weights,
# except what only the chief reads. Data may have another path on each machine;
# the chief resolves --flip=auto.
_SHARED_SETTINGS = tuple(
    name
    for name in (*RUN_FIELDS, "epochs", "num_replicas", "xla")
    if name not in (*PATH_FIELDS, "flip")
)


def share(
    config: Config, prepared: Prepared | None, *, workers: Workers
) -> Prepared:
    """Gives all workers what the chief has prepared.

    Args:
      config: of this worker.
      prepared: of the chief.
      workers: that train together.

    Returns:
      What this worker trains on.

    Raises:
      UserError: the settings or the pairs of the workers differ.
    """
    if prepared and workers.count == 1:
        return prepared
    text = workers.share(json.dumps(_describe(prepared)) if prepared else "")
    return prepared or _follow(config, json.loads(text), workers.index)


def check_same_pairs(ids: Sequence[str], workers: Workers) -> None:
    """Checks that all workers read the same pairs in the same order.

    Raises:
      UserError: a worker left out others, as ``skip_bad_pairs`` lets it.
    """
    text = files.encode("\n".join(map(pairs.normalized, ids)))
    own = f"{len(ids)} {hashlib.sha256(text).hexdigest()}"
    found = workers.gather(own)
    for index, other in enumerate(found):
        if other != found[0]:
            counts = [line.partition(" ")[0] for line in (other, found[0])]
            raise UserError(
                f"worker {index} can use {counts[0]} of the training pairs and "
                f"worker 0 {counts[1]}, or others; give all workers the same "
                "data."
            )


def check_same_devices(count: int, workers: Workers) -> None:
    """Checks that all workers have as many replicas.

    Args:
      count: of this worker.
      workers: that train together.

    Raises:
      UserError: another one has more or fewer.
    """
    found = workers.gather(str(count))
    for index, other in enumerate(found):
        if other != found[0]:
            raise UserError(
                f"worker {index} has {other} GPUs to use and worker 0 has "
                f"{found[0]}; give all the same, or --num_replicas."
            )


def _describe(prepared: Prepared) -> dict[str, Any]:
    styles = prepared.styles
    return {
        "settings": _shared_settings(prepared.config),
        "flip": prepared.config.flip,
        "labels": content.describe_labels(prepared.labels),
        "ids": [pair.id for pair in prepared.divided.train],
        "styles": dataclasses.asdict(styles.styles),
        "style_of": dict(styles.of),
    }


def _shared_settings(config: Config) -> dict[str, Any]:
    return {name: getattr(config, name) for name in _SHARED_SETTINGS}


def _follow(config: Config, plan: dict[str, Any], index: int) -> Prepared:
    """Finds on this worker what the chief trains on."""
    own = json.loads(json.dumps(_shared_settings(config)))
    for name, value in plan["settings"].items():
        if own[name] != value:
            raise UserError(
                f"--{name} is {own[name]} for worker {index} and {value} for "
                "worker 0; give both the same."
            )
    shard_settings.check(config)
    labels = loading.load_labels(config)
    if (
        json.loads(json.dumps(content.describe_labels(labels)))
        != plan["labels"]
    ):
        raise UserError(
            f"the labels of worker {index} ({', '.join(labels.names)}) are "
            f"read in another way than those of worker 0; give both the same "
            "labels.json."
        )
    found = loading.find_pairs(config, labels, progress=console.bar)
    by_id = {pairs.normalized(pair.id): pair for pair in found.pairs}
    names = [pairs.normalized(name) for name in plan["ids"]]
    missing = [name for name in names if name not in by_id]
    if missing:
        raise UserError(
            f"worker {index} does not find {len(missing)} of the "
            f"{len(names)} training pairs, such as {missing[0]}; give it the "
            "data of worker 0."
        )
    styles = plan["styles"]
    return Prepared(
        config.with_given(config.given, flip=plan["flip"]),
        labels,
        splits.Splits(train=tuple(by_id[name] for name in names)),
        styles_lib.AssignedStyles(
            styles_lib.Styles(tuple(styles["names"]), tuple(styles["mean"])),
            plan["style_of"],
        ),
    )
