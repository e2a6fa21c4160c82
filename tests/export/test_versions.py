"""Tests of the version numbers of exports."""

import json

import pytest

from export import versions
from segan_tf.config import UserError


@pytest.fixture
def folder(tmp_path):
    """Makes a folder with the SavedModels 2 and 10, and TFLite models of 11."""
    for version in (2, 10):
        (tmp_path / "saved_model" / str(version)).mkdir(parents=True)
    (tmp_path / "saved_model" / ".unfinished-3").mkdir()
    write_model(tmp_path, "none", 11)
    return tmp_path


def write_model(folder, quantization, version):
    """Writes what stands for a TFLite model and its contract."""
    stem = folder / f"segan_{quantization}"
    stem.with_suffix(".tflite").write_text(f"model {version}")
    stem.with_suffix(".json").write_text(json.dumps({"version": version}))


def test_first_version_of_a_missing_folder_is_1(tmp_path):
    assert versions.choose(str(tmp_path / "none")) == 1


def test_next_version_is_above_all_that_are_there(folder):
    assert versions.choose(str(folder)) == 12
    (folder / "earlier" / "15").mkdir(parents=True)
    assert versions.choose(str(folder)) == 16
    (folder / "parity.json").write_text(json.dumps({"version": 20}))
    assert versions.choose(str(folder)) == 21
    (folder / "parity.json").write_text("damaged")
    assert versions.choose(str(folder)) == 16


def test_version_that_is_given_may_leave_numbers_out(folder):
    assert versions.choose(str(folder), 40) == 40


@pytest.mark.parametrize(
    ("version", "words"),
    [
        (10, "version 10 exists already at .*10; leave --export_version out"),
        (9, "holds version 10, .* not serve version 9; choose a higher"),
        (11, r"--export_version \(11\): .* holds version 11, .* out for 12"),
    ],
)
def test_version_that_is_not_above_the_others_is_an_error(
    folder, version, words
):
    with pytest.raises(UserError, match=words):
        versions.choose(str(folder), version)


def test_replaced_files_move_to_their_own_versions(folder):
    write_model(folder, "int8", 7)
    write_model(folder, "float16", 5)
    (folder / "parity.json").write_text(json.dumps({"version": 11}))
    (folder / "segan_dynamic.tflite").write_text("of no known version")

    versions.keep_earlier(
        str(folder),
        [
            "parity.json",
            "segan_dynamic.tflite",
            "segan_int8.tflite",
            "segan_int8.json",
            "segan_none.tflite",
            "segan_none.json",
        ],
    )

    earlier = folder / "earlier"
    moved = {str(path.relative_to(earlier)) for path in earlier.rglob("*.*")}
    assert moved == {
        "7/segan_int8.json",
        "7/segan_int8.tflite",
        "11/parity.json",
        "11/segan_none.json",
        "11/segan_none.tflite",
    }
    assert (earlier / "7" / "segan_int8.tflite").read_text() == "model 7"
    assert (folder / "segan_float16.tflite").exists()
    assert (folder / "segan_dynamic.tflite").exists()
