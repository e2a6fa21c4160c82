"""Tests of names, values and colors of labels."""

import json
import re

import pytest

from segan_tf import config, labels


def read(tmp_path, named, **options):
    path = tmp_path / "labels.json"
    text = named if isinstance(named, str) else json.dumps(named)
    path.write_text(text, encoding="utf-8")
    return labels.read_labels(str(path), **options)


def test_numbers_name_labels_in_the_order_of_the_file(tmp_path):
    found = read(tmp_path, {"2": "myocardium", "1": "right ventricle"})
    assert found.names == ("myocardium", "right ventricle")
    assert dict(found.marks) == {0: 0, 2: 1, 1: 2}
    assert found.slugs == ("myocardium", "right_ventricle")
    assert found.multiclass
    assert not found.by_color


def test_null_and_background_are_no_labels_and_equal_names_are_one(tmp_path):
    found = read(
        tmp_path,
        {"0": "Background", "1": None, "2": "heart", "3": "heart"},
        multiclass=False,
    )
    assert found.names == ("heart",)
    assert dict(found.marks) == {0: 0, 1: 0, 2: 1, 3: 1}
    assert found.label_kind == "multilabel"


def test_colors_name_labels_and_black_may_be_one(tmp_path):
    found = read(tmp_path, {"#000000": "hair", "#FF0010": "lesion"})
    assert found.by_color
    assert dict(found.marks) == {0: 1, 0xFF0010: 2}


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ("{", "is not JSON"),
        (["lesion"], "must map values or colors to names"),
        ({"1": 1}, "must map values or colors to names"),
        (
            {"one": "lesion"},
            "names 'one', which is not a value from 0 to 65535",
        ),
        ({"70000": "lesion"}, "names '70000', which is not a value"),
        ({"#12": "lesion"}, "names '#12', which is not a color"),
        ({"1": "a", "#ffffff": "b"}, "names '1', which is not a color"),
        ({"0": "lesion"}, "names 0 'lesion', but 0 is the background"),
        ({"1": None}, "names 0 labels; give 1 to 255"),
        ({"1": "a b", "2": "A-b"}, "'a b' and 'A-b' are too similar"),
        ({"1": "?"}, "the label name '[?]' has no letter or digit"),
    ],
)
def test_error_explains_the_bad_labels_json(tmp_path, named, words):
    with pytest.raises(config.UserError, match=words):
        read(tmp_path, named)


def test_error_names_the_missing_file(tmp_path):
    with pytest.raises(config.UserError, match="gone.json cannot be read"):
        labels.read_labels(str(tmp_path / "gone.json"))


def test_numbered_labels_are_read_back(tmp_path):
    made = labels.make_labels(["a", "b c"], where="--label_names")
    found = read(tmp_path, labels.numbered(made))
    assert found.names == made.names
    assert dict(found.marks) == {0: 0, 1: 1, 2: 2}


def test_colors_differ_up_to_eight_labels_and_then_repeat():
    nine = labels.Labels(labels.default_names(9)).colors
    assert len(set(nine[:8])) == 8
    assert nine[8] == nine[0]


def test_default_names():
    assert labels.default_names(1) == ("lesion",)
    assert labels.default_names(2) == ("label 1", "label 2")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"1": "hair", "1": "lesion"}', "names '1' twice"),
        ('{"1": "hair", "01": "lesion"}', "names '1' and '01', which are the"),
        ('{"#FF0000": "a1", "#ff0000": "b1"}', "which are the same; keep one"),
        ("", "is not JSON"),
        ("null", "must map values or colors to names"),
        ("3", "must map values or colors to names"),
        ('{"1": ["lesion"]}', "must map values or colors to names"),
        ('{"1": ' + "9" * 5000 + "}", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ('{"' + "9" * 5000 + '": "lesion"}', "not a value from 0 to 65535"),
        ('{"1": "a\\nb"}', "not printable; rename it"),
        ('{"1": "' + "a" * 101 + '"}', "longer than 100 characters"),
    ],
)
def test_odd_labels_file_is_one_error_of_one_line(tmp_path, text, words):
    with pytest.raises(config.UserError, match=re.escape(words)) as caught:
        read(tmp_path, text)
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 1000


def test_label_called_like_an_output_file_has_a_file_of_its_own(tmp_path):
    found = read(tmp_path, {"1": "overlay", "2": "Label map", "3": "hair"})
    assert found.slugs == ("overlay_label", "label_map_label", "hair")
    with pytest.raises(config.UserError, match="are too similar; rename one"):
        read(tmp_path, {"1": "overlay", "2": "overlay label"})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Hair", "hair"),
        ("left lung", "left-lung"),
        ("Straße", "STRASSE"),
        ("L\u00e4sion", "La\u0308sion"),
        ("\ufb01lm", "film"),
    ],
)
def test_names_of_the_same_file_on_some_system_are_an_error(one, other):
    with pytest.raises(config.UserError) as error:
        labels.make_labels([one, other], where="--label_names")
    assert str(error.value) == (
        f"--label_names: the label names {one!r} and {other!r} are too "
        "similar; rename one."
    )


def test_accents_stay_letters_in_either_form():
    assert labels.slug("La\u0308sion 1") == "l\u00e4sion_1"
    assert labels.slug("L\u00e4sion 1") == "l\u00e4sion_1"


def test_length_of_a_name_is_that_in_a_file_name():
    labels.make_labels(["\u6f22" * 33], where="--label_names")
    with pytest.raises(config.UserError, match="longer than 100 characters"):
        labels.make_labels(["\u6f22" * 34], where="--label_names")
