"""Tests of annotation styles, their weights and their record in a run."""

import json

import pytest

from segan_tf import styles
from segan_tf.errors import UserError

THREE = styles.Styles(("T1", "T2", "T3"), (0.5, 0.25, 0.25))


@pytest.mark.parametrize(
    ("text", "mixture"),
    [
        ("T2", (0, 1, 0)),
        ("T1+T3", (0.5, 0, 0.5)),
        ("T3 + T1", (0.5, 0, 0.5)),
        ("mean", (0.5, 0.25, 0.25)),
    ],
)
def test_style_becomes_the_weight_of_each(text, mixture):
    assert THREE.mixture(text) == mixture


def test_unknown_style_is_an_error_that_lists_the_known_ones():
    with pytest.raises(UserError, match="'T4' is no .*; it knows T1, T2, T3"):
        THREE.mixture("T1+T4")
    with pytest.raises(UserError, match="it knows none"):
        styles.PLAIN.mixture("T1")


def test_pair_of_unknown_style_has_the_mean():
    assigned = styles.AssignedStyles(THREE, {"a": "T2"})
    assert assigned.mixture_of("a") == (0, 1, 0)
    assert assigned.mixture_of("b") == THREE.mean


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        ([f"T{n}" for n in range(33)], "33 styles .* at most 32"),
        (["mean"], "'mean' cannot be the name"),
        (["All"], "'All' cannot be the name"),
        (["a/b"], "'a/b' cannot be the name"),
        (["T1", "t1"], "'T1' and 't1', which differ only by case"),
    ],
)
def test_styles_that_cannot_be_told_apart_are_errors(names, reason):
    with pytest.raises(UserError, match=f"^FILE.*{reason}"):
        styles.check_names(names, "FILE")


def test_styles_with_blanks_and_dots_are_fine():
    styles.check_names(["clinic A", "v1.2", "flood-fill", "T_1"], "FILE")


def test_record_of_a_run_is_read_back(tmp_path):
    assigned = styles.AssignedStyles(THREE, {"a": "T1+T2"})
    styles.write(assigned, str(tmp_path))
    assert styles.read(str(tmp_path)) == assigned


def test_run_without_a_record_has_no_styles(tmp_path):
    assert not styles.is_recorded(str(tmp_path))
    assert styles.read(str(tmp_path)) == styles.UNASSIGNED
    styles.write(styles.UNASSIGNED, str(tmp_path))
    assert styles.is_recorded(str(tmp_path))
    assert styles.read(str(tmp_path)) == styles.UNASSIGNED


@pytest.mark.parametrize(
    "text", ["", "[]", '{"names": ["a"], "mean": [], "of": {}}', '{"names": 1}']
)
def test_damaged_record_is_one_line(tmp_path, text):
    (tmp_path / styles.FILE_NAME).write_text(text)
    with pytest.raises(UserError, match=r"styles\.json cannot be understood"):
        styles.read(str(tmp_path))


def test_record_of_a_newer_version_is_an_error(tmp_path):
    path = tmp_path / styles.FILE_NAME
    path.write_text(json.dumps({"format": 99}))
    with pytest.raises(UserError, match="newer"):
        styles.read(str(tmp_path))
