"""Tests of names, values and colors of labels."""

import json

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
