"""Prepares a training: its pairs, labels and styles, and the folder."""

import dataclasses
import os

from segan_tf import (
    checkpoint_files,
    console,
    files,
    run_dir,
    run_swap,
)
from segan_tf import labels as labels_lib
from segan_tf import styles as styles_lib
from segan_tf.config import Config, UserError, is_released
from segan_tf.datasets import (
    content,
    loading,
    pairs,
    shard_settings,
    splits,
    style_lists,
)
from segan_tf.models import imagenet_weights
from segan_tf.models.segmentors import SEGMENTORS


@dataclasses.dataclass(frozen=True)
class Prepared:
    """What a run is trained on.

    Attributes:
      config: all settings, as the run keeps them.
      labels: of the label maps.
      divided: the pairs of each split; a worker that is not the chief has only
        those to train on.
      styles: of the training pairs.
      record: what the files hold; None of such a worker.
    """

    config: Config
    labels: labels_lib.Labels
    divided: splits.Splits
    styles: styles_lib.AssignedStyles
    record: content.Record | None = None


def prepare(config: Config) -> Prepared:
    """Finds and checks what is trained on; needs the lock.

    Args:
      config: all settings of the run.

    Raises:
      UserError: a setting or a pair cannot be used.
    """
    with run_dir.reported(config.model_dir):
        run_swap.clean_up(config.model_dir)
        _remove_leftovers(config.model_dir)
    resumes = config.resume and run_dir.has_flags(config.model_dir)
    saved = checkpoint_files.has_any(config.model_dir)
    if config.resume and saved and not resumes:
        raise UserError(
            f"--model_dir ({config.model_dir}) holds checkpoints without the "
            "flags.json that says how they were trained; copy that file "
            "again, give another --model_dir, or --noresume to start over "
            "there."
        )
    config = _with_resolved_flip(config, resumes=resumes)
    if resumes:
        config = run_dir.check_resumable(config)
    if not (resumes and saved):
        # A checkpoint holds everything that the run started from.
        run_dir.check_start_from(config)
    if config.starts_from_imagenet and not resumes:
        encoder = SEGMENTORS[config.segmentor].pretrained_encoder
        imagenet_weights.find_file(encoder)  # fails before the data are read
    shard_settings.check(config)
    labels = loading.load_labels(config)
    divided = loading.load_splits(
        config, labels, progress=console.bar, say=console.say
    )
    record = content.make_record(
        divided.all_pairs(),
        labels,
        earlier=_find_earlier_images(config, resumes=resumes and saved),
    )
    if resumes:
        _check_same_pairs(config, divided, record=record)
    console.say(
        f"{len(divided.train)} pairs for training, {len(divided.validation)} "
        f"for validation, {len(divided.test)} for testing; "
        f"{labels.count} label{'s' * (labels.count > 1)}: "
        f"{', '.join(labels.names)}"
    )
    _report_seen(divided, record)
    console.say(f"training pairs are mirrored with --flip={config.flip}")
    styles = _load_styles(config, divided, resumes=resumes)
    return Prepared(config, labels, divided, styles, record)


def create_model_dir(config: Config) -> None:
    """Creates the folder of a run.

    Raises:
      UserError: it cannot be written.
    """
    reason = "no permission"
    try:
        os.makedirs(config.model_dir, exist_ok=True)
        writable = os.access(config.model_dir, os.W_OK)
    except OSError as error:
        reason, writable = error.strerror or str(error), False
    if not writable:
        raise UserError(
            f"--model_dir ({config.model_dir}) cannot be written ({reason}); "
            "give a folder that can."
        )


def _remove_leftovers(model_dir: str) -> None:
    """Removes what killed trainings left; needs the lock."""
    drawn = os.path.join(model_dir, loading.DRAWN_FOLDER)
    for folder in (model_dir, *(folder for folder, *_ in os.walk(drawn))):
        files.remove_leftovers(folder)
    for name in (checkpoint_files.LAST, checkpoint_files.BEST):
        checkpoint_files.remove_incomplete(
            os.path.join(model_dir, checkpoint_files.FOLDER, name)
        )


def _with_resolved_flip(config: Config, *, resumes: bool) -> Config:
    """Replaces --flip=auto: a resumed run keeps what it was trained with."""
    trained = run_dir.read_flags(config.model_dir) if resumes else config
    flip = trained.resolved_flip if config.flip == "auto" else config.flip
    return config.with_given(config.given, flip=flip)


def _load_styles(
    config: Config, divided: splits.Splits, *, resumes: bool
) -> styles_lib.AssignedStyles:
    """Loads the styles of the pairs; a resumed run keeps its own.

    Raises:
      UserError: the file cannot be used, or is not that of the run.
    """
    if not resumes:
        return style_lists.load(config, divided, say=console.say)
    recorded = styles_lib.read(config.model_dir)
    if "styles" in config.given:
        given = style_lists.load(config, divided, say=console.say)
        if given != recorded:
            raise UserError(
                f"--styles ({config.styles}) gives other styles than "
                f"--model_dir ({config.model_dir}) was trained with; leave it "
                "out, give another --model_dir, or --noresume to start over "
                "there."
            )
    return recorded


def _find_earlier_images(
    config: Config, *, resumes: bool
) -> frozenset[str] | None:
    """Finds the images that the start of a run was trained on.

    A resumed run recorded them: the run that it started from may be gone. Those
    of the released model, which are of ISIC 2017, are not listed.
    """
    if resumes:
        before = content.read_record(config.model_dir)
        if before:
            return before.earlier
    if not config.start_from or is_released(config.start_from):
        return frozenset()
    return None if resumes else content.read_trained_images(config.start_from)


def _report_seen(divided: splits.Splits, record: content.Record) -> None:
    """Warns of pairs to measure on that the start was trained on."""
    measured = (*divided.validation, *divided.test)
    seen = [
        pair
        for pair in measured
        if record.pairs[pairs.normalized(pair.id)].image
        in (record.earlier or ())
    ]
    if seen:
        console.say(
            f"warning: {len(seen)} of the {len(measured)} pairs for validation "
            "and testing are images that --start_from was trained on, such as "
            f"{seen[0].id}; their figures say so"
        )


def _check_same_pairs(
    config: Config, divided: splits.Splits, *, record: content.Record
) -> None:
    """Checks that a resumed run has the pairs that it was trained with.

    With another number of pairs the splits are drawn differently, and training
    pairs would be tested on.

    Raises:
      UserError: pairs are missing, new or changed, or read in another way.
    """
    before = content.read_record(config.model_dir)
    trained_ids = splits.read_split_ids(config.model_dir)
    if splits.normalized_ids(divided.ids()) != splits.normalized_ids(
        trained_ids
    ):
        what, remedy = "other pairs than are found now", "restore the pairs"
    elif before is None:
        console.say(
            f"note: {config.model_dir} has no record of what its images and "
            "label maps held; only their names are compared"
        )
        return
    elif before.labels != record.labels:
        names = ", ".join(map(str, before.labels.get("names", ())))
        what = f"other names or values of the labels ({names})"
        remedy = "restore them"
    elif changed := content.find_changed(before.pairs, record.pairs):
        shown = ", ".join(changed[:5]) + ", ..." * (len(changed) > 5)
        what = f"other images or label maps of {len(changed)} ids ({shown})"
        remedy = "restore the files"
    else:
        return
    raise UserError(
        f"--model_dir ({config.model_dir}) was trained with {what}; {remedy}, "
        "give another --model_dir, or --noresume to start over there."
    )
