"""Tests that a run resumes with the pairs of its training, or not at all."""

import os
import shutil

import blobs
import pytest
import running
from PIL import Image

from segan_tf import decision
from segan_tf.datasets import content

pytestmark = pytest.mark.any_edition

FLAGS = (
    "--mode=train",
    "--image_size=16",
    "--width=1",
    "--batch_size=4",
    "--noadversarial",
    "--epochs=1",
)
DONE = "has all 1 epochs"  # what a run says that is found complete


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Trains a run, and one that starts from it; not to be changed."""
    folder = tmp_path_factory.mktemp("finished")
    blobs.write_pairs(str(folder / "data"), 12, size=20)
    for name, more in (("first", ()), ("second", (f"{folder / 'first'}",))):
        result = running.run(
            *FLAGS,
            f"--data_dir={folder / 'data'}",
            f"--model_dir={folder / name}",
            *(f"--start_from={start}" for start in more),
            *("--split_seed=1" for _ in more),
        )
        assert result.status == 0, result.err
    return folder, result.out


@pytest.fixture
def folder(finished, tmp_path):
    """Returns a copy of both runs and their data that may be changed."""
    return shutil.copytree(finished[0], tmp_path / "copy")


def resume(folder, data="data", *more, name="first"):
    return running.run(
        *FLAGS, f"--data_dir={data}", f"--model_dir={folder / name}", *more
    )


def test_same_data_elsewhere_resume_the_run(folder):
    data = folder / "data"
    (folder / "link").symlink_to(data)
    assert DONE in resume(folder, f"{data}/").out
    assert DONE in resume(folder, folder / "link").out
    shutil.move(data, folder / "moved")
    assert DONE in resume(folder, folder / "moved").out


def test_edited_label_map_is_named(folder):
    path = folder / "data" / "label_maps" / "blob_003.png"
    with Image.open(path) as image:
        image.point(lambda value: 255 - value).save(path)
    result = resume(folder, folder / "data")
    assert result.status == 1
    assert (
        "was trained with other images or label maps of 1 ids (blob_003); "
        "restore the files" in result.err
    )


def test_changed_image_is_named(folder):
    images = folder / "data" / "images"
    shutil.copy(images / "blob_001.png", images / "blob_005.png")
    result = resume(folder, folder / "data")
    assert result.status == 1
    assert "of 1 ids (blob_005)" in result.err


def test_missing_pair_is_an_error(folder):
    for name in ("images", "label_maps"):
        os.remove(folder / "data" / name / "blob_005.png")
    result = resume(folder, folder / "data")
    assert result.status == 1
    assert "was trained with other pairs than are found now" in result.err


def test_other_values_of_the_labels_are_an_error(folder):
    (folder / "data" / "labels.json").write_text('{"255": "lesion"}')
    result = resume(folder, folder / "data")
    assert result.status == 1
    assert "with other names or values of the labels (lesion)" in result.err


def test_run_without_a_record_compares_names_and_says_so(folder):
    os.remove(folder / "first" / "pairs.json")
    result = resume(folder, folder / "data")
    assert "only their names are compared" in result.out
    assert DONE in result.out
    assert content.read_record(str(folder / "first")) is not None


def test_damaged_record_is_one_line(folder):
    (folder / "first" / "pairs.json").write_text("{")
    result = resume(folder, folder / "data")
    assert result.status == 1
    assert "pairs.json cannot be understood" in result.err


@pytest.mark.parametrize("named", [True, False])
def test_run_resumes_when_the_run_it_started_from_is_gone(folder, named):
    first = str(folder / "first")
    # As the copied run recorded it.
    path = folder / "second" / "flags.json"
    original = path.read_text("utf-8").split('"start_from": "')[1]
    start = original.partition('"')[0]
    path.write_text(path.read_text("utf-8").replace(start, first), "utf-8")
    shutil.rmtree(first)
    more = (f"--start_from={first}",) * named
    result = resume(
        folder, folder / "data", "--split_seed=1", *more, name="second"
    )
    assert DONE in result.out
    assert content.read_record(str(folder / "second")).earlier


def test_pairs_that_the_start_was_trained_on_are_named(finished):
    folder, out = finished
    seen = content.read_trained_images(str(folder / "first"))
    record = content.read_record(str(folder / "second"))
    assert record.earlier == seen
    assert "for validation and testing are images that --start_from was" in out


def test_new_run_needs_what_it_starts_from(folder):
    result = resume(
        folder, folder / "data", f"--start_from={folder / 'gone'}", name="third"
    )
    assert result.status == 1
    assert "--start_from" in result.err


@pytest.mark.parametrize(
    "name",
    [
        f".{32 * 'a'}.tmp",
        f"checkpoints/best/checkpoint.tmp{32 * 'a'}",
        "checkpoints/best/ckpt-3.index",
        "checkpoints/last/ckpt-3.data-00000-of-00001",
    ],
)
def test_what_a_killed_training_left_is_removed(folder, name):
    (folder / "first" / name).write_bytes(b"half")
    assert DONE in resume(folder, folder / "data").out
    assert not (folder / "first" / name).exists()


def test_decision_of_earlier_weights_is_warned_of(folder):
    path = decision.path_in(folder / "first")
    decision.write_file(decision.Decision((0.3,)), path)
    data = folder / "data"
    assert "was fitted to the weights" not in resume(folder, data).out
    result = resume(folder, data, "--epochs=2")
    assert result.status == 0, result.err
    assert (
        f"warning: {path} was fitted to the weights of an earlier step; run "
        "--mode=calibrate again, or remove it" in result.out
    )
