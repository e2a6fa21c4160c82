"""Tests of the JSON files of runs and models, of every format."""

import json
import os
import pathlib
import shutil

import pytest
import running

from segan_tf import labels, records, run_dir
from segan_tf.config import Config, UserError
from segan_tf.datasets import content, splits
from segan_tf.models import pretrained

BENCHMARKS = running.ROOT / "benchmarks"
READERS = {
    "flags.json": run_dir.read_flags,
    "splits.json": splits.read_split_ids,
    "pairs.json": content.read_record,
    "labels.json": lambda folder: run_dir.read_labels(Config(model_dir=folder)),
    "training.json": run_dir.read_training,
    "release.json": lambda folder: pretrained.Release(folder).config,
}
WRITERS = {
    "flags.json": lambda folder: run_dir.write_flags(
        Config(model_dir=folder), ["main.py"]
    ),
    "splits.json": lambda folder: splits.write_splits(
        splits.Splits((), (), ()), folder
    ),
    "pairs.json": lambda folder: content.write_record(
        content.make_record((), labels.LESION), folder
    ),
    "labels.json": lambda folder: run_dir.write_labels(labels.LESION, folder),
    "training.json": lambda folder: run_dir.write_training(folder, {}),
}


def committed(name):
    """Lists the committed results of earlier versions."""
    return [
        pytest.param(path, id=str(path.parent.relative_to(BENCHMARKS)))
        for path in sorted(BENCHMARKS.rglob(name))
    ]


def write_flags(folder, **settings):
    """Writes a flags.json without a format number."""
    path = folder / "flags.json"
    path.write_text(json.dumps({"flags": settings}), "utf-8")


@pytest.mark.parametrize("name", records.FORMATS)
def test_file_is_read_as_it_was_written(tmp_path, name):
    written = {"a": [1, 2.5], "b": {"c": None}}
    records.write(tmp_path / name, written)
    stored = json.loads((tmp_path / name).read_text("utf-8"))
    assert stored == {"format": records.FORMATS[name], **written}
    assert records.read(tmp_path / name) == written


@pytest.mark.parametrize("name", WRITERS)
def test_files_of_a_run_have_the_present_format_number(tmp_path, name):
    WRITERS[name](str(tmp_path))
    stored = json.loads((tmp_path / name).read_text("utf-8"))
    assert stored["format"] == records.FORMATS[name]
    READERS[name](str(tmp_path))  # raises nothing


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("number", [99, "3"])
def test_newer_format_is_one_clear_line(tmp_path, name, number):
    (tmp_path / name).write_text(json.dumps({"format": number}), "utf-8")
    with pytest.raises(UserError) as error:
        READERS[name](str(tmp_path))
    assert str(error.value) == (
        f"{tmp_path / name} has format {number}, and this version reads "
        f"formats up to {records.FORMATS[name]}; install a newer segan_tf."
    )


def test_newer_run_ends_the_program_with_one_line(tmp_path):
    (tmp_path / "flags.json").write_text('{"format": 99}', "utf-8")
    error = running.error_of("--mode=evaluate", f"--model_dir={tmp_path}")
    assert error.startswith(f"error: {tmp_path / 'flags.json'} has format 99,")


def test_file_without_a_number_has_the_first_format(tmp_path):
    (tmp_path / "results.json").write_text('{"image_count": 3}', "utf-8")
    assert records.read(tmp_path / "results.json") == {"image_count": 3}


def test_label_file_may_have_any_name(tmp_path):
    WRITERS["labels.json"](str(tmp_path))
    shutil.copy(tmp_path / "labels.json", tmp_path / "names.json")
    assert labels.read_labels(str(tmp_path / "names.json")).names == ("lesion",)


@pytest.mark.parametrize("path", committed("flags.json"))
def test_settings_of_earlier_runs_are_read(path, capsys):
    stored = json.loads(path.read_text("utf-8"))["flags"]
    config = run_dir.read_flags(str(path.parent))
    assert config.width == stored["width"]
    assert config.model_dir == str(path.parent)
    assert not config.given
    assert capsys.readouterr().out == ""  # every setting is known


@pytest.mark.parametrize("path", committed("results.json"))
def test_results_of_earlier_versions_are_read(path):
    results = records.read(path)
    assert 0 <= results["metrics"]["dice"]["mean"] <= 1
    assert results["image_count"] > 0


@pytest.mark.parametrize("path", committed("parity.json"))
def test_parity_records_of_earlier_versions_are_read(path):
    record = records.read(path)
    assert record.get("artifacts") or record["artefacts"]  # in format 1


@pytest.mark.parametrize(
    ("old", "new"), [("exclusive", "multiclass"), ("overlapping", "multilabel")]
)
def test_renamed_settings_and_values_are_read(tmp_path, old, new):
    write_flags(tmp_path, flips=True, label_kind=old)
    config = run_dir.read_flags(str(tmp_path))
    assert (config.tta, config.label_kind) == (True, new)


def test_unknown_setting_is_ignored_with_one_note(tmp_path, capsys):
    write_flags(tmp_path, width=2, widht=3)
    for _ in range(2):
        assert run_dir.read_flags(str(tmp_path)).width == 2
    path = os.path.join(tmp_path, "flags.json")
    assert capsys.readouterr().out == (
        f"note: {path} has the unknown setting widht, ignored\n"
    )


def test_released_model_names_the_present_format():
    folder = pathlib.Path(pretrained.find().folder)
    stored = json.loads((folder / "release.json").read_text("utf-8"))
    assert stored.get("format", 1) <= records.FORMATS["release.json"]
