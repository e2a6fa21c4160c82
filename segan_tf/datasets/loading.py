"""From the flags to the pairs of each split, with every bad file named."""

import os
from collections.abc import Callable, Iterable, Sequence

from segan_tf import console
from segan_tf import labels as labels_lib
from segan_tf.config import SPLITS, Config, UserError
from segan_tf.datasets import check_report, checks, pairs, splits
from segan_tf.synthetic import lesions

_SHOWN = 50  # bad files named in one error; the number of the rest follows
_MEMORY_FILE = "/proc/meminfo"  # Linux alone has it


def load_labels(config: Config) -> labels_lib.Labels:
    """Says what the run's labels are called and how label maps mark them.

    By ``label_names``, names or a file; else by labels.json in ``data_dir``;
    drawn lesions have names of their own.

    Raises:
      UserError: the file cannot be read, or names are not ``num_labels``.
    """
    where, multiclass = "--label_names", config.multiclass
    path = config.label_names
    if not path and config.data_dir:
        path = os.path.join(config.data_dir, labels_lib.FILE_NAME)
        path = path if os.path.exists(path) else ""
    if path.endswith(".json"):
        where = path
        labels = labels_lib.read_labels(path, multiclass=multiclass)
    elif path:
        names = [name.strip() for name in path.split(",")]
        labels = labels_lib.make_labels(
            names, where=where, multiclass=multiclass
        )
    elif config.data_dir or config.image_dir:
        names = labels_lib.default_names(config.num_labels)
        labels = labels_lib.Labels(names, multiclass)
    else:
        where = "the generator of drawn lesions"
        names = lesions.LABEL_NAMES[: config.num_labels]
        labels = labels_lib.Labels(names, multiclass)
    if labels.count != config.num_labels:
        raise UserError(
            f"--num_labels ({config.num_labels}) is not the {labels.count} that "
            f"{where} names ({', '.join(labels.names)}); give "
            f"--num_labels={labels.count}."
        )
    return labels


def find(
    config: Config,
    labels: labels_lib.Labels = labels_lib.LESION,
    *,
    progress: Callable[..., Iterable],
) -> pairs.DiscoveredPairs:
    """Finds the run's pairs, drawing them first when no folder is given.

    Raises:
      UserError: a folder is missing, empty or of no known layout.
    """
    if config.data_dir:
        return pairs.find_pairs(config.data_dir, labels)
    if config.image_dir:
        return pairs.find_pairs_in_folders(
            config.image_dir, config.label_map_dir, labels
        )
    folder = os.path.join(config.model_dir, "drawn_lesions")
    lesions.draw_folder(
        folder,
        count=config.num_drawn,
        seed=config.split_seed,
        labels=labels,
        progress=progress,
    )
    return pairs.find_pairs(folder, labels)


def make_splits(
    config: Config, all_pairs: Sequence[pairs.Pair]
) -> splits.Splits:
    """Divides the pairs as the flags say."""
    return splits.make_splits(
        all_pairs,
        num_test=config.num_test,
        num_validation=config.num_validation,
        split_seed=config.split_seed,
        test_list=config.test_list or None,
        group_list=config.groups or None,
    )


def check(config: Config) -> check_report.Report:
    """Reads every pair that the configuration names and reports on them.

    Raises:
      UserError: there is no pair, or a list or labels.json cannot be used.
    """
    labels = load_labels(config)
    found = find(config, labels, progress=console.bar)
    return checks.check_pairs(
        make_splits(config, found.pairs),
        labels=labels,
        unmatched=found.problems,
        notes=found.notes,
        progress=console.bar,
    )


def load_splits(
    config: Config,
    labels: labels_lib.Labels = labels_lib.LESION,
    *,
    progress: Callable[..., Iterable],
    say: Callable[[str], None] = print,
) -> splits.Splits:
    """Finds, checks by their headers and divides the run's pairs.

    Raises:
      UserError: names every file that cannot be used, unless
        ``skip_bad_pairs`` is set; then ``say`` is told.
    """
    found = find(config, labels, progress=progress)
    for note in found.notes:
        say(note)
    bad = checks.cheap_problems(found.pairs)
    report_problems(config, [*found.problems, *bad.values()], say=say)
    return make_splits(config, [p for p in found.pairs if p.id not in bad])


def report_problems(
    config: Config, problems: list[str], *, say: Callable[[str], None]
) -> None:
    """Names all problems: in one error, or in words when they are skipped."""
    if not problems:
        return
    count, shown = len(problems), problems[:_SHOWN]
    if count > _SHOWN:
        shown.append(f"and {count - _SHOWN} more; --mode=check names all")
    listed = "\n  ".join(shown)
    what, them = ("file", "it") if count == 1 else ("files", "them")
    if not config.skip_bad_pairs:
        raise UserError(
            f"{count} {what} cannot be used; mend {them}, or go on without "
            f"{them} with --skip_bad_pairs:\n  {listed}"
        )
    say(f"going on without {count} {what}:\n  {listed}")


def find_splits(
    config: Config, labels: labels_lib.Labels, *, split_again: bool
) -> splits.Splits:
    """Divides the pairs by the run's recorded ids, or anew by the flags.

    Raises:
      UserError: the pairs cannot be found, or are not those of the run.
    """
    if split_again:
        return load_splits(
            config, labels, progress=console.bar, say=console.say
        )
    ids = splits.read_split_ids(config.model_dir)
    found = find(config, labels, progress=console.bar)
    return splits.splits_from_ids(found.pairs, ids)


def choose_pairs(config: Config, divided: splits.Splits) -> list[pairs.Pair]:
    """Takes the pairs of the run's split.

    Raises:
      UserError: there are none.
    """
    names = SPLITS[:-1] if config.split == "all" else (config.split,)
    chosen = [pair for name in names for pair in getattr(divided, name)]
    check_nothing(config, chosen)
    return chosen


def check_nothing(config: Config, of_split: list) -> None:
    if not of_split:
        raise UserError(
            f"--split ({config.split}) holds no pair to score; give another "
            "split, such as --split=all."
        )
