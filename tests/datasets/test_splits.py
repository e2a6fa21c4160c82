"""Tests of splitting: official splits, draws, lists and the kept file."""

import json

import pytest

from segan_tf import config
from segan_tf.datasets import pairs, splits


def make_pairs(count, split="", start=0):
    """Makes pairs p00, p01, ... of one split."""
    return [
        pairs.Pair(f"p{i:02}", f"p{i:02}.jpg", (f"p{i:02}.png",), split)
        for i in range(start, start + count)
    ]


def split_up(all_pairs, **options):
    """Calls make_splits with plain defaults and returns the ids."""
    options = {
        "num_test": None,
        "num_validation": None,
        "split_seed": 0,
        "test_list": None,
        **options,
    }
    return splits.make_splits(all_pairs, **options).ids()


def sizes(ids):
    """Returns the numbers of train, validation, test and unused pairs."""
    return tuple(
        len(ids[name]) for name in ("train", "validation", "test", "unused")
    )


def write_list(tmp_path, text):
    """Writes a test list and returns its path."""
    path = tmp_path / "list.txt"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_default_shares_are_a_quarter_and_a_tenth():
    # 40 / 4 = 10 for testing, (40 - 10) / 10 = 3 for validation.
    ids = split_up(make_pairs(40))
    assert sizes(ids) == (40 - 10 - 3, 3, 10, 0)
    assert sorted(ids["train"] + ids["validation"] + ids["test"]) == [
        pair.id for pair in make_pairs(40)
    ]


def test_handful_of_pairs_has_every_split():
    assert sizes(split_up(make_pairs(3))) == (1, 1, 1, 0)


def test_zero_means_no_pairs():
    ids = split_up(make_pairs(5), num_test=0, num_validation=0)
    assert sizes(ids) == (5, 0, 0, 0)


def test_numbers_are_drawn_exactly():
    ids = split_up(make_pairs(20), num_test=6, num_validation=4)
    assert sizes(ids) == (20 - 6 - 4, 4, 6, 0)


def test_draw_depends_on_seed_and_not_on_file_order():
    ids = split_up(make_pairs(40), split_seed=3)
    assert split_up(make_pairs(40)[::-1], split_seed=3) == ids
    assert split_up(make_pairs(40), split_seed=4)["test"] != ids["test"]


def test_draw_stays_the_same_over_releases():
    # A changed draw would make the figures of earlier runs meaningless.
    ids = split_up(make_pairs(8), num_test=2, num_validation=2)
    assert ids["test"] == ["p02", "p04"]
    assert ids["validation"] == ["p01", "p06"]


def test_validation_draw_leaves_the_test_draw_as_it_is():
    tests = {
        tuple(split_up(make_pairs(40), num_validation=number)["test"])
        for number in (0, 1, 7, None)
    }
    assert len(tests) == 1


def test_official_splits_are_taken_by_name():
    all_pairs = (
        make_pairs(5, "train")
        + make_pairs(2, "validation", start=5)
        + make_pairs(3, "test", start=7)
    )
    ids = split_up(all_pairs, num_test=1, num_validation=1)
    assert ids == {
        "train": ["p00", "p01", "p02", "p03", "p04"],
        "validation": ["p05", "p06"],
        "test": ["p07", "p08", "p09"],
        "unused": [],
    }


def test_test_pairs_are_drawn_despite_an_official_validation_split():
    all_pairs = make_pairs(8, "train") + make_pairs(2, "validation", start=8)
    ids = split_up(all_pairs)
    assert ids["validation"] == ["p08", "p09"]
    assert sizes(ids) == (8 - 8 // 4, 2, 8 // 4, 0)


def test_test_list_takes_its_ids_out_of_training(tmp_path):
    path = write_list(tmp_path, "p03\np01\n")
    ids = split_up(make_pairs(5), test_list=path, num_validation=0)
    assert ids["test"] == ["p01", "p03"]
    assert ids["train"] == ["p00", "p02", "p04"]


def test_test_list_may_hold_comments_blanks_and_windows_line_endings(tmp_path):
    text = "\ufeff# a comment\r\n\r\n p01  # why\r\np#2\r\np01\r\n"
    odd = pairs.Pair("p#2", "p#2.jpg", ("p#2.png",))
    ids = split_up([*make_pairs(4), odd], test_list=write_list(tmp_path, text))
    assert ids["test"] == ["p#2", "p01"]


def test_official_test_pairs_that_are_not_listed_are_unused(tmp_path):
    all_pairs = make_pairs(4, "train") + make_pairs(2, "test", start=4)
    path = write_list(tmp_path, "p00\np04")
    ids = split_up(all_pairs, test_list=path, num_validation=0)
    assert ids == {
        "train": ["p01", "p02", "p03"],
        "validation": [],
        "test": ["p00", "p04"],
        "unused": ["p05"],
    }


def test_list_may_name_validation_pairs(tmp_path):
    all_pairs = make_pairs(4, "train") + make_pairs(2, "validation", start=4)
    ids = split_up(all_pairs, test_list=write_list(tmp_path, "p04"))
    assert (ids["test"], ids["validation"]) == (["p04"], ["p05"])
    assert len(ids["train"]) == 4


def test_error_names_unknown_ids_of_the_list(tmp_path):
    path = write_list(tmp_path, "p00\nx2.jpg\nx1")
    with pytest.raises(
        config.UserError,
        match=r"--test_list \(.*list.txt\) names 2 ids \(x1, x2.jpg\)",
    ):
        split_up(make_pairs(3), test_list=path)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"# only this\n", "names no id"), (b"\xff\xfe\x00", "not a text file")],
)
def test_list_without_ids_is_an_error(tmp_path, content, message):
    path = tmp_path / "list.txt"
    path.write_bytes(content)
    with pytest.raises(config.UserError, match=f"--test_list .*{message}"):
        split_up(make_pairs(3), test_list=str(path))


def test_missing_list_is_an_error(tmp_path):
    with pytest.raises(config.UserError, match="--test_list .*cannot be read"):
        split_up(make_pairs(3), test_list=str(tmp_path / "gone"))


@pytest.mark.parametrize("number", [5, 9, -1])
def test_impossible_number_is_an_error(number):
    with pytest.raises(
        config.UserError, match=rf"--num_test \({number}\) .*the 5 pairs"
    ):
        split_up(make_pairs(5), num_test=number)
    with pytest.raises(
        config.UserError, match=rf"--num_validation \({number}\) .*the 5 pairs"
    ):
        split_up(make_pairs(5), num_test=0, num_validation=number)


def test_negative_seed_is_an_error():
    with pytest.raises(config.UserError, match=r"--split_seed \(-1\)"):
        split_up(make_pairs(5), split_seed=-1)


def test_nothing_left_to_train_on_is_an_error(tmp_path):
    path = write_list(tmp_path, "p00\np01\np02")
    with pytest.raises(config.UserError, match="No pair is left.*3 pairs 3"):
        split_up(make_pairs(3), test_list=path)
    with pytest.raises(config.UserError, match="No pair is left"):
        split_up(make_pairs(3, "test"))


def test_written_splits_are_rebuilt(tmp_path):
    made = splits.make_splits(
        make_pairs(20),
        num_test=5,
        num_validation=3,
        split_seed=1,
        test_list=None,
    )
    splits.write_splits(made, str(tmp_path))
    ids = splits.read_split_ids(str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["splits.json"]
    assert ids == made.ids()
    assert splits.splits_from_ids(make_pairs(20)[::-1], ids) == made


def test_pairs_added_later_are_unused():
    ids = {"train": ["p00"], "test": ["p01"]}
    rebuilt = splits.splits_from_ids(make_pairs(4), ids)
    assert rebuilt.ids() == {
        "train": ["p00"],
        "validation": [],
        "test": ["p01"],
        "unused": ["p02", "p03"],
    }


def test_error_names_pairs_removed_since():
    ids = {"train": [f"p{i:02}" for i in range(9)]}
    with pytest.raises(
        config.UserError,
        match=r"names 7 ids \(p02, p03, p04, p05, p06, ...\) not among the 2",
    ):
        splits.splits_from_ids(make_pairs(2), ids)


def test_id_in_two_splits_is_an_error():
    with pytest.raises(config.UserError, match=r"names 1 id \(p00\) more than"):
        splits.splits_from_ids(
            make_pairs(2), {"train": ["p00", "p01"], "test": ["p00"]}
        )


@pytest.mark.parametrize(
    "content",
    ["{", json.dumps([1]), json.dumps({"train": [1]}), json.dumps({"x": []})],
)
def test_damaged_split_file_is_an_error(tmp_path, content):
    (tmp_path / "splits.json").write_text(content)
    with pytest.raises(config.UserError, match="does not hold lists of ids"):
        splits.read_split_ids(str(tmp_path))


def test_missing_split_file_is_an_error(tmp_path):
    with pytest.raises(config.UserError, match="splits.json cannot be read"):
        splits.read_split_ids(str(tmp_path))
