"""Tests that results of different evaluations have different folders."""

import os
import shutil

import blobs
import pytest
import running
from PIL import Image

from segan_tf import records

pytestmark = pytest.mark.any_edition


@pytest.fixture
def run_copy(model_dir, tmp_path):
    """Returns a copy of the trained run that may be changed."""
    return shutil.copytree(model_dir, tmp_path / "run")


@pytest.fixture
def own(run_copy):
    """Evaluates the run itself; returns the content of its results."""
    assert evaluate(run_copy) == "evaluation_test"
    return (run_copy / "evaluation_test" / "results.json").read_bytes()


def evaluate(model_dir, *args):
    """Evaluates, and returns the name of the folder that is printed."""
    result = running.run("--mode=evaluate", f"--model_dir={model_dir}", *args)
    assert result.status == 0, result.err
    folder = result.out.splitlines()[-1].rpartition(" are in ")[2]
    assert os.path.dirname(folder) == str(model_dir)
    assert os.path.exists(os.path.join(folder, "results.json"))
    return os.path.basename(folder)


def test_each_difference_has_a_folder_of_its_own(
    run_copy, own, export_dir, tmp_path
):
    for name in ("a", "b"):
        blobs.write_pairs(str(tmp_path / name), 8)
    first, *_, last = sorted((tmp_path / "b" / "label_maps").iterdir())
    shutil.copy(first, last)
    float16 = os.path.join(export_dir, "segan_float16.tflite")
    none = os.path.join(export_dir, "segan_none.tflite")
    given = [
        ["--tta"],
        [f"--model={none}"],
        [f"--model={float16}"],
        [f"--model={none}", f"--data_dir={tmp_path / 'a'}", "--split=test"],
        [f"--data_dir={tmp_path / 'a'}", "--split=all"],
        [f"--data_dir={tmp_path / 'b'}", "--split=all"],
        ["--num_test=5"],
        ["--split=all", "--tta"],
    ]
    folders = [evaluate(run_copy, *args) for args in given]
    assert len(set(folders)) == len(given)
    for folder in folders:
        assert folder.startswith(("evaluation_test_", "evaluation_all_"))
        assert len(folder.rpartition("_")[2]) == 8
    results = run_copy / "evaluation_test" / "results.json"
    assert results.read_bytes() == own


def test_repeated_evaluation_replaces_its_own_results(run_copy, tmp_path):
    blobs.write_pairs(str(tmp_path / "other"), 8)
    first = evaluate(run_copy, f"--data_dir={tmp_path / 'other'}")
    (tmp_path / "other").rename(tmp_path / "moved")
    again = evaluate(run_copy, f"--data_dir={tmp_path / 'moved'}{os.sep}")
    assert first == again


def test_run_is_known_by_any_path(run_copy, own):
    link = run_copy.parent / "link"
    link.symlink_to(run_copy)
    assert evaluate(run_copy, f"--model={link}") == "evaluation_test"


def test_moved_data_of_the_run_are_its_own(run_copy, tmp_path):
    (run_copy / "drawn_lesions").rename(tmp_path / "moved")
    given = f"--data_dir={tmp_path / 'moved'}"
    assert evaluate(run_copy, given) == "evaluation_test"
    assert evaluate(run_copy, given, "--split=all") == "evaluation_all"


def test_part_of_the_runs_data_is_not_its_own(run_copy, own, tmp_path):
    folder = shutil.copytree(run_copy / "drawn_lesions", tmp_path / "part")
    trained = records.read(run_copy / "splits.json")["train"][0]
    (folder / "images" / f"{trained}.jpg").unlink()
    (folder / "label_maps" / f"{trained}.png").unlink()
    name = evaluate(run_copy, f"--data_dir={folder}")
    assert name.startswith("evaluation_test_")


def test_replacing_results_is_said(run_copy, own):
    again = running.run("--mode=evaluate", f"--model_dir={run_copy}")
    assert again.out.startswith(
        "note: this replaces the results of an equal evaluation in "
        f"{run_copy / 'evaluation_test'}\n"
    )


def test_moved_data_with_another_label_map_are_not_the_runs_own(
    run_copy, own, tmp_path
):
    folder = tmp_path / "moved" / "label_maps"
    (run_copy / "drawn_lesions").rename(tmp_path / "moved")
    for path in folder.iterdir():
        with Image.open(path) as label_map:
            label_map.transpose(Image.Transpose.FLIP_TOP_BOTTOM).save(path)
    name = evaluate(run_copy, f"--data_dir={tmp_path / 'moved'}", "--split=all")
    assert name.startswith("evaluation_all_")
