"""Tests of reading which style each label map was drawn in."""

import pytest

from segan_tf.config import Config, UserError
from segan_tf.datasets import pairs, splits, style_lists


def make_splits(train, validation=(), test=()):
    return splits.Splits(
        *(
            tuple(pairs.Pair(name, f"{name}.jpg", ()) for name in names)
            for names in (train, validation, test)
        )
    )


ABCD = make_splits(["a", "b", "c"], ["d"])


@pytest.fixture
def load(tmp_path):
    """Writes a list and loads it; returns the styles and what was said."""

    def load(text, divided=ABCD, name="list.csv", **settings):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        said = []
        settings = settings or {"styles": str(path)}
        found = style_lists.load(Config(**settings), divided, say=said.append)
        return found, said

    return load


def test_styles_are_those_of_the_training_pairs(load):
    found, said = load("id,style\na,T2\nb,T1\nd,T1+T2\n")
    assert found.styles.names == ("T1", "T2")
    assert found.of == {"a": "T2", "b": "T1", "d": "T1+T2"}
    assert "2 annotation styles (T1, T2)" in said[-1]
    assert "2 of the 3 training pairs have one" in said[-1]


def test_mean_style_is_that_of_the_training_pairs_with_a_style(load):
    found, _ = load("id,style\na,T1\nb,T1+T2\nd,T2\n")
    assert found.styles.mean == (0.75, 0.25)
    assert found.mixture_of("c") == (0.75, 0.25)


def test_list_of_annotation_tools_is_understood(load):
    found, _ = load(
        "id,tools,annotators\na,T1+T3,A1\nb,T3,A2\n",
        name=style_lists.ARCHIVE_FILE_NAME,
    )
    assert found.of == {"a": "T1+T3", "b": "T3"}


def test_order_of_joined_styles_makes_no_difference(load):
    found, _ = load("id,style\na,T2+T1\nb,T1 + T2\n")
    assert set(found.of.values()) == {"T1+T2"}


def test_list_in_the_data_folder_is_found(load, tmp_path):
    found, _ = load(
        "id,style\na,T1\n", name="styles.csv", data_dir=str(tmp_path)
    )
    assert found.of == {"a": "T1"}
    found, _ = load(
        "id,style\na,T1\n",
        name="styles.csv",
        data_dir=str(tmp_path),
        styles="none",
    )
    assert not found.styles.count


def test_list_of_tools_in_the_data_folder_is_named_and_not_used(load, tmp_path):
    found, said = load(
        "id,tools\na,T1\n",
        name=style_lists.ARCHIVE_FILE_NAME,
        data_dir=str(tmp_path),
    )
    assert not found.styles.count
    (note,) = said
    assert f"give it with --styles={tmp_path}/annotation_tools.csv" in note


def test_ids_of_no_pair_are_counted_and_named(load):
    _, said = load("id,style\na,T1\nz,T2\nzz,T2\n")
    assert "lists 2 ids that are no pairs here, such as z" in said[0]


def test_decomposed_ids_are_the_same(load):
    found, _ = load("id,style\nu\u0308,T1\n".encode(), make_splits(["\u00fc"]))
    assert found.of == {"\u00fc": "T1"}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("id,style\na,T1\na,T2\n", "lists a twice; keep one row"),
        ("id,style\nz,T1\n", "lists none of the 4 pairs, but z"),
        ("id,style\n", "lists none of the 4 pairs, but nothing"),
        ("name,style\na,T1\n", "columns name, style; it needs id and style"),
        ("", "has the columns none"),
        ("id,style\na,\n", "line 2: id 'a' with the style ''"),
        ("id,style\na,T1\n,T1\n", "line 3: id '' with the style 'T1'"),
        ("id,style\na,T1+\n", "line 2: id 'a' with the style 'T1+'"),
        ("id,style\na\n", "line 2: id 'a' with the style ''"),
        (b"id,style\na,\xe4\n", "is not a CSV file in UTF-8"),
        ("id,style\na,all\n", "'all' cannot be the name"),
        ("id,style\na,T1\nd,T9\n", "d, have the style T9, and no training"),
        ("id,style\nd,T9\n", "have the style T9, and no training"),
    ],
)
def test_mistake_is_one_line_that_names_the_file(load, tmp_path, text, reason):
    with pytest.raises(UserError) as error:
        load(text)
    message = str(error.value)
    assert message.startswith(f"--styles ({tmp_path}/list.csv)")
    assert reason in message
    assert "\n" not in message


def test_missing_file_is_one_line(tmp_path):
    missing = str(tmp_path / "missing.csv")
    with pytest.raises(UserError, match="cannot be read .*check the path"):
        style_lists.load(Config(styles=missing), ABCD, say=print)


def test_more_than_32_styles_are_an_error(load):
    names = [f"p{n}" for n in range(33)]
    rows = "".join(f"{name},{name}\n" for name in names)
    with pytest.raises(UserError, match="33 styles"):
        load(f"id,style\n{rows}", make_splits(names))
