"""Loads what a configuration names: its labels, its pairs and their splits."""

import dataclasses
import os
from collections.abc import Callable, Iterable, Mapping, Sequence, Set

from segan_tf import console
from segan_tf import labels as labels_lib
from segan_tf.config import (
    RESPLIT_FIELDS,
    SOURCE_FIELDS,
    SPLIT_FIELDS,
    SPLITS,
    Config,
    UserError,
    is_released,
)
from segan_tf.datasets import (
    check_report,
    checks,
    content,
    findings,
    layouts,
    pairs,
    shard_index,
    shard_settings,
    shards,
    splits,
    style_lists,
)
from segan_tf.synthetic import lesions

DRAWN_FOLDER = "drawn_lesions"  # inside model_dir
_ISIC_IDS = "ISIC_"  # how ids of the ISIC archive start
_SHOWN_PROBLEMS = 50  # in one error; the rest are counted


def load_labels(config: Config) -> labels_lib.Labels:
    """Loads the names of the labels and how label maps mark them.

    They come from ``label_names``, which is names or a file, else from the
    labels.json in ``data_dir`` or in its folder of images or of label maps.
    Drawn lesions have names of their own, and shards those that they were
    converted with.

    Raises:
      UserError: the file cannot be read, or the names are not ``num_labels``.
    """
    labels, source = _find_labels(config)
    if labels.count != config.num_labels:
        raise UserError(
            f"--num_labels ({config.num_labels}) differs from the "
            f"{labels.count} labels of {source} ({', '.join(labels.names)}); "
            f"give --num_labels={labels.count}."
        )
    return labels


def _find_labels(config: Config) -> tuple[labels_lib.Labels, str]:
    """Finds the labels and the flag or file that they come from."""
    given = _read_labels(config, config.label_names)
    if shard_index.is_shards(config.data_dir):
        return shard_settings.check_labels(config, given), os.path.join(
            config.data_dir, shard_index.FILE_NAME
        )
    path = config.label_names or _find_labels_file(config)
    labels = given or _read_labels(config, path)
    if labels:
        return labels, path if path.endswith(".json") else "--label_names"
    if config.data_dir or config.image_dir:
        names = labels_lib.default_names(config.num_labels)
    else:
        names = lesions.LABEL_NAMES[: config.num_labels]
    return labels_lib.Labels(names, config.multiclass), "the drawn lesions"


def _read_labels(config: Config, given: str) -> labels_lib.Labels | None:
    """Reads labels from a file or a list of names; None of nothing."""
    multiclass = config.multiclass
    if given.endswith(".json"):
        return labels_lib.read_labels(given, multiclass=multiclass)
    if not given:
        return None
    names = [name.strip() for name in given.split(",")]
    return labels_lib.make_labels(
        names, where="--label_names", multiclass=multiclass
    )


def _find_labels_file(config: Config) -> str:
    """Finds the only labels.json in the folders of the pairs, or returns "".

    Raises:
      UserError: there are several.
    """
    folders = [config.image_dir, config.label_map_dir]
    if config.data_dir:
        folders = [config.data_dir]
        for part in layouts.find_parts(config.data_dir):
            folders += [part.image_dir, part.label_map_dir]
    paths = (os.path.join(d, labels_lib.FILE_NAME) for d in folders if d)
    found = [path for path in paths if os.path.exists(path)]
    if len(found) > 1:
        raise UserError(
            f"{' and '.join(found)} may both name the labels; keep one, or "
            "choose with --label_names."
        )
    return found[0] if found else ""


def find_pairs(
    config: Config,
    labels: labels_lib.Labels = labels_lib.LESION,
    *,
    progress: Callable[..., Iterable],
) -> pairs.DiscoveredPairs:
    """Finds the pairs, after drawing them if no folder is given.

    Args:
      config: names the folders.
      labels: of the label maps.
      progress: wraps an iterable to show its progress, like tqdm.

    Raises:
      UserError: a folder is missing, empty or has no known layout, or a
        shard is damaged.
    """
    if shard_index.is_shards(config.data_dir):
        return shards.find_pairs(config.data_dir)
    if config.data_dir:
        return pairs.find_pairs(config.data_dir, labels)
    if config.image_dir:
        return pairs.find_pairs_in_folders(
            config.image_dir, config.label_map_dir, labels
        )
    folder = os.path.join(config.model_dir, DRAWN_FOLDER)
    lesions.draw_folder(
        folder,
        count=config.num_drawn,
        seed=config.split_seed,
        labels=labels,
        progress=progress,
    )
    return pairs.find_pairs(folder, labels)


def check(config: Config) -> check_report.Report:
    """Reads every pair completely and reports on them (--mode=check).

    Raises:
      UserError: there is no pair, or a list or labels.json cannot be used.
    """
    labels = load_labels(config)
    found = find_pairs(config, labels, progress=console.bar)
    divided = _split(config, found.pairs, found.left_out, say=console.say)
    damage: list[str] = []
    if shard_index.is_shards(config.data_dir):
        damage = shards.find_damage(config.data_dir, progress=console.bar)
    return checks.check_pairs(
        divided,
        labels=labels,
        style_of=style_lists.load(config, divided, say=console.say).of,
        unmatched=[*found.problems, *damage],
        notes=found.notes,
        progress=console.bar,
    )


@dataclasses.dataclass(frozen=True)
class LoadedPairs:
    """The pairs whose headers are in order, and what is said of the others.

    Attributes:
      pairs: sorted by id.
      problems: a line for each file that cannot be used.
      left_out: ids of images and label maps that are in no pair.
      doubts: by id, why the two may not match.
      notes: on what was left out on purpose.
    """

    pairs: list[pairs.Pair]
    problems: list[str]
    left_out: Set[str]
    doubts: Mapping[str, str]
    notes: Sequence[str]


def load_splits(
    config: Config,
    labels: labels_lib.Labels = labels_lib.LESION,
    *,
    progress: Callable[..., Iterable],
    say: Callable[[str], None] = print,
) -> splits.Splits:
    """Finds the pairs, checks their headers and splits them.

    Args:
      config: names the folders and how to split.
      labels: of the label maps.
      progress: wraps an iterable to show its progress, like tqdm.
      say: is called with each message.

    Raises:
      UserError: names every file that cannot be used, unless
        ``skip_bad_pairs`` is set; then ``say`` is called with them.
    """
    loaded = load_pairs(config, labels, progress=progress, say=say)
    return _split(config, loaded.pairs, loaded.left_out, say=say)


def load_pairs(
    config: Config,
    labels: labels_lib.Labels = labels_lib.LESION,
    *,
    progress: Callable[..., Iterable],
    say: Callable[[str], None] = print,
) -> LoadedPairs:
    """Finds the pairs and checks their headers.

    Args:
      config: names the folders.
      labels: of the label maps.
      progress: wraps an iterable to show its progress, like tqdm.
      say: is called with each message.

    Raises:
      UserError: as for `load_splits`.
    """
    found = find_pairs(config, labels, progress=progress)
    for note in found.notes:
        say(note)
    headers = checks.check_headers(found.pairs)
    problems = [*found.problems, *headers.problems.values()]
    report_problems(config, problems, say=say)
    _report_doubts(headers, say=say)
    return LoadedPairs(
        [pair for pair in found.pairs if pair.id not in headers.problems],
        problems,
        found.left_out | set(headers.problems),
        headers.warnings,
        found.notes,
    )


def load_run_splits(
    config: Config, labels: labels_lib.Labels, *, split_again: bool
) -> splits.Splits:
    """Splits the pairs as the model's run did, or again.

    Data of the run that was moved keeps the run's split, too.

    Args:
      config: of the run; names the folders.
      labels: of the label maps.
      split_again: split as ``config`` says, unless it only says where the
        run's own pairs are now, rather than by the recorded ids.

    Raises:
      UserError: the pairs cannot be found, or are not those of the run.
    """
    if split_again:
        own = _find_own_splits(config, labels)
        return own or load_splits(
            config, labels, progress=console.bar, say=console.say
        )
    ids = splits.read_split_ids(config.model_dir)
    found = find_pairs(config, labels, progress=console.bar)
    _report_doubts(checks.check_headers(found.pairs), say=console.say)
    return splits.splits_from_ids(found.pairs, ids)


def _find_own_splits(
    config: Config, labels: labels_lib.Labels
) -> splits.Splits | None:
    """Splits the run's own pairs, in another place, as it did.

    Returns:
      None if these are other data, or if a setting says how to split them.
    """
    run = _find_run(config)
    if not run or not config.given.isdisjoint(SPLIT_FIELDS):
        return None
    if config.given.isdisjoint(SOURCE_FIELDS):
        return None
    recorded_ids = splits.read_split_ids(run)
    found = find_pairs(config, labels, progress=console.bar).pairs
    present = {pairs.normalized(pair.id) for pair in found}
    ids = {
        split: [n for n in names if pairs.normalized(n) in present]
        for split, names in recorded_ids.items()
    }
    recorded = content.read_record(run)
    if recorded is None:
        # Only a complete set of equal names is taken for the run's.
        is_own = ids == recorded_ids
    else:
        is_own = content.has_recorded_image(recorded.pairs, found)
    if not is_own:
        return None
    named = sum(map(len, ids.values()))
    console.say(
        f"note: {named} of the {len(found)} pairs found are those of {run}, "
        "and are split as they were there"
    )
    return splits.splits_from_ids(found, ids)


def find_trained(config: Config, chosen: Sequence[pairs.Pair]) -> list[str]:
    """Finds the pairs that the model may have been trained on.

    These have the id or the image of a training pair, or the id of a pair of
    the run and another image: it may be the same one, saved again. Of a model
    that is of no run, they are all.

    Args:
      config: names the run, and which data are given.
      chosen: pairs to measure the model on.

    Returns:
      Their ids; none where the split of the run says so itself.

    Raises:
      UserError: the record cannot be read.
    """
    run = _find_run(config)
    if not run:
        return [pair.id for pair in chosen if _may_be_known(config, pair)]
    resplit = not config.given.isdisjoint(RESPLIT_FIELDS)
    if config.split in ("train", "all") and not resplit:
        return []
    ids = splits.read_split_ids(run)
    trained = set(map(pairs.normalized, ids.get("train", ())))
    recorded = content.read_record(run)
    if recorded is None:
        known = {pairs.normalized(n) for names in ids.values() for n in names}
        suspects = known if resplit else trained
        return [p.id for p in chosen if pairs.normalized(p.id) in suspects]
    images = content.read_trained_images(run)
    if images is None:
        return [pair.id for pair in chosen]

    def may_be_trained(pair: pairs.Pair) -> bool:
        name = pairs.normalized(pair.id)
        image = content.identify_image(pair)
        own = recorded.pairs.get(name)
        changed = own is not None and own.image != image
        return name in trained or image in images or changed

    return [pair.id for pair in chosen if may_be_trained(pair)]


def _may_be_known(config: Config, pair: pairs.Pair) -> bool:
    """Returns whether a model that is of no run may have seen an image.

    The released model has seen images of ISIC 2017, where ids are unique, but
    none of its official validation and test splits.
    """
    if not is_released(config.model):
        return True
    return pair.id.startswith(_ISIC_IDS) and pair.split not in SPLITS[1:3]


def _find_run(config: Config) -> str:
    """Returns the folder of the run whose splits are recorded, if any."""
    for folder in filter(None, (config.model, config.model_dir)):
        if os.path.isfile(os.path.join(folder, splits.FILE_NAME)):
            return folder
    return ""


def choose_pairs(config: Config, divided: splits.Splits) -> list[pairs.Pair]:
    """Returns the pairs of the configuration's ``split``.

    Raises:
      UserError: there are none.
    """
    names = SPLITS[:-1] if config.split == "all" else (config.split,)
    chosen = [pair for name in names for pair in getattr(divided, name)]
    check_not_empty(config, chosen)
    return chosen


def check_not_empty(config: Config, of_split: Sequence[object]) -> None:
    """Checks that there is a pair to score.

    Raises:
      UserError: there is none.
    """
    if not of_split:
        raise UserError(
            f"--split ({config.split}) holds no pair to score; give another "
            "split, such as --split=all."
        )


def report_problems(
    config: Config, problems: Sequence[str], *, say: Callable[[str], None]
) -> None:
    """Reports files that cannot be used, as an error unless they are skipped.

    Raises:
      UserError: names them, unless ``skip_bad_pairs`` is set; then ``say`` is
        called with them.
    """
    if not problems:
        return
    count, shown = len(problems), list(problems[:_SHOWN_PROBLEMS])
    if count > _SHOWN_PROBLEMS:
        shown.append(
            f"and {count - _SHOWN_PROBLEMS} more; --mode=check names all"
        )
    listed = "\n  ".join(shown)
    files, them = ("file", "it") if count == 1 else ("files", "them")
    if not config.skip_bad_pairs:
        raise UserError(
            f"{count} {files} cannot be used; fix {them}, or pass "
            f"--skip_bad_pairs:\n  {listed}"
        )
    say(f"continuing without {count} {files}:\n  {listed}")


def _report_doubts(
    headers: checks.HeaderFindings, *, say: Callable[[str], None]
) -> None:
    """Says which images and label maps may not match."""
    for warning in findings.summarize_lines(headers.warnings):
        say(f"warning: {warning}")


def _split(
    config: Config,
    all_pairs: Sequence[pairs.Pair],
    left_out: Set[str],
    *,
    say: Callable[[str], None],
) -> splits.Splits:
    return splits.make_splits(
        all_pairs,
        num_test=config.num_test,
        num_validation=config.num_validation,
        split_seed=config.split_seed,
        test_list=config.test_list or None,
        group_list=config.groups or None,
        left_out=left_out,
        say=say,
    )
