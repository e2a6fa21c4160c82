"""Tests that the pipeline writes what predict writes."""

import csv
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import running
from PIL import Image

from segan_tf.inference import prediction_inputs
from segan_tf.synthetic import lesions

pytestmark = pytest.mark.beam
pytest.importorskip("apache_beam", reason="scripts/test --all installs it")
import dicom_files  # noqa: E402
from highdicom import seg  # noqa: E402

from segan_tf.bulk import command  # noqa: E402
from segan_tf.config import PRETRAINED  # noqa: E402
from segan_tf.models import pretrained  # noqa: E402

ODD_NAMES = (
    "a.png",
    "sub folder/a.png",
    "sub.folder/a.b.c.png",
    "日本/ä ö.jpg",
    "日本/=1+1.png",
    "x/y/z/[a]*?.png",
)
IN_PROCESS = ("--direct_num_workers=1",)


def draw(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    drawn = lesions.draw_lesion(seed, 1, size=(60, 80)).image
    Image.fromarray(drawn).save(path)


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """Returns a folder of images, some of which cannot be read."""
    folder = tmp_path_factory.mktemp("archive")
    for number, name in enumerate(ODD_NAMES):
        draw(folder / name, number)
    for number in range(20):
        draw(folder / f"{number % 3}" / f"{number}.jpg", number)
    whole = (folder / "0" / "0.jpg").read_bytes()
    (folder / "cut.jpg").write_bytes(whole[:300])
    (folder / "empty.png").write_bytes(b"")
    (folder / "other.psd").write_bytes(b"8BPS and so on")
    (folder / "no ending").write_bytes(whole)
    (folder / "notes.txt").write_text("not an image")
    draw(folder / ".hidden" / "a.png", 1)
    draw(folder / "1" / ".a.png", 1)
    return folder


@pytest.fixture(scope="module")
def expected(archive, tmp_path_factory):
    """Returns the files that predict writes, by name."""
    output_dir = tmp_path_factory.mktemp("expected")
    predict(archive, output_dir)
    return contents(output_dir)


def predict(source, output_dir, *given):
    result = running.run(
        "--mode=predict",
        "--runtime=int8",
        f"--input={source}",
        f"--output_dir={output_dir}",
        *given,
    )
    assert "images have a label map" in result.out
    return result


def run(output_dir, *given):
    """Runs the pipeline in this process; returns the exit status."""
    flags = ["--runtime=int8", f"--output_dir={output_dir}", *IN_PROCESS]
    return command.run([*flags, *given])


def contents(folder):
    """Returns the content of each file, by its name; rows are sorted."""
    found = {}
    for path in folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            if path.suffix == ".csv":
                header, *rows = content.splitlines()
                content = [header, *sorted(rows)]
            found[path.relative_to(folder).as_posix()] = content
    return found


def read_table(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_two_workers_write_the_files_of_predict(archive, expected, tmp_path):
    done = subprocess.run(
        [
            *(sys.executable, "-m", "segan_tf.bulk", "--runtime=int8"),
            *(f"--input={archive}", f"--output_dir={tmp_path}"),
            "--direct_num_workers=2",
            "--direct_running_mode=multi_processing",
        ],
        env={**os.environ, "PYTHONPATH": str(running.ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1, done.stderr
    assert done.stdout.splitlines()[-1] == (
        f"26 of 30 images have a label map in {tmp_path}; failed.csv names the "
        "other 4"
    )
    found = contents(tmp_path)
    assert found == expected
    assert len(found["predictions.csv"]) == 1 + 26
    assert len(found["failed.csv"]) == 1 + 4
    assert "日本/ä ö_label_map.png" in found


def test_bundles_that_run_three_times_write_the_same(
    archive, expected, tmp_path
):
    status = run(
        tmp_path,
        f"--input={archive}/**",
        "--direct_runner_bundle_repeat=2",
        "--skip_bad_images",
    )
    assert status == 0
    assert contents(tmp_path) == expected


def test_second_pipeline_replaces_the_files(archive, expected, tmp_path):
    (tmp_path / "0").mkdir()
    old = tmp_path / "0" / "0_label_map.png"
    old.write_bytes(b"old")
    (tmp_path / "predictions.csv").write_text("old")
    run(tmp_path, f"--input={archive}")
    assert contents(tmp_path) == expected
    assert run(tmp_path, f"--input={archive}/0/*.jpg") == 0
    # Its ids begin at the folder before the pattern, and nothing failed.
    ids = [row["id"] for row in read_table(tmp_path / "predictions.csv")]
    assert sorted(ids) == sorted(map(str, range(0, 20, 3)))
    assert not (tmp_path / "failed.csv").exists()


def test_tables_are_those_of_the_shards_of_predict(archive, tmp_path):
    run(tmp_path / "found", f"--input={archive}", "--num_shards=3")
    for shard in range(3):
        part = ("--num_shards=3", f"--shard={shard}")
        predict(archive, tmp_path / "expected", *part)
    found = contents(tmp_path / "found")
    tables = {name for name in found if name.endswith(".csv")}
    assert {f"predictions-0000{n}-of-00003.csv" for n in range(3)} <= tables
    wanted = contents(tmp_path / "expected")
    assert {n: found[n] for n in tables} == {
        n: wanted[n] for n in wanted if n.endswith(".csv")
    }
    # Also where there are fewer images than tables.
    run(tmp_path / "one", f"--input={archive}/a.png", "--num_shards=3")
    found = contents(tmp_path / "one")
    sizes = [len(found[f"predictions-0000{n}-of-00003.csv"]) for n in range(3)]
    assert sorted(sizes) == [1, 1, 2]


def test_listed_images_have_the_ids_of_predict(archive, tmp_path):
    names = ["x/y/z/[a]*?.png", "1/1.jpg", "0/missing.jpg"]
    listed = tmp_path / "list.txt"
    lines = "".join(f"{archive}/{name}\r\n" for name in names)
    listed.write_text(f"\ufeff{lines}\n", encoding="utf-8")
    assert run(tmp_path / "out", f"--input_list={listed}") == 1
    ids = [row["id"] for row in read_table(tmp_path / "out/predictions.csv")]
    assert ids == ["1/1", "x/y/z/[a]*?"]
    (failed,) = read_table(tmp_path / "out/failed.csv")
    assert failed["file"] == f"{archive}/0/missing.jpg"
    assert "No such file" in failed["reason"]


# Of Beam's regular expression for "[[]".
@pytest.mark.filterwarnings("ignore:Possible nested set:FutureWarning")
def test_folder_whose_name_is_a_pattern_is_searched(archive, tmp_path):
    folder = tmp_path / "[2024] *"
    draw(folder / "sub" / "a.png", 0)
    assert run(tmp_path / "out", f"--input={folder}") == 0
    (row,) = read_table(tmp_path / "out" / "predictions.csv")
    assert row["id"] == "sub/a"
    one = f"--input={archive}/x/y/z/[a]*?.png"
    assert run(tmp_path / "out", one) == 0
    (row,) = read_table(tmp_path / "out" / "predictions.csv")
    assert row["id"] == "[a]*?"


def test_several_inputs_have_the_ids_of_predict(archive, tmp_path):
    given = (f"--input={archive}/0", f"--input={archive}/sub folder/a.png")
    run(tmp_path / "found", *given)
    running.run(
        *("--mode=predict", "--runtime=int8", *given),
        f"--output_dir={tmp_path}/expected",
    )
    assert contents(tmp_path / "found") == contents(tmp_path / "expected")


def test_name_that_is_not_utf8_is_a_failure(archive, tmp_path):
    source = bytes(archive / "a.png")
    folder = bytes(tmp_path)
    shutil.copy(source, folder + b"/a.png")
    shutil.copy(source, folder + b"/b\xff.png")
    assert run(tmp_path / "out", f"--input={tmp_path}") == 1
    (failed,) = read_table(tmp_path / "out" / "failed.csv")
    assert failed["file"] == f"{tmp_path}/b\\xff.png"
    (row,) = read_table(tmp_path / "out" / "predictions.csv")
    assert row["id"] == "a"


def test_images_that_would_write_the_same_files_fail(archive, tmp_path):
    for name in ("a.jpg", "a.png", "b.png"):
        shutil.copy(archive / "a.png", tmp_path / name)
    for _ in range(2):  # the label maps of the first are no images
        assert run(tmp_path / "out", f"--input={tmp_path}") == 1
    assert [
        row["id"] for row in read_table(tmp_path / "out" / "predictions.csv")
    ] == ["b"]
    failed = read_table(tmp_path / "out" / "failed.csv")
    assert [row["file"] for row in failed] == [
        str(tmp_path / "a.jpg"),
        str(tmp_path / "a.png"),
    ]
    assert all(
        row["reason"] == f"{tmp_path}/a.jpg and {tmp_path}/a.png would write "
        "the same files; rename one"
        for row in failed
    )


@pytest.fixture(scope="module")
def medical(tmp_path_factory):
    """Returns a folder with a DICOM image, its copy, another, and a PNG."""
    folder = tmp_path_factory.mktemp("medical") / dicom_files.NAME
    folder.mkdir()
    drawn = lesions.draw_lesion(0, 1, size=(60, 80)).image
    spaced = dicom_files.make(drawn, PixelSpacing=[0.5, 0.25])
    uid = dicom_files.save(folder / "IM0001", spaced)
    shutil.copy(folder / "IM0001", folder / "IM0002")
    dicom_files.save(folder / "b.dcm", dicom_files.make(drawn))
    (folder / "c.dcm").write_bytes(b"no DICOM")
    draw(folder / "d.png", 3)
    return folder, uid


def test_dicom_images_are_predicted_as_by_predict(medical, tmp_path):
    folder, uid = medical
    assert run(tmp_path / "found", f"--input={folder}/**") == 1
    predict(folder, tmp_path / "expected")
    found, expected = (
        contents(tmp_path / name) for name in ("found", "expected")
    )
    assert found.keys() == expected.keys()
    # A segmentation has new UIDs of its own each time.
    segmentation = f"{uid}_seg.dcm"
    assert np.array_equal(
        *(
            seg.segread(tmp_path / name / segmentation).pixel_array
            for name in ("found", "expected")
        )
    )
    for name in found:
        if not name.endswith("_seg.dcm"):
            assert found[name] == expected[name], name
    rows = {
        row["id"]: row
        for row in read_table(tmp_path / "found" / "predictions.csv")
    }
    area = int(rows[uid]["lesion_area_px"]) * 0.5 * 0.25
    assert float(rows[uid]["lesion_area_mm2"]) == pytest.approx(area)
    failed = read_table(tmp_path / "found" / "failed.csv")
    assert f"{uid}, copy 1" in [row["file"] for row in failed]
    names = [name for name in found if "c_" not in name]
    assert not any("Mustermann" in name for name in names)


def test_model_file_and_its_record_are_those_of_predict(archive, tmp_path):
    model = pretrained.find(PRETRAINED).tflite_path("int8")
    given = (f"--model={model}", "--overlays=none", "--tta")
    command.run(
        [
            *given,
            *IN_PROCESS,
            f"--input={archive}/0",
            f"--output_dir={tmp_path}/found",
        ]
    )
    running.run(
        *("--mode=predict", *given, f"--input={archive}/0"),
        f"--output_dir={tmp_path}/expected",
    )
    found = contents(tmp_path / "found")
    assert found == contents(tmp_path / "expected")
    assert "prediction.json" in found
    assert not any(name.endswith(".jpg") for name in found)


def test_shards_of_names_are_spread():
    shards = [prediction_inputs.shard_of(f"{n}", 4) for n in range(400)]
    assert all(60 < shards.count(shard) < 140 for shard in range(4))
