"""Names the folder of an evaluation by what is evaluated."""

import glob
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from segan_tf import labels as labels_lib
from segan_tf import run_dir, styles
from segan_tf.config import RESPLIT_FIELDS, Config
from segan_tf.datasets import content, loading, pairs, shards, splits
from segan_tf.decision import DEFAULT, Decision

_DIGITS = 8


def name_folder(
    config: Config,
    divided: splits.Splits,
    labels: labels_lib.Labels,
    *,
    model: str,
    style_of: Mapping[str, str],
    decision: Decision = DEFAULT,
) -> str:
    """Names the folder of an evaluation.

    ``<model_dir>/evaluation_<split>`` is for the weights of the run on the
    pairs that it recorded, at their own size. Everything else has digits of a
    hash of the model, the pairs, the size of shards, the labels, ``tta`` and
    the decision added, so that it never replaces other results than its own.
    Models and pairs are known by their content.

    Args:
      config: of the evaluation, merged with that of the run.
      divided: the pairs that were found; those of ``split`` are scored.
      labels: how their label maps are read.
      model: the file, folder, checkpoint or release that was loaded.
      style_of: the style of each scored pair that is told to the model, by id.
      decision: that label maps are made with.
    """
    name = f"evaluation_{config.split}"
    chosen = loading.choose_pairs(config, divided)
    if not (
        _has_own_weights(config)
        and decision == DEFAULT
        and not shards.side_of(chosen)
        and _has_own_pairs(config, divided, labels)
        and _has_own_styles(config, chosen, style_of)
    ):
        evaluated: dict[str, Any] = {
            "model": _identify_model(model),
            "tta": config.tta,
            "labels": content.describe_labels(labels),
            "pairs": sorted(
                (name, found.image, found.label_maps)
                for name, found in content.identify_pairs(chosen).items()
            ),
        }
        if side := shards.side_of(chosen):
            evaluated["side"] = side
        if decision != DEFAULT:
            evaluated["decision"] = [decision.thresholds, decision.style]
        if style_of:
            evaluated["styles"] = sorted(style_of.items())
        digest = hashlib.sha256(json.dumps(evaluated).encode())
        name += f"_{digest.hexdigest()[:_DIGITS]}"
    return os.path.join(config.model_dir, name)


def _has_own_weights(config: Config) -> bool:
    """Tells whether the run in model_dir is evaluated, as it is."""
    if config.tta or not run_dir.has_flags(config.model_dir):
        return False
    return not config.model or os.path.realpath(
        config.model
    ) == os.path.realpath(config.model_dir)


def _has_own_pairs(
    config: Config, divided: splits.Splits, labels: labels_lib.Labels
) -> bool:
    """Tells whether these are the pairs that the run recorded, read as then."""
    recorded = content.read_record(config.model_dir)
    if recorded is None:
        reads_as_then = not run_dir.gives(config, ("label_names",))
    else:
        reads_as_then = recorded.labels == content.describe_labels(labels)
    if not reads_as_then:
        return False
    if run_dir.gives(config, RESPLIT_FIELDS) and not _has_own_split(
        config, divided
    ):
        return False
    return recorded is None or all(
        recorded.pairs.get(name) == found
        for name, found in content.identify_pairs(
            loading.choose_pairs(config, divided)
        ).items()
    )


def _has_own_styles(
    config: Config, chosen: Sequence[pairs.Pair], style_of: Mapping[str, str]
) -> bool:
    recorded = styles.read(config.model_dir).of
    return all(
        style_of.get(pair.id) == recorded.get(pairs.normalized(pair.id))
        for pair in chosen
    )


def _has_own_split(config: Config, divided: splits.Splits) -> bool:
    path = os.path.join(config.model_dir, splits.FILE_NAME)
    return os.path.exists(path) and splits.normalized_ids(
        divided.ids()
    ) == splits.normalized_ids(splits.read_split_ids(config.model_dir))


def _identify_model(model: str) -> list[str]:
    """Returns what tells a model from others, wherever its files are."""
    if os.path.isfile(model):
        paths = [model]
    elif os.path.isdir(model):  # a SavedModel
        paths = [
            os.path.join(folder, name)
            for folder, _, names in os.walk(model)
            for name in names
        ]
    else:  # a checkpoint has several files, and a release none
        paths = glob.glob(f"{glob.escape(model)}.*")
    return sorted(map(content.take_fingerprint, paths)) or [model]
