"""Tests of writing files atomically."""

import errno
import json
import os
import pathlib

import numpy as np
import pytest

from segan_tf import files
from segan_tf.errors import UserError


def test_text_is_written_as_utf8_with_its_line_ends(tmp_path):
    path = tmp_path / "note.txt"
    files.write_text(path, "läsion\r\nzwei\n")
    assert path.read_bytes() == "läsion\r\nzwei\n".encode()


def test_an_old_file_is_replaced_and_nothing_else_is_left(tmp_path):
    path = tmp_path / "model.bin"
    files.write_bytes(path, b"old and longer")
    files.write_bytes(path, b"new")
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["model.bin"]


def test_a_bare_file_name_is_in_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files.write_text("note.txt", "here")
    assert (tmp_path / "note.txt").read_text() == "here"


def test_a_name_as_long_as_allowed_is_written(tmp_path):
    path = tmp_path / ("n" * 255)
    files.write_text(path, "long")
    assert path.read_text() == "long"


def test_a_file_is_as_readable_as_any_other(tmp_path):
    plain, path = tmp_path / "plain", tmp_path / "written"
    plain.write_text("")
    files.write_text(path, "")
    assert path.stat().st_mode == plain.stat().st_mode


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, ""), KeyboardInterrupt]
)
def test_a_failed_write_keeps_the_old_file_and_leaves_no_other(
    tmp_path, monkeypatch, step, error
):
    path = tmp_path / "results.json"
    path.write_text("old")

    def fail(*_):
        raise error

    monkeypatch.setattr(os, step, fail)
    with pytest.raises((OSError, KeyboardInterrupt)):
        files.write_text(path, "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["results.json"]


def test_a_missing_folder_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="No such file"):
        files.write_text(tmp_path / "nowhere" / "note.txt", "")


def test_json_takes_numpy_numbers_arrays_and_paths(tmp_path):
    path = tmp_path / "results.json"
    files.write_json(
        path,
        {
            "half": np.float32(0.5),
            "count": np.int64(3),
            "sizes": (np.array([1, 2]), [True, None]),
            "checkpoint": pathlib.PurePosixPath("runs/a"),
        },
    )
    assert json.loads(path.read_text()) == {
        "half": 0.5,
        "count": 3,
        "sizes": [[1, 2], [True, None]],
        "checkpoint": "runs/a",
    }


def test_json_has_null_where_a_number_is_not_finite(tmp_path):
    path = tmp_path / "results.json"
    files.write_json(
        path, [float("nan"), np.float32("inf"), np.array([np.nan])]
    )
    assert json.loads(path.read_text()) == [None, None, [None]]


def test_object_without_a_json_form_leaves_the_old_file(tmp_path):
    path = tmp_path / "results.json"
    files.write_json(path, {"a": 1})
    with pytest.raises(TypeError, match="not JSON serializable"):
        files.write_json(path, {"a": object()})
    assert json.loads(path.read_text()) == {"a": 1}


def test_a_failed_write_can_be_reported_as_a_user_error(tmp_path):
    path = tmp_path / "nowhere" / "note.txt"
    message = (
        r"note\.txt cannot be written \(No such file.*\); check the folder"
    )
    with (
        pytest.raises(UserError, match=message),
        files.reported_write_errors(path),
    ):
        files.write_text(path, "")


def test_names_in_any_encoding_are_written_and_read_back(tmp_path):
    path = tmp_path / "names.json"
    # Of UTF-8 bytes in an ASCII locale, of a Latin-1 byte, and of no byte.
    names = ["l\udcc3\udca9sion", "l\udce9sion", "l\ud800sion", "\\udce9"]

    files.write_json(path, names)

    assert json.loads(path.read_text(encoding="utf-8")) == [
        "l\xe9sion",
        *names[1:],
    ]
