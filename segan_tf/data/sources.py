"""From the flags to the pairs of each split, with every bad file named."""

import os
from collections.abc import Callable, Iterable, Sequence

from segan_tf import config
from segan_tf import labels as labels_lib
from segan_tf.data import (
    cache,
    checks,
    drawn_lesions,
    images,
    pairs,
    splits,
)

_SHOWN = 50  # bad files named in one error; the number of the rest follows
_MEMORY_FILE = "/proc/meminfo"  # Linux alone has it


def load_labels(run: config.Config) -> labels_lib.Labels:
    """Says what the run's labels are called and how label maps mark them.

    By ``label_names``, names or a file; else by labels.json in ``data_dir``;
    drawn lesions have names of their own.

    Raises:
      UserError: the file cannot be read, or names are not ``num_labels``.
    """
    where, exclusive = "--label_names", run.exclusive
    path = run.label_names
    if not path and run.data_dir:
        path = os.path.join(run.data_dir, labels_lib.FILE_NAME)
        path = path if os.path.exists(path) else ""
    if path.endswith(".json"):
        where = path
        labels = labels_lib.read_labels(path, exclusive=exclusive)
    elif path:
        names = [name.strip() for name in path.split(",")]
        labels = labels_lib.make_labels(names, where=where, exclusive=exclusive)
    elif run.data_dir or run.image_dir:
        names = labels_lib.default_names(run.num_labels)
        labels = labels_lib.Labels(names, exclusive)
    else:
        where = "the generator of drawn lesions"
        names = drawn_lesions.LABEL_NAMES[: run.num_labels]
        labels = labels_lib.Labels(names, exclusive)
    if labels.count != run.num_labels:
        raise config.UserError(
            f"--num_labels ({run.num_labels}) is not the {labels.count} that "
            f"{where} names ({', '.join(labels.names)}); give "
            f"--num_labels={labels.count}."
        )
    return labels


def find(
    run: config.Config,
    labels: labels_lib.Labels = labels_lib.LESION,
    *,
    progress: Callable[..., Iterable],
) -> pairs.Found:
    """Finds the run's pairs, drawing them first when no folder is given.

    Raises:
      UserError: a folder is missing, empty or of no known layout.
    """
    if run.data_dir:
        return pairs.find_pairs(run.data_dir, labels)
    if run.image_dir:
        return pairs.find_pairs_in_folders(
            run.image_dir, run.label_map_dir, labels
        )
    folder = os.path.join(run.model_dir, "drawn_lesions")
    drawn_lesions.draw_folder(
        folder,
        count=run.num_drawn,
        seed=run.split_seed,
        labels=labels,
        progress=progress,
    )
    return pairs.find_pairs(folder, labels)


def make_splits(
    run: config.Config, all_pairs: Sequence[pairs.Pair]
) -> splits.Splits:
    """Divides the pairs as the flags say."""
    return splits.make_splits(
        all_pairs,
        num_test=run.num_test,
        num_validation=run.num_validation,
        split_seed=run.split_seed,
        test_list=run.test_list or None,
        group_list=run.groups or None,
    )


def load_splits(
    run: config.Config,
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
    found = find(run, labels, progress=progress)
    for note in found.notes:
        say(note)
    bad = checks.cheap_problems(found.pairs)
    refuse_or_tell(run, [*found.problems, *bad.values()], say=say)
    return make_splits(run, [p for p in found.pairs if p.id not in bad])


def open_records(
    run: config.Config,
    split: Sequence[pairs.Pair],
    labels: labels_lib.Labels = labels_lib.LESION,
    *,
    progress: Callable[..., Iterable],
    say: Callable[[str], None] = print,
) -> cache.Records:
    """Opens a split at the working size, as ``cache`` says.

    Raises:
      UserError: names every pair that cannot be read, unless
        ``skip_bad_pairs`` is set; or the split does not fit into memory.
    """
    size = round(config.WORKING_SCALE * run.image_size)
    if run.cache == "memory":
        _refuse_too_large(len(split) * size**2 * (3 + labels.count))
    records = cache.open_records(
        split,
        cache=run.cache,
        cache_dir=os.path.join(run.model_dir, "cache"),
        size=size,
        labels=labels,
        progress=progress,
    )
    refuse_or_tell(run, list(records.problems.values()), say=say)
    return records


def find_pictures(path: str) -> list[str]:
    """Lists the pictures to predict on: a file, or those of a folder.

    Raises:
      UserError: there is no such file, or no picture in the folder.
    """
    if os.path.isfile(path):
        return [path]
    if not os.path.isdir(path):
        raise config.UserError(
            f"--input ({path}) is neither a picture nor a folder; give one."
        )
    names = sorted(name for name in os.listdir(path) if images.is_picture(name))
    if not names:
        raise config.UserError(
            f"--input ({path}) holds no JPEG, PNG or BMP picture."
        )
    return [os.path.join(path, name) for name in names]


def refuse_or_tell(
    run: config.Config, problems: list[str], *, say: Callable[[str], None]
) -> None:
    """Names all problems: in one error, or in words when they are skipped."""
    if not problems:
        return
    count, shown = len(problems), problems[:_SHOWN]
    if count > _SHOWN:
        shown.append(f"and {count - _SHOWN} more; --mode=check names all")
    listed = "\n  ".join(shown)
    what, them = ("file", "it") if count == 1 else ("files", "them")
    if not run.skip_bad_pairs:
        raise config.UserError(
            f"{count} {what} cannot be used; mend {them}, or go on without "
            f"{them} with --skip_bad_pairs:\n  {listed}"
        )
    say(f"going on without {count} {what}:\n  {listed}")


def _refuse_too_large(needed: int) -> None:
    available = _available_memory()
    if available is not None and needed > available:
        raise config.UserError(
            f"--cache (memory) needs {needed / 1e9:.1f} GB and "
            f"{available / 1e9:.1f} GB are free; use --cache=disk."
        )


def _available_memory() -> int | None:
    """Returns the bytes a program can still take; None if nobody says.

    Not sysconf's free pages: after some reading of files the system's own
    cache fills nearly all of the memory, and gives it up when asked.
    """
    try:
        with open(_MEMORY_FILE, encoding="ascii") as file:
            lines = dict(line.split(":", 1) for line in file)
        return int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, ValueError, KeyError):
        return None
