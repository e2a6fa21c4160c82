"""Tests of the expansion of paths that users give."""

import pathlib

import pytest

from segan_tf import config, errors, paths


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("", ""),
        ("pretrained", "pretrained"),
        ("a b/[c]*", "a b/[c]*"),
        ("~/runs", "/home/ada/runs"),
        ("$DATA/isic", "/data/isic"),
        ("${DATA}/isic", "/data/isic"),
        ("./~/runs", "./~/runs"),
        ("costs $ and $1,", "costs $ and $1,"),
    ],
)
def test_home_and_variables_are_expanded(given, expected, monkeypatch):
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.setenv("DATA", "/data")
    monkeypatch.setenv("1", "one")
    expected = expected.replace("$1", "one")
    assert paths.expand(given, flag="data_dir") == expected


@pytest.mark.parametrize("name", ["~", "$DATA", "${x}"])
def test_path_that_exists_as_written_stays(name, tmp_path, monkeypatch):
    monkeypatch.setenv("DATA", "/data")
    monkeypatch.chdir(tmp_path)
    pathlib.Path(name).mkdir()
    assert paths.expand(name, flag="data_dir") == name


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ("$NO_SUCH_NAME/x", "names the variable $NO_SUCH_NAME"),
        ("x/${NO_SUCH_NAME}", "names the variable ${NO_SUCH_NAME}"),
        ("~no_such_user/x", "names the home folder of an unknown user"),
    ],
)
def test_unknown_variable_or_user_is_an_error(given, named):
    with pytest.raises(errors.UserError) as raised:
        config.Config(output_dir=given)
    assert f"--output_dir ({given}) {named}" in str(raised.value)


def test_null_character_is_an_error():
    with pytest.raises(errors.UserError) as raised:
        config.Config(data_dir="a\0b")
    assert "--data_dir (a\\0b) holds a null character" in str(raised.value)


@pytest.mark.parametrize("name", config.PATH_FIELDS)
def test_every_path_of_a_configuration_is_expanded(name, monkeypatch):
    monkeypatch.setenv("HOME", "/home/ada")
    others = {"image_dir": "label_map_dir", "label_map_dir": "image_dir"}
    settings = {name: "~/x"}
    if name in others:
        settings[others[name]] = "y"
    expanded = getattr(config.Config(**settings), name)
    assert expanded == (("/home/ada/x",) if name == "input" else "/home/ada/x")


def test_paths_of_pathlib_are_taken():
    assert config.Config(data_dir=pathlib.Path("a/b")).data_dir == "a/b"
