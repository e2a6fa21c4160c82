"""Tests of groups of pairs that no split may divide."""

import pytest

from segan_tf import config
from segan_tf.datasets import groups, pairs, splits

PAIRS = [pairs.Pair(f"p{i}", f"p{i}.jpg", (f"p{i}.png",)) for i in range(12)]


def write(tmp_path, text):
    path = tmp_path / "groups.csv"
    path.write_text(text)
    return str(path)


def patients(tmp_path, *, size=3):
    """Writes twelve pairs in groups of so many: g0, g1 and on."""
    rows = "".join(f"p{i},g{i // size}\n" for i in range(12))
    return write(tmp_path, f"id,group\n{rows}")


def divide(**changes):
    flags = {
        "num_test": 4,
        "num_validation": 2,
        "split_seed": 0,
        "test_list": None,
    }
    return splits.make_splits(PAIRS, **{**flags, **changes})


@pytest.mark.parametrize("seed", range(5))
def test_draws_take_whole_groups(tmp_path, seed):
    found = divide(group_list=patients(tmp_path), split_seed=seed)
    of_split = {
        name: {int(i[1:]) // 3 for i in ids}
        for name, ids in found.ids().items()
    }
    # Four pairs for testing take two groups of three, two for validation one.
    sizes = {name: len(found) for name, found in of_split.items()}
    assert sizes == {"train": 1, "validation": 1, "test": 2, "unused": 0}
    assert len(set.union(*of_split.values())) == 4
    assert len(found.test) == 6
    assert len(found.validation) == 3


def test_another_seed_draws_other_groups(tmp_path):
    path = patients(tmp_path)
    draws = {
        divide(group_list=path, split_seed=seed).test[0].id for seed in range(9)
    }
    assert len(draws) > 1


def test_test_list_that_divides_a_group_is_an_error(tmp_path):
    listed = tmp_path / "test.txt"
    listed.write_text("p0\np1\n")
    with pytest.raises(
        config.UserError,
        match=r"groups.csv\): g0 is in the (train|validation) and the test",
    ):
        divide(group_list=patients(tmp_path), test_list=str(listed))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("id,group\np0,g0\n", "names no group for 11 of the pairs, such as p1"),
        ("name,patient\np0,g0\n", "must have the columns id and group"),
        ("id,group\np0,\n", "both filled in every row, but has"),
        ("id,group\np0,g0\np0,g1\n", "puts p0 into g0 and g1"),
    ],
)
def test_error_explains_the_bad_group_file(tmp_path, text, words):
    with pytest.raises(config.UserError, match=words):
        divide(group_list=write(tmp_path, text))


def test_error_names_the_missing_or_binary_group_file(tmp_path):
    with pytest.raises(config.UserError, match="--groups .*cannot be read"):
        groups.read_groups(str(tmp_path / "gone.csv"), set())
    path = tmp_path / "a.csv"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(config.UserError, match="is not a CSV file"):
        groups.read_groups(str(path), set())


def test_rows_of_other_pairs_are_ignored(tmp_path):
    path = write(tmp_path, "id,group\np0,g0\nother,g9\n")
    assert groups.read_groups(path, {"p0"})["p0"] == "g0"
