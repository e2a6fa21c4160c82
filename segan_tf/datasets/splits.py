"""Splits pairs into training, validation and test, and records the split."""

import collections
import dataclasses
import os
import re
from collections.abc import Callable, Mapping, Sequence, Set

import numpy as np

from segan_tf import config, files, records
from segan_tf.datasets import groups, pairs

TEST_SHARE = 4  # one pair in so many; the paper, Data: 500 of the 2000
VALIDATION_SHARE = 10  # one in so many of the rest; the paper has none

FILE_NAME = "splits.json"
_SHOWN_IDS = 5  # in an error


@dataclasses.dataclass(frozen=True)
class Splits:
    """The pairs of each split, sorted by id.

    Attributes:
      train: the segmentor is trained on them.
      validation: the best epoch is chosen on them; may be empty.
      test: the final scores are measured on them; may be empty.
      unused: pairs of no split: official test pairs that a list of test ids
        leaves out, or files that were added after the split was made.
    """

    train: tuple[pairs.Pair, ...]
    validation: tuple[pairs.Pair, ...] = ()
    test: tuple[pairs.Pair, ...] = ()
    unused: tuple[pairs.Pair, ...] = ()

    def all_pairs(self) -> list[pairs.Pair]:
        """Returns the pairs of all splits."""
        return [
            pair
            for field in dataclasses.fields(self)
            for pair in getattr(self, field.name)
        ]

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
    left_out: Set[str] = frozenset(),
    say: Callable[[str], None] = print,
) -> Splits:
    """Splits the pairs.

    The test split is the ids in `test_list`, else the official test split,
    else `num_test` pairs drawn with `split_seed`. The validation split is the
    official one, else `num_validation` pairs drawn from the others. A draw
    depends on the ids and the seed alone, and the draw for validation does not
    change the one for testing. With groups, whole groups are drawn until there
    are enough pairs.

    Args:
      all_pairs: as found, with official splits where there are any.
      num_test: None draws a quarter (as in the paper), 0 none.
      num_validation: None draws a tenth, 0 none.
      split_seed: 0 or more.
      test_list: a file with one id on each line. Lines that start with #, and
        what follows a blank and a #, are comments, unless the line as a whole
        is an id.
      group_list: a CSV file with the columns id and group, such as a patient.
      left_out: ids of pairs that cannot be used; the list may name them.
      say: is called with a message if it does.

    Raises:
      config.UserError: a file cannot be read or names an unknown id, a
        number is larger than there are pairs, a group is in two splits, or
        nothing is left to train on.
    """
    if split_seed < 0:
        raise config.UserError(
            f"--split_seed ({split_seed}) must be 0 or more."
        )
    known = {pair.id for pair in all_pairs}
    group_of = (
        groups.read_groups(group_list, known)
        if group_list
        else {i: i for i in known}
    )
    test = [p.id for p in all_pairs if p.split == "test"]
    validation = [p.id for p in all_pairs if p.split == "validation"]
    unused: list[str] = []
    if test_list:
        listed = _read_test_list(
            test_list, known=known, left_out=left_out, say=say
        )
        unused = sorted(set(test) - set(listed))
        test = listed
        validation = sorted(set(validation) - set(listed))
    pool = sorted(known - {*test, *unused, *validation})
    # Two streams of one seed, so that neither draw changes the other.
    if not test:
        test = _draw(
            pool,
            _count("--num_test", num_test, pool, TEST_SHARE),
            group_of=group_of,
            rng=np.random.default_rng([split_seed, 0]),
        )
        pool = sorted(set(pool) - set(test))
    if not validation:
        validation = _draw(
            pool,
            _count("--num_validation", num_validation, pool, VALIDATION_SHARE),
            group_of=group_of,
            rng=np.random.default_rng([split_seed, 1]),
        )
        pool = sorted(set(pool) - set(validation))
    if not pool and group_list:
        count = len({group_of[name] for name in known})
        raise config.UserError(
            f"--groups ({group_list}) has {count} group(s) for the "
            f"{len(known)} pairs, and no group is left to train on: "
            f"{len(test)} pairs are for testing and {len(validation)} for "
            "validation, drawn by whole groups; at least 3 groups are needed, "
            "or 2 with --num_test=0 or --num_validation=0."
        )
    if not pool:
        raise config.UserError(
            f"No pair is left to train on: of {len(known)} pairs {len(test)} "
            f"are for testing and {len(validation)} for validation; give more "
            "pairs or a smaller --num_test, --num_validation or --test_list."
        )
    ids = {"train": pool, "validation": validation, "test": test}
    groups.check_undivided(ids, group_of, path=group_list)
    return splits_from_ids(all_pairs, {**ids, "unused": unused})


def splits_from_ids(
    all_pairs: Sequence[pairs.Pair], ids: Mapping[str, Sequence[str]]
) -> Splits:
    """Rebuilds the splits of an earlier run from their ids.

    Pairs without a split are `unused`.

    Raises:
      config.UserError: a pair is missing, or is in two splits.
    """
    known = {pairs.normalized(pair.id): pair for pair in all_pairs}
    ids = {
        split: [pairs.normalized(name) for name in names]
        for split, names in ids.items()
    }
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
            f"{FILE_NAME} names {_some(twice)} more than once; keep each id "
            "in one split."
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
    """Writes the ids of each split to splits.json in a folder.

    Raises:
      config.UserError: the file cannot be written.
    """
    path = os.path.join(directory, FILE_NAME)
    with files.reported_write_errors(path):
        records.write(path, splits.ids())


def read_split_ids(directory: str) -> dict[str, list[str]]:
    """Reads the ids of each split that `write_splits` wrote.

    Raises:
      config.UserError: the file is missing or damaged.
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
    return config.UserError(
        f"{path} does not hold lists of ids; restore it or start a new "
        "--model_dir."
    )


def _read_test_list(
    path: str,
    *,
    known: Set[str],
    left_out: Set[str],
    say: Callable[[str], None],
) -> list[str]:
    """Reads the ids of a list and checks that each has its pair."""
    try:
        # "utf-8-sig": Windows editors start a file with a byte-order mark.
        with files.open_regular(path, encoding="utf-8-sig") as stream:
            lines = stream.read().split("\n")
    except OSError as error:
        raise config.UserError(
            f"--test_list ({path}) cannot be read ({error.strerror}); check "
            "the path."
        ) from error
    except UnicodeDecodeError as error:
        raise config.UserError(
            f"--test_list ({path}) is not a text file; give one id per line."
        ) from error
    spelled = {pairs.normalized(name): name for name in known}
    bad = {pairs.normalized(name) for name in left_out}
    ids = {_listed_id(line, {*spelled, *bad}) for line in lines} - {""}
    if skipped := sorted(ids & bad - set(spelled)):
        say(
            f"--test_list ({path}) names {_some(skipped)} of pairs that cannot "
            "be used; continuing without"
        )
        ids -= set(skipped)
    if not ids:
        raise config.UserError(
            f"--test_list ({path}) names no id; give one id per line."
        )
    missing = sorted(ids - set(spelled))
    if missing:
        raise config.UserError(
            f"--test_list ({path}) names {_some(missing)} not among the "
            f"{len(known)} pairs found; an id is an image's file name without "
            "folder and ending."
        )
    return sorted(spelled[name] for name in ids)


def _listed_id(line: str, known: Set[str]) -> str:
    """Returns the id on a line, normalized: the whole line if it is one."""
    name = ""
    for name in (line, line.strip(), re.split(r"(?:^|\s)#", line)[0].strip()):
        if pairs.normalized(name) in known:
            break
    return pairs.normalized(name)


def _some(ids: Sequence[str]) -> str:
    """Counts ids and lists the first of them."""
    names = ", ".join(ids[:_SHOWN_IDS])
    if len(ids) > _SHOWN_IDS:
        names += ", ..."
    return f"{len(ids)} id{'s' if len(ids) > 1 else ''} ({names})"


def _count(
    flag: str, given: int | None, pool: Sequence[str], share: int
) -> int:
    """Returns how many ids of a pool to draw: 1/share of it by default."""
    if given is None:
        # At least one, so that a handful of pairs has every split too.
        return max(1, len(pool) // share) if len(pool) > 1 else 0
    if not 0 <= given < max(1, len(pool)):
        raise config.UserError(
            f"{flag} ({given}) must be 0 or more and smaller than the "
            f"{len(pool)} pairs it is drawn from."
        )
    return given


def _draw(
    pool: Sequence[str],
    count: int,
    *,
    group_of: Mapping[str, str],
    rng: np.random.Generator,
) -> list[str]:
    """Draws whole groups of a sorted pool until there are `count` ids."""
    members = collections.defaultdict(list)
    for name in pool:
        members[group_of[name]].append(name)
    in_order = sorted(members)
    drawn: list[str] = []
    for place in rng.permutation(len(in_order)):
        if len(drawn) >= count:
            break
        drawn += members[in_order[place]]
    return sorted(drawn)


def normalized_ids(
    ids: Mapping[str, Sequence[str]],
) -> dict[str, list[str]]:
    """Returns ids by split, in a form in which equal splits are equal."""
    return {
        split: sorted(map(pairs.normalized, names))
        for split, names in ids.items()
        if names
    }
