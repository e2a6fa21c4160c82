"""Groups of pairs, such as a patient's, that stay in one split."""

import csv
from collections.abc import Mapping, Sequence, Set

from segan_tf import config, files
from segan_tf.datasets import pairs


def read_groups(path: str, known: Set[str]) -> dict[str, str]:
    """Reads the group of every id from a CSV file.

    Args:
      path: of the file, with columns id and group. Other ids are ignored.
      known: the ids of the pairs.

    Returns:
      From id to group.

    Raises:
      config.UserError: the file cannot be read, or an id has no group or
        two.
    """
    try:
        with files.open_regular(
            path, encoding="utf-8-sig", newline=""
        ) as stream:
            rows = list(csv.DictReader(stream))
    except OSError as error:
        raise config.UserError(
            f"--groups ({path}) cannot be read ({error.strerror}); check the "
            "path."
        ) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise config.UserError(
            f"--groups ({path}) is not a CSV file; give the columns id and "
            "group."
        ) from error
    group_of: dict[str, str] = {}
    spelled = {pairs.normalized(name): name for name in known}
    for row in rows:
        name, group = row.get("id"), row.get("group")
        if not name or not group:
            raise config.UserError(
                f"--groups ({path}) must have the columns id and group, both "
                f"filled in every row, but has the row {dict(row)}."
            )
        name = spelled.get(pairs.normalized(name), name)
        if group_of.setdefault(name, group) != group:
            raise config.UserError(
                f"--groups ({path}) puts {name} into {group_of[name]} and "
                f"{group}; keep one row for each id."
            )
    missing = sorted(known - set(group_of))
    if missing:
        raise config.UserError(
            f"--groups ({path}) names no group for {len(missing)} of the "
            f"pairs, such as {missing[0]}; add a row for each."
        )
    return group_of


def check_undivided(
    ids: Mapping[str, Sequence[str]],
    group_of: Mapping[str, str],
    *,
    path: str | None,
) -> None:
    """Checks that no group is in two splits: the test scores would be too high.

    Args:
      ids: of each split.
      group_of: the group of each id.
      path: of the file, for the error.

    Raises:
      config.UserError: names a group and its two splits.
    """
    split_of: dict[str, str] = {}
    for split, names in ids.items():
        for group in sorted({group_of[name] for name in names}):
            other = split_of.setdefault(group, split)
            if other != split:
                raise config.UserError(
                    f"--groups ({path}): {group} is in the {other} and the "
                    f"{split} split; put all of its pairs into one, with "
                    "--test_list or --num_test."
                )
