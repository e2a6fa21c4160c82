"""Splits the pairs into training, validation and test, and keeps the split."""

import collections
import dataclasses
import os
import re
from collections.abc import Mapping, Sequence, Set

import numpy as np

from segan_tf import config, files, records
from segan_tf.datasets import groups, pairs

TEST_SHARE = 4  # one pair in so many; reference, Data: 500 of the 2000
VALIDATION_SHARE = 10  # one in so many of the rest; the reference has none

FILE_NAME = "splits.json"
# How many unknown ids an error names.
SHOWN_IDS = 5


@dataclasses.dataclass(frozen=True)
class Splits:
    """The pairs of each split, in the order of their ids.

    Attributes:
      train: what the segmentor learns from.
      validation: what the best epoch is chosen on; may be empty.
      test: what the final figures are measured on; may be empty.
      unused: pairs of no split: an official test split beside a list of
        other test ids, or files that came after the split was made.
    """

    train: tuple[pairs.Pair, ...]
    validation: tuple[pairs.Pair, ...] = ()
    test: tuple[pairs.Pair, ...] = ()
    unused: tuple[pairs.Pair, ...] = ()

    def ids(self) -> dict[str, list[str]]:
        """Returns the ids of each split by its name."""
        return {
            field.name: [pair.id for pair in getattr(self, field.name)]
            for field in dataclasses.fields(self)
        }


def make_splits(
    all_pairs: Sequence[pairs.Pair],
    *,
    num_test: int | None,
    num_validation: int | None,
    split_seed: int,
    test_list: str | None,
    group_list: str | None = None,
) -> Splits:
    """Splits the pairs.

    The test split is the ids in `test_list`; without one the official test
    split; without that `num_test` pairs drawn with `split_seed`. The
    validation split is the official one; without one `num_validation` pairs
    drawn from what is left for training. A draw depends on the ids and the
    seed alone, and the draw for validation leaves the one for test as it is.
    With groups, whole groups are drawn until there are as many pairs.

    Args:
      all_pairs: as found, with official splits where there are any.
      num_test: None draws a quarter (the reference's share), 0 none.
      num_validation: None draws a tenth, 0 none.
      split_seed: 0 or more.
      test_list: a file with one id on each line; lines that start with #
        and what follows a blank and a # are comments.
      group_list: a CSV file with the columns id and group, such as a patient.

    Raises:
      config.UserError: a file cannot be read or names an unknown id, a
        number is larger than there are pairs, a group stands in two
        splits, or nothing is left to train on.
    """
    if split_seed < 0:
        raise config.UserError(
            f"--split_seed ({split_seed}) must be 0 or more."
        )
    free = {pair.id for pair in all_pairs}
    group_of = (
        groups.read_groups(group_list, free)
        if group_list
        else {i: i for i in free}
    )
    official_test = [p.id for p in all_pairs if p.split == "test"]
    official_validation = [p.id for p in all_pairs if p.split == "validation"]
    unused: list[str] = []
    if test_list:
        test = _read_test_list(test_list, known=free)
        unused = sorted(set(official_test) - set(test))
    else:
        test = official_test
    validation = sorted(set(official_validation) - set(test))
    pool = sorted(free - {*test, *unused, *validation})
    # Two streams of one seed: either draw can change without the other.
    if not test:
        rng = np.random.default_rng([split_seed, 0])
        test = _draw(
            pool,
            num_test,
            TEST_SHARE,
            group_of=group_of,
            rng=rng,
            flag="--num_test",
        )
        pool = sorted(set(pool) - set(test))
    if not validation:
        rng = np.random.default_rng([split_seed, 1])
        validation = _draw(
            pool,
            num_validation,
            VALIDATION_SHARE,
            group_of=group_of,
            rng=rng,
            flag="--num_validation",
        )
        pool = sorted(set(pool) - set(validation))
    if not pool:
        raise config.UserError(
            f"No pair is left to train on: of {len(free)} pairs {len(test)} "
            f"are for testing and {len(validation)} for validation; give more "
            "pairs or a smaller --num_test, --num_validation or --test_list."
        )
    names = {"train": pool, "validation": validation, "test": test}
    groups.check_divided_groups(names, group_of, group_list)
    return splits_from_ids(all_pairs, {**names, "unused": unused})


def splits_from_ids(
    all_pairs: Sequence[pairs.Pair], ids: Mapping[str, Sequence[str]]
) -> Splits:
    """Rebuilds the splits of an earlier run from their ids.

    Pairs that the ids do not name are `unused`.

    Raises:
      config.UserError: a pair is missing, or stands in two splits.
    """
    known = {pair.id: pair for pair in all_pairs}
    named = [name for names in ids.values() for name in names]
    missing = sorted(set(named) - set(known))
    if missing:
        raise config.UserError(
            f"{FILE_NAME} names {_some(missing)} not among the {len(known)} "
            "pairs found; give the data of the run, or a new --model_dir."
        )
    counts = collections.Counter(named)
    twice = sorted(name for name, count in counts.items() if count > 1)
    if twice:
        raise config.UserError(
            f"{FILE_NAME} names {_some(twice)} more than once; each pair "
            "belongs to one split."
        )
    later = set(known) - set(named)
    ids = {**ids, "unused": [*ids.get("unused", ()), *later]}
    return Splits(
        **{
            field.name: tuple(known[i] for i in sorted(ids.get(field.name, ())))
            for field in dataclasses.fields(Splits)
        }
    )


def write_splits(splits: Splits, directory: str) -> None:
    """Writes the ids of each split to `splits.json`, whole or not at all.

    Raises:
      config.UserError: the folder cannot be written.
    """
    path = os.path.join(directory, FILE_NAME)
    with files.reported_write_errors(path):
        records.write(path, splits.ids())


def read_split_ids(directory: str) -> dict[str, list[str]]:
    """Reads the ids of each split that `write_splits` wrote.

    Raises:
      config.UserError: the file is missing or not as it was written.
    """
    path = os.path.join(directory, FILE_NAME)
    try:
        ids = records.read(path)
    except OSError as error:
        raise config.UserError(
            f"{path} cannot be read ({error.strerror}); --model_dir must be "
            "the folder of a run."
        ) from error
    except records.NewerFormatError:
        raise
    except ValueError as error:
        raise _not_a_split(path) from error
    fields = {field.name for field in dataclasses.fields(Splits)}
    if not (
        set(ids) <= fields
        and all(
            isinstance(names, list) and all(isinstance(n, str) for n in names)
            for names in ids.values()
        )
    ):
        raise _not_a_split(path)
    return ids


def _not_a_split(path: str) -> config.UserError:
    """Says that a file does not hold the ids of splits."""
    return config.UserError(
        f"{path} does not hold lists of ids; restore it or start a new "
        "--model_dir."
    )


def _read_test_list(path: str, *, known: Set[str]) -> list[str]:
    """Reads the ids of a list and makes sure that each has its pair."""
    try:
        # "utf-8-sig": Windows editors put a byte-order mark in front.
        with open(path, encoding="utf-8-sig") as stream:
            lines = stream.read().splitlines()
    except OSError as error:
        raise config.UserError(
            f"--test_list ({path}) cannot be read ({error.strerror}); check "
            "the path."
        ) from error
    except UnicodeDecodeError as error:
        raise config.UserError(
            f"--test_list ({path}) is not a text file; give one id a line."
        ) from error
    ids = {re.split(r"(?:^|\s)#", line)[0].strip() for line in lines} - {""}
    if not ids:
        raise config.UserError(
            f"--test_list ({path}) names no id; give one id a line."
        )
    missing = sorted(ids - known)
    if missing:
        raise config.UserError(
            f"--test_list ({path}) names {_some(missing)} not among the "
            f"{len(known)} pairs found; an id is an image's file name without "
            "folder and ending."
        )
    return sorted(ids)


def _some(ids: Sequence[str]) -> str:
    """Counts ids and names the first of them."""
    names = ", ".join(ids[:SHOWN_IDS])
    if len(ids) > SHOWN_IDS:
        names += ", ..."
    return f"{len(ids)} id{'s' if len(ids) > 1 else ''} ({names})"


def _draw(
    pool: Sequence[str],
    count: int | None,
    share: int,
    *,
    group_of: Mapping[str, str],
    rng: np.random.Generator,
    flag: str,
) -> list[str]:
    """Draws `count` ids from a sorted pool, or 1/share of it if None.

    Whole groups are drawn, so that there may be some ids more.
    """
    if count is None:
        # At least one, so that a handful of pairs has every split too.
        count = max(1, len(pool) // share) if len(pool) > 1 else 0
    elif not 0 <= count < max(1, len(pool)):
        raise config.UserError(
            f"{flag} ({count}) must be 0 or more and smaller than the "
            f"{len(pool)} pairs it is drawn from."
        )
    members = collections.defaultdict(list)
    for name in pool:
        members[group_of[name]].append(name)
    in_order, drawn = sorted(members), []
    for place in rng.permutation(len(in_order)):
        if len(drawn) >= count:
            break
        drawn += members[in_order[place]]
    return sorted(drawn)
