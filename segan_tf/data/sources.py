"""From the flags to the pairs of each split, with every bad file named."""

import os
from collections.abc import Callable, Iterable, Sequence

from segan_tf import config
from segan_tf.data import (
    cache,
    checks,
    drawn_lesions,
    images,
    pairs,
    splits,
)

_SHOWN = 50  # bad files named in one error; the number of the rest follows


def find(
    run: config.Config, *, progress: Callable[..., Iterable]
) -> pairs.Found:
    """Finds the run's pairs, drawing them first when no folder is given.

    Raises:
      UserError: a folder is missing, empty or of no known layout.
    """
    if run.data_dir:
        return pairs.find_pairs(run.data_dir)
    if run.image_dir:
        return pairs.find_pairs_in_folders(run.image_dir, run.label_map_dir)
    folder = os.path.join(run.model_dir, "drawn_lesions")
    drawn_lesions.draw_folder(
        folder, count=run.num_drawn, seed=run.split_seed, progress=progress
    )
    return pairs.find_pairs(folder)


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
    )


def load_splits(
    run: config.Config,
    *,
    progress: Callable[..., Iterable],
    say: Callable[[str], None] = print,
) -> splits.Splits:
    """Finds, checks by their headers and divides the run's pairs.

    Raises:
      UserError: names every file that cannot be used, unless
        ``skip_bad_pairs`` is set; then ``say`` is told.
    """
    found = find(run, progress=progress)
    bad = checks.cheap_problems(found.pairs)
    refuse_or_tell(run, [*found.problems, *bad.values()], say=say)
    return make_splits(run, [p for p in found.pairs if p.id not in bad])


def open_records(
    run: config.Config,
    split: Sequence[pairs.Pair],
    *,
    progress: Callable[..., Iterable],
    say: Callable[[str], None] = print,
) -> cache.Records:
    """Opens a split at the working size, as ``cache`` says.

    Raises:
      UserError: names every pair that cannot be read, unless
        ``skip_bad_pairs`` is set; or the split does not fit into memory.
    """
    size = config.WORKING_SCALE * run.image_size
    if run.cache == "memory":
        _refuse_too_large(len(split) * size**2 * (3 + run.num_labels))
    records = cache.open_records(
        split,
        cache=run.cache,
        cache_dir=os.path.join(run.model_dir, "cache"),
        size=size,
        num_labels=run.num_labels,
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
    shown = problems[:_SHOWN]
    if len(problems) > _SHOWN:
        shown.append(f"and {len(problems) - _SHOWN} more (--mode=check)")
    listed = "\n  ".join(shown)
    if not run.skip_bad_pairs:
        raise config.UserError(
            f"{len(problems)} files cannot be used; mend them, or go on "
            f"without them with --skip_bad_pairs:\n  {listed}"
        )
    say(f"going on without {len(problems)} files:\n  {listed}")


def _refuse_too_large(needed: int) -> None:
    try:
        available = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return  # not said on this system
    if needed > available:
        raise config.UserError(
            f"--cache (memory) needs {needed / 1e9:.1f} GB and "
            f"{available / 1e9:.1f} GB are free; use --cache=disk."
        )
