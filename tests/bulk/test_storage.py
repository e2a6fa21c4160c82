"""Tests of files in other file systems, with one in memory."""

import pathlib

import pytest
from PIL import Image

from segan_tf.errors import UserError
from segan_tf.synthetic import lesions

pytestmark = pytest.mark.beam
pytest.importorskip("apache_beam", reason="scripts/test --all installs it")
import memory_files  # noqa: E402
from apache_beam.io import filesystems  # noqa: E402

from segan_tf.bulk import command, storage  # noqa: E402
from segan_tf.models import pretrained  # noqa: E402


@pytest.fixture(autouse=True)
def stored():
    """Returns the files in memory, which are removed again."""
    yield memory_files.FILES
    memory_files.FILES.clear()


@pytest.fixture
def image(tmp_path):
    """Returns the content of a PNG."""
    path = tmp_path / "drawn.png"
    drawn = lesions.draw_lesion(0, 1, size=(60, 80)).image
    Image.fromarray(drawn).save(path)
    return path.read_bytes()


def test_images_and_model_are_read_from_and_written_to_another_file_system(
    stored, image
):
    model = pathlib.Path(pretrained.find("pretrained").tflite_path("int8"))
    stored["mem://models/a.tflite"] = model.read_bytes()
    stored["mem://images/sub/a.png"] = image
    stored["mem://images/b.png"] = image[:100]
    stored["mem://images/c.xyz"] = b"no image"
    stored["mem://images/d.png"] = None
    flags = (
        "--model=mem://models/a.tflite",
        "--input=mem://images/",
        "--output_dir=mem://results/one",
        "--direct_num_workers=1",
    )
    for _ in range(2):  # the second has to replace files
        assert command.run(flags) == 1
        results = "mem://results/one/"
        assert {
            path.removeprefix(results)
            for path in stored
            if path.startswith(results)
        } == {
            "sub/a_label_map.png",
            "sub/a_overlay.jpg",
            "predictions.csv",
            "failed.csv",
            "prediction.json",
        }
        (row,) = stored[f"{results}predictions.csv"].splitlines()[1:]
        assert row.startswith(b"sub/a,80,60,")
        damaged, denied = stored[f"{results}failed.csv"].splitlines()[1:]
        assert damaged.startswith(b"mem://images/b.png,mem://images/b.png is d")
        assert denied.startswith(
            b"mem://images/d.png,mem://images/d.png cannot"
        )
        record = stored[f"{results}prediction.json"]
        assert b'"model": "mem://models/a.tflite"' in record


def test_file_stays_when_its_replacement_cannot_be_written(
    tmp_path, monkeypatch
):
    folder = storage.Folder(str(tmp_path))
    folder.write("sub/a.txt", b"old")

    def fail(*_):
        raise OSError("no room")

    with monkeypatch.context() as patch:
        patch.setattr(filesystems.FileSystems, "rename", fail)
        with pytest.raises(OSError, match="no room"):
            folder.write("sub/a.txt", b"new")
    assert (tmp_path / "sub" / "a.txt").read_bytes() == b"old"
    folder.remove_temporary()
    assert [path.name for path in tmp_path.rglob("*")] == ["sub", "a.txt"]


def test_compressed_files_are_copied_as_they_are(stored):
    stored["mem://images/a.nii.gz"] = b"\x1f\x8b packed"
    with storage.local_copy("mem://images/a.nii.gz") as copy:
        assert pathlib.Path(copy).name == "a.nii.gz"
        assert pathlib.Path(copy).read_bytes() == b"\x1f\x8b packed"


def test_unreadable_file_is_named(stored):
    with pytest.raises(UserError, match="mem://images/a.png cannot be read"):
        storage.read("mem://images/a.png")


@pytest.mark.parametrize(
    ("paths", "folder"),
    [
        (["/a/b/c.png"], "/a/b"),
        (["/a/b/c.png", "/a/bc/d.png"], "/a"),
        (["/a/b.png", "/c/d.png"], ""),
        (["gs://a/b/c.png", "gs://a/d.png"], "gs://a"),
    ],
)
def test_common_folder(paths, folder):
    assert storage.common_folder(paths) == folder


@pytest.mark.parametrize(
    "paths",
    [["gs://a/b.png", "/a/b.png"], ["gs://a/b.png", "gs://c/b.png"]],
)
def test_images_of_two_file_systems_have_no_common_folder(paths):
    with pytest.raises(UserError, match="several file systems"):
        storage.common_folder(paths)
