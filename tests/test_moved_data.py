"""Tests of runs whose data were moved, exchanged or edited since."""

import json
import os
import shutil

import numpy as np
import pytest
import running
from PIL import Image

from segan_tf import records
from segan_tf.synthetic import lesions

pytestmark = pytest.mark.any_edition

FLAGS = "--image_size=32", "--width=2", "--batch_size=4", "--noadversarial"
COUNT = 16  # 4 for testing, 1 for validation, 11 for training
MARK = "may include trained images"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Trains on the drawings in <folder>/data; returns the folder."""
    folder = tmp_path_factory.mktemp("moved")
    lesions.draw_folder(str(folder / "data"), count=COUNT, seed=3)
    result = running.run(*train(folder, folder / "data"))
    assert result.status == 0, result.err
    return folder


@pytest.fixture
def folder(trained, tmp_path):
    """Returns a copy of that folder that may be changed."""
    copy = shutil.copytree(trained, tmp_path / "copy")
    path = copy / "run" / "flags.json"
    path.write_text(path.read_text().replace(str(trained), str(copy)))
    return copy


def train(folder, data, *others):
    return (
        "--mode=train",
        *FLAGS,
        "--epochs=1",
        f"--data_dir={data}",
        f"--model_dir={folder / 'run'}",
        *others,
    )


def resume(folder, data, *others):
    return running.run(*train(folder, data, "--epochs=2", *others))


def evaluate(folder, *others):
    """Returns what is printed and the results."""
    result = running.run(
        "--mode=evaluate", f"--model_dir={folder / 'run'}", *others
    )
    assert result.status == 0, result.err
    report = result.out.splitlines()[-1].rpartition(" are in ")[2]
    return result.out, records.read(os.path.join(report, "results.json"))


def move(folder):
    """Moves the data of the run; returns where they are now."""
    return (folder / "data").rename(folder / "moved elsewhere")


def edit(path):
    """Draws a square into a label map."""
    with Image.open(path) as file:
        label_map = np.array(file)
    label_map[:9, :9] = 255 - label_map[:9, :9]
    Image.fromarray(label_map).save(path)


@pytest.mark.parametrize("named", ["{}", "{}/", "{}/../{name}", "link"])
def test_run_continues_on_its_data_under_another_name(named, folder):
    moved = move(folder)
    (folder / "link").symlink_to(moved)
    path = folder / named.format(moved, name=moved.name)
    if named.endswith("/"):
        path = f"{moved}/"

    result = resume(folder, path)

    assert result.status == 0, result.err
    assert "resuming at step 2 of 4" in result.out


def test_run_continues_with_its_list_of_test_ids_elsewhere(tmp_path):
    lesions.draw_folder(str(tmp_path / "data"), count=COUNT, seed=3)
    for name in ("before", "after"):
        (tmp_path / name).write_text("drawn_0000\ndrawn_0001\n")
    before, after = (f"--test_list={tmp_path / n}" for n in ("before", "after"))
    assert running.run(*train(tmp_path, tmp_path / "data", before)).status == 0

    result = resume(tmp_path, tmp_path / "data", after)

    assert result.status == 0, result.err
    assert "resuming" in result.out


@pytest.mark.parametrize("part", ["images", "label_maps"])
def test_run_does_not_continue_on_edited_files(part, folder):
    (path,) = (folder / "data" / part).glob("drawn_0003.*")
    edit(path)

    result = resume(folder, folder / "data")

    assert result.status == 1
    assert "with other images or label maps of 1 ids (drawn_0003)" in result.err
    assert result.err.count("\n") == 1


def test_run_does_not_continue_with_other_label_names(folder):
    result = resume(folder, folder / "data", "--label_names=nevus")
    assert result.status == 1
    assert "--label_names" in result.err or "names or values" in result.err


def test_error_says_how_to_name_the_place_of_moved_data(folder):
    shutil.rmtree(folder / "data")
    config = json.loads((folder / "run" / "flags.json").read_text())
    config["flags"]["data_dir"] = "gone"
    (folder / "run" / "flags.json").write_text(json.dumps(config))

    error = running.error_of("--mode=evaluate", f"--model_dir={folder / 'run'}")

    assert error == (
        "error: --data_dir (gone) does not exist; give the folder where it is "
        "now."
    )


def test_moved_data_keep_the_split_of_the_run(folder):
    _, expected = evaluate(folder)
    moved = move(folder)

    out, results = evaluate(folder, f"--data_dir={moved}")

    assert f"note: {COUNT} of the {COUNT} pairs found are those of" in out
    assert results["metrics"] == expected["metrics"]
    assert MARK not in out
    assert results["run"]["may_include_trained_images"] is False


def test_edited_label_maps_have_results_of_their_own(folder):
    _, own = evaluate(folder)
    test_id = records.read(folder / "run" / "splits.json")["test"][0]
    edit(folder / "data" / "label_maps" / f"{test_id}.png")

    _, edited = evaluate(folder)

    report = folder / "run" / "evaluation_test" / "results.json"
    assert records.read(report) == own
    assert edited["metrics"] != own["metrics"]


def test_part_of_the_data_keeps_the_split_of_the_run(folder):
    test_ids = records.read(folder / "run" / "splits.json")["test"]
    moved = move(folder)
    for part in ("images", "label_maps"):
        (gone,) = (moved / part).glob(f"{test_ids[0]}.*")
        gone.unlink()

    out, results = evaluate(folder, f"--data_dir={moved}")

    assert results["image_count"] == len(test_ids) - 1
    assert MARK not in out


def test_data_of_a_run_without_a_record_are_known_by_their_ids(folder):
    (folder / "run" / "pairs.json").unlink()
    _, expected = evaluate(folder)
    moved = move(folder)

    out, results = evaluate(folder, f"--data_dir={moved}")

    assert results["metrics"] == expected["metrics"]
    # Only their names are known.
    assert MARK in out


def test_trained_images_under_other_names_are_found(folder):
    data = folder / "data"
    for part in ("images", "label_maps"):
        for path in (data / part).iterdir():
            path.rename(path.with_name(path.name.replace("drawn", "new")))

    out, results = evaluate(folder, f"--data_dir={data}", "--split=all")

    assert "warning: 11 of the 16 pairs may be images" in out
    assert MARK in out
    assert results["run"]["may_include_trained_images"] is True


def test_other_images_under_the_names_of_the_run_are_marked(tmp_path, folder):
    lesions.draw_folder(str(tmp_path / "other"), count=COUNT, seed=4)

    out, results = evaluate(
        folder, f"--data_dir={tmp_path / 'other'}", "--split=all"
    )

    # They may be the same images, saved again.
    assert "warning: 16 of the 16 pairs may be images" in out
    assert results["run"]["may_include_trained_images"] is True


def test_other_data_are_not_marked(tmp_path, folder):
    lesions.draw_folder(str(tmp_path / "other"), count=8, seed=4)
    for part in ("images", "label_maps"):
        for path in (tmp_path / "other" / part).iterdir():
            path.rename(path.with_name(path.name.replace("drawn", "new")))

    out, results = evaluate(
        folder, f"--data_dir={tmp_path / 'other'}", "--split=all"
    )

    assert results["image_count"] == 8
    assert MARK not in out
    assert results["run"]["may_include_trained_images"] is False


def test_run_continues_without_the_run_that_it_started_from(folder):
    data = folder / "data"
    second = f"--model_dir={folder / 'second'}"
    start = f"--start_from={folder / 'run'}"
    assert running.run(*train(folder, data, second, start)).status == 0
    shutil.rmtree(folder / "run")

    results = [
        resume(folder, data, second),
        resume(folder, data, second, start, "--epochs=3"),
    ]

    for result in results:
        assert result.status == 0, result.err
        assert "resuming" in result.out


@pytest.mark.parametrize("text", ["", "[]", '{"format": 1, "pairs": 3}'])
def test_damaged_record_is_one_line(text, folder):
    (folder / "run" / "pairs.json").write_text(text)
    for result in (
        resume(folder, folder / "data"),
        running.run(
            "--mode=evaluate",
            f"--model_dir={folder / 'run'}",
            f"--data_dir={folder / 'data'}",
        ),
    ):
        assert result.status == 1
        assert "pairs.json cannot be understood" in result.err
        assert result.err.count("\n") == 1


def test_record_names_each_pair_with_its_files(folder):
    record = json.loads((folder / "run" / "pairs.json").read_text())
    assert len(record["pairs"]) == COUNT
    assert record["labels"]["names"] == ["lesion"]
    size = os.path.getsize(folder / "data" / "images" / "drawn_0000.jpg")
    assert record["pairs"]["drawn_0000"]["image"].startswith(f"{size}:")
