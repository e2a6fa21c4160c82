"""Tests of predicting many images: workers, kill -9, resume and shards."""

import csv
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import running
from PIL import Image

from segan_tf.inference import prediction, prediction_files

pytestmark = pytest.mark.any_edition

COUNT = 120
ODD_NAMES = (
    "a.png",
    "=1.png",
    "sub folder/a.png",
    "sub.folder/a.b.c.png",
    "日本/ä ö.jpg",
    "日本/=1+1.png",
    "x/y/z/a.png",
)


def draw(path, seed, size=(64, 48)):
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    rough = rng.integers(60, 256, (6, 8, 3), np.uint8)
    Image.fromarray(rough).resize(size, Image.Resampling.BICUBIC).save(path)


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """Returns a folder of many small images, with odd names among them."""
    folder = tmp_path_factory.mktemp("archive")
    for number, name in enumerate(ODD_NAMES):
        draw(folder / name, number)
    for number in range(COUNT - len(ODD_NAMES)):
        draw(folder / f"{number % 3}" / f"{number}.jpg", number)
    return folder


@pytest.fixture(scope="module")
def expected(archive, tmp_path_factory):
    """Returns the files of a prediction in one process, by name."""
    output_dir = tmp_path_factory.mktemp("expected")
    result = predict(archive, output_dir, "--workers=1")
    assert f"{COUNT} of {COUNT} images have a label map" in result.out
    return contents(output_dir)


def command(archive, output_dir, *given):
    return [
        "--mode=predict",
        "--runtime=int8",
        f"--input={archive}",
        f"--output_dir={output_dir}",
        *given,
    ]


def predict(archive, output_dir, *given, status=0):
    result = running.run(*command(archive, output_dir, *given))
    assert result.status == status, result.err
    return result


def contents(folder):
    """Returns the content of each file, by its name in the folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def read_ids(path):
    with open(path, encoding="utf-8", newline="") as file:
        return [row["id"] for row in csv.DictReader(file)]


def test_output_has_the_names_and_subfolders_of_the_input(expected):
    for name in ODD_NAMES:
        stem = os.path.splitext(name)[0]
        assert f"{stem}_label_map.png" in expected
        assert f"{stem}_overlay.jpg" in expected
    ids = expected["predictions.csv"].decode().split("\n")
    assert any(line.startswith("sub folder/a,64,48,") for line in ids)
    assert any(line.startswith("x/y/z/a,64,48,") for line in ids)


def test_two_workers_write_the_same_files_as_one(archive, expected, tmp_path):
    predict(archive, tmp_path, "--workers=2")
    assert contents(tmp_path) == expected


def test_killed_prediction_goes_on_where_it_stopped(
    archive, expected, tmp_path
):
    """Kills one prediction with signal 9 five times, the last in its middle."""
    table = tmp_path / "predictions.csv"
    for rows in (-1, 0, 15, 40, 70):
        before = times_of_rows(tmp_path)
        kill_at(archive, tmp_path, rows)
        # Whole lines, and nothing that had a row was predicted again.
        if table.exists():
            assert table.read_bytes().endswith(b"\n")
            assert len(set(read_ids(table))) == len(read_ids(table))
        assert before.items() <= times_of_rows(tmp_path).items()
    before = times_of_rows(tmp_path)
    assert 70 <= len(before) < COUNT

    result = predict(archive, tmp_path, "--workers=2")

    assert f"{COUNT} of {COUNT} images have a label map" in result.out
    assert f"{len(before)} of them from before" in result.out
    assert before.items() <= times_of_rows(tmp_path).items()
    found = contents(tmp_path)
    assert set(found) == set(expected)  # no temporary files
    for name, content in expected.items():
        if name.endswith(".csv"):
            assert sorted(found[name].splitlines()) == sorted(
                content.splitlines()
            )
        else:
            assert found[name] == content


def times_of_rows(folder):
    """Returns when the label map of each row was written."""
    table = folder / "predictions.csv"
    if not table.exists():
        return {}
    names = [name.removeprefix("'") for name in read_ids(table)]
    return {
        name: (folder / f"{name}_label_map.png").stat().st_mtime_ns
        for name in names
    }


def kill_at(archive, folder, rows):
    """Starts a prediction and kills it when there are more rows than so many.

    Its workers end by themselves.
    """
    program = subprocess.Popen(
        [
            sys.executable,
            str(running.ROOT / "main.py"),
            *command(archive, folder, "--workers=2"),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    table = folder / "predictions.csv"
    deadline = time.monotonic() + 120
    while rows >= 0 and (
        not table.exists() or table.read_bytes().count(b"\n") - 1 <= rows
    ):
        assert program.poll() is None, "it ended before it was killed"
        assert time.monotonic() < deadline
        time.sleep(0.001)
    if rows < 0:
        time.sleep(0.1)  # while it starts
    program.kill()
    program.wait()
    wait_for_end(program.pid)


def wait_for_end(session):
    """Waits until all processes of a session have ended by themselves."""
    deadline = time.monotonic() + 60
    while any_of_session(session):
        assert time.monotonic() < deadline, "workers are left"
        time.sleep(0.01)


def any_of_session(session):
    """Tells whether a process of a session is left."""
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            return True
    return False


def test_killed_worker_is_replaced(archive, expected, tmp_path):
    program = subprocess.Popen(
        [
            sys.executable,
            str(running.ROOT / "main.py"),
            *command(archive, tmp_path, "--workers=2"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    table = tmp_path / "predictions.csv"
    while not table.exists() or table.read_bytes().count(b"\n") < 20:
        assert program.poll() is None
        time.sleep(0.001)
    children = pathlib.Path(f"/proc/{program.pid}/task/{program.pid}/children")
    os.kill(int(children.read_text().split()[-1]), signal.SIGKILL)
    out, _ = program.communicate()
    assert program.returncode == 0
    assert f"{COUNT} of {COUNT} images have a label map" in out
    assert contents(tmp_path) == expected


def test_part_of_a_row_is_removed_and_its_image_predicted(
    archive, expected, tmp_path
):
    predict(archive, tmp_path, "--workers=1")
    table = tmp_path / "predictions.csv"
    os.truncate(table, table.stat().st_size - 5)
    result = predict(archive, tmp_path)
    assert f"{COUNT - 1} of them from before" in result.out
    assert contents(tmp_path) == expected


@pytest.mark.parametrize("change", ["newer", "removed", "empty"])
def test_image_without_its_label_map_is_predicted_again(tmp_path, change):
    for number in range(3):
        draw(tmp_path / "in" / f"{number}.png", number)
    out = tmp_path / "out"
    predict(tmp_path / "in", out)
    before = contents(out)
    label_map = out / "1_label_map.png"
    if change == "newer":
        draw(tmp_path / "in" / "1.png", 7)
        later = label_map.stat().st_mtime_ns + 10**9
        os.utime(tmp_path / "in" / "1.png", ns=(later, later))
    elif change == "removed":
        label_map.unlink()
    else:
        label_map.write_bytes(b"")

    result = predict(tmp_path / "in", out)

    assert "2 of them from before" in result.out
    assert sorted(read_ids(out / "predictions.csv")) == ["0", "1", "2"]
    changed = {n for n, c in contents(out).items() if before[n] != c}
    expected = set()
    if change == "newer":
        expected = {"1_label_map.png", "1_overlay.jpg", "predictions.csv"}
    assert changed - {"predictions.csv"} == expected - {"predictions.csv"}


def test_other_images_are_added_to_the_table(tmp_path):
    for name in ("a/1.png", "b/2.png"):
        draw(tmp_path / name, 0)
    predict(tmp_path / "a", tmp_path / "out")
    predict(tmp_path / "b", tmp_path / "out")
    assert read_ids(tmp_path / "out" / "predictions.csv") == ["1", "2"]
    predict(tmp_path / "b", tmp_path / "out", "--noresume")
    assert read_ids(tmp_path / "out" / "predictions.csv") == ["2"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            ["--runtime=keras"],
            "with the model EfficientNet-Lite1 SegAN with styles, ",
        ),
        (["--tta"], "with the tta False, not True; give another folder, or "),
        (["--overlays=none"], "with the overlays jpeg, not none; give "),
    ],
)
def test_label_maps_of_other_settings_are_not_mixed(tmp_path, given, message):
    draw(tmp_path / "in" / "a.png", 0)
    predict(tmp_path / "in", tmp_path / "out")
    error = running.error_of(
        *command(tmp_path / "in", tmp_path / "out", *given)
    )
    assert message in error
    predict(tmp_path / "in", tmp_path / "out", "--noresume", *given)


def test_image_under_another_ending_is_predicted_with_a_note(tmp_path):
    for number in range(prediction.MAX_PRINTED + 2):
        draw(tmp_path / "in" / f"{number:02}.png", 0, size=(20, 16))
        (tmp_path / "in" / f"{number:02}.png").rename(
            tmp_path / "in" / f"{number:02}.heic"
        )
    result = predict(tmp_path / "in", tmp_path / "out")
    said = result.out.splitlines()
    notes = [line for line in said if "passed over" in line]
    assert len(notes) == prediction.MAX_PRINTED
    assert notes[0] == (
        f"note: {tmp_path}/in/00.heic holds a PNG and is read as one; its "
        "ending is passed over"
    )
    assert "note: further lines of this kind are left out" in said


def test_table_with_other_columns_is_not_continued(tmp_path):
    draw(tmp_path / "in" / "a.png", 0)
    predict(tmp_path / "in", tmp_path / "out")
    (tmp_path / "out" / "predictions.csv").write_text("id;width\na;1\n")
    error = running.error_of(*command(tmp_path / "in", tmp_path / "out"))
    assert "predictions.csv has other columns than this prediction" in error


def test_failures_are_listed_and_tried_again(tmp_path):
    draw(tmp_path / "in" / "a.png", 0)
    (tmp_path / "in" / "b").mkdir()
    bad = tmp_path / "in" / "b" / "x.png"
    bad.write_bytes(b"no image")
    (tmp_path / "in" / "c.heic").write_bytes(b"\0\0\0\x18ftypheic")
    out = tmp_path / "out"
    result = predict(tmp_path / "in", out, status=1)
    assert "1 of 3 images have a label map" in result.out
    assert result.out.endswith("failed.csv names the other 2\n")
    with open(out / "failed.csv", encoding="utf-8") as file:
        failed = {row["file"]: row["reason"] for row in csv.DictReader(file)}
    assert set(failed) == {str(bad), f"{tmp_path}/in/c.heic"}
    assert not (out / "b").exists()  # its folder may have a patient's name
    assert "is not a JPEG, PNG, BMP, TIFF" in failed[str(bad)]

    draw(bad, 1)
    predict(tmp_path / "in", out, "--skip_bad_images")
    with open(out / "failed.csv", encoding="utf-8") as file:
        assert [row["file"] for row in csv.DictReader(file)] == [
            f"{tmp_path}/in/c.heic"
        ]
    (tmp_path / "in" / "c.heic").unlink()
    predict(tmp_path / "in", out)
    assert not (out / "failed.csv").exists()


def test_shards_write_what_one_command_writes(archive, expected, tmp_path):
    rows = []
    for shard in range(3):
        predict(archive, tmp_path, "--num_shards=3", f"--shard={shard}")
        table = f"predictions-{shard:05d}-of-00003.csv"
        header, *lines = (tmp_path / table).read_bytes().splitlines()
        rows += lines
    all_header, *all_lines = expected["predictions.csv"].splitlines()
    assert header == all_header
    assert sorted(rows) == sorted(all_lines)
    found = contents(tmp_path)
    assert {n: c for n, c in found.items() if not n.endswith(".csv")} == {
        n: c for n, c in expected.items() if not n.endswith(".csv")
    }


def test_shard_must_be_one_of_the_shards(archive, tmp_path):
    given = command(archive, tmp_path, "--num_shards=3", "--shard=3")
    error = running.error_of(*given)
    assert "--shard (3) must be below --num_shards (3)." in error


@pytest.mark.parametrize(
    ("overlays", "endings"),
    [
        ("none", {".png"}),
        ("jpeg", {".png", ".jpg"}),
        ("png", {".png"}),
    ],
)
def test_overlays_are_of_the_given_format(
    tmp_path, overlays, endings, monkeypatch
):
    draw(tmp_path / "in" / "a.png", 0, size=(100, 60))
    monkeypatch.setattr(prediction_files, "JPEG_SIDE", 40)
    out = tmp_path / "out"
    predict(tmp_path / "in", out, f"--overlays={overlays}")
    written = {p.name: p for p in out.iterdir() if p.suffix in (".png", ".jpg")}
    assert {path.suffix for path in written.values()} == endings
    assert len(written) == (1 if overlays == "none" else 2)
    if overlays == "jpeg":  # a third, so that no side is above 40
        with Image.open(written["a_overlay.jpg"]) as image:
            assert image.size == (34, 20)
    if overlays == "png":
        with Image.open(written["a_overlay.png"]) as image:
            assert image.size == (100, 60)


def test_memory_stays_flat(tmp_path):
    draw(tmp_path / "in" / "a.png", 0)
    names = [tmp_path / "in" / f"{number}.png" for number in range(300)]
    for name in names:
        name.symlink_to(tmp_path / "in" / "a.png")
    code = """
import resource, sys, segan_tf
from segan_tf.inference import image_job
peaks = []
def count(self, source, old=image_job.ImageJob.__call__):
    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    return old(self, source)
image_job.ImageJob.__call__ = count
segan_tf.predict(segan_tf.Config(
    input=sys.argv[1], output_dir=sys.argv[2], runtime="int8", workers=1))
print("grown", peaks[-1] - peaks[50])
"""
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "in", tmp_path / "out"],
        capture_output=True,
        text=True,
        check=True,
    )
    grown_kib = int(done.stdout.rpartition("grown ")[2])
    assert grown_kib < 3000


@pytest.mark.parametrize("is_shard", [False, True])
def test_temporary_files_of_a_killed_prediction_are_removed(tmp_path, is_shard):
    draw(tmp_path / "in" / "sub" / "a.png", 0)
    left = tmp_path / "out" / "sub" / f".{'0' * 32}.tmp"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half a label map")
    for number in (0, 1) if is_shard else ():
        shard = f"--shard={number}"
        predict(tmp_path / "in", tmp_path / "out", "--num_shards=2", shard)
    if not is_shard:
        predict(tmp_path / "in", tmp_path / "out")
    # It may be the file of another shard, which is being written.
    assert left.exists() is is_shard


def test_interrupted_prediction_ends_with_its_workers(archive, tmp_path):
    with subprocess.Popen(
        [
            sys.executable,
            str(running.ROOT / "main.py"),
            *command(archive, tmp_path, "--workers=2", "--overlays=png"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A shell's background jobs, such as these tests, ignore Ctrl+C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as program:
        table = tmp_path / "predictions.csv"
        while not table.exists() or table.read_bytes().count(b"\n") < 2:
            assert program.poll() is None
            time.sleep(0.001)
        os.killpg(program.pid, signal.SIGINT)  # as Ctrl+C in a terminal
        out, err = program.communicate()
    assert program.returncode == 128 + signal.SIGINT
    assert f"of {COUNT} images are done; the same command goes on" in out
    assert "Traceback" not in err
    wait_for_end(program.pid)


def test_images_of_a_list_are_predicted(tmp_path):
    for name in ("x/a b.png", "y/ä.png", "y/c.png"):
        draw(tmp_path / name, 0)
    (tmp_path / "list.txt").write_text(
        f"{tmp_path}/x/a b.png\n{tmp_path}/y/ä.png\n{tmp_path}/gone.png\n",
        encoding="utf-8",
    )
    out = tmp_path / "out"
    result = running.run(
        "--mode=predict",
        "--runtime=int8",
        f"--input_list={tmp_path / 'list.txt'}",
        f"--output_dir={out}",
    )
    assert result.status == 1
    assert read_ids(out / "predictions.csv") == ["x/a b", "y/ä"]
    with open(out / "failed.csv", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert (
        row["reason"] == f"{tmp_path}/gone.png does not exist; check the path"
    )
