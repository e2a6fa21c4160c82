"""Tests of finding the images to predict."""

import os
import re

import pytest

from segan_tf import config
from segan_tf.inference import prediction_inputs

pytestmark = pytest.mark.any_edition


def write(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def find(*given, **more):
    """Finds images; returns their ids and what is not read."""
    found = prediction_inputs.find([str(path) for path in given], **more)
    for source in found.images:
        assert os.path.splitext(source.path)[0].endswith(source.id)
    return [source.id for source in found.images], found.unread


def test_input_may_be_a_single_image(tmp_path):
    write(tmp_path, "a.b.jpg")
    assert find(tmp_path / "a.b.jpg") == (["a.b"], {})


def test_subfolders_are_searched_after_the_files_of_a_folder(tmp_path):
    write(
        tmp_path,
        "b.png",
        "a.jpg",
        "c.BMP",
        "notes.txt",
        "._a.jpg",
        ".hidden/a.png",
        "2 x/ä.ö/a.png",
        "2 x/a.png",
        "1/a.png",
        "aa/a.png",
    )
    ids, unread = find(tmp_path)
    assert ids == ["a", "b", "c", "1/a", "2 x/a", "2 x/ä.ö/a", "aa/a"]
    assert unread == {}


def test_ending_is_in_the_ids_of_images_that_differ_by_it(tmp_path):
    write(tmp_path, "a.jpg", "a.png", "b.png", "c/a.png")
    images = prediction_inputs.find([str(tmp_path)]).images
    assert [one.id for one in images] == ["a.jpg", "a.png", "b", "c/a"]


def test_several_inputs_are_named_from_their_common_folder(tmp_path):
    write(tmp_path, "x/1/a.png", "x/2/a.png", "x/2/b.png", "x/3/a.png")
    ids, _ = find(
        tmp_path / "x" / "1", tmp_path / "x" / "2" / "b.png", tmp_path / "x/2"
    )
    assert ids == ["1/a", "2/b", "2/a"]


def test_relative_input_keeps_its_form(tmp_path, monkeypatch):
    write(tmp_path, "x/1/a.png")
    monkeypatch.chdir(tmp_path / "x")
    found = prediction_inputs.find(["../x/1"])
    assert found.images == [("a", "../x/1/a.png", False)]


def test_list_names_files_and_folders(tmp_path):
    write(tmp_path, "x/1/a.png", "x/2/a b.png", "x/2/c.png")
    listed = tmp_path / "list.txt"
    lines = [f"{tmp_path}/x/1", "", f"{tmp_path}/x/2/a b.png", f"{tmp_path}/no"]
    listed.write_text("\r\n".join(lines), encoding="utf-8-sig")
    ids, unread = find(list_path=str(listed))
    assert ids == ["x/1/a", "x/2/a b"]
    assert unread == {
        f"{tmp_path}/no": f"{tmp_path}/no does not exist; check the path"
    }


def test_output_inside_the_input_is_not_searched(tmp_path):
    write(tmp_path, "a.png", "out/a_overlay.jpg", "in/b.png")
    ids, _ = find(tmp_path, output_dir=str(tmp_path / "out"))
    assert ids == ["a", "in/b"]


def test_links_are_followed_but_not_in_circles(tmp_path):
    write(tmp_path, "elsewhere/b.png", "in/1/a.png")
    (tmp_path / "in" / "2").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in" / "1" / "up").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "self").symlink_to(tmp_path / "in" / "self")
    (tmp_path / "in" / "gone.png").symlink_to(tmp_path / "gone.png")
    ids, unread = find(tmp_path / "in")
    assert ids == ["gone", "1/a", "2/b"]  # the first fails when it is read
    (reason,) = unread.values()
    assert reason.startswith(f"{tmp_path}/in/1/up is a link to a folder that ")


@pytest.mark.skipif(os.getuid() == 0, reason="root may read everything")
def test_folder_without_permission_is_named(tmp_path):
    write(tmp_path, "a.png", "no/b.png")
    (tmp_path / "no").chmod(0)
    ids, unread = find(tmp_path)
    assert ids == ["a"]
    assert "cannot be read (Permission denied)" in unread[f"{tmp_path}/no"]


def test_folder_that_cannot_be_listed_is_named(tmp_path, monkeypatch):
    write(tmp_path, "a.png", "no/b.png")
    real = os.scandir

    def scandir(path):
        if str(path).endswith("no"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    ids, unread = find(tmp_path)
    assert ids == ["a"]
    assert "cannot be read (Permission denied)" in unread[f"{tmp_path}/no"]


def test_files_of_other_formats_are_named(tmp_path):
    write(tmp_path, "a.png", "b/c.jxl", "b/notes.csv")
    (tmp_path / "b" / "scan").write_bytes(b"II*\0")
    ids, unread = find(tmp_path)
    assert ids == ["a"]
    assert sorted(unread) == [f"{tmp_path}/b/c.jxl", f"{tmp_path}/b/scan"]


def test_shards_divide_all_images_and_failures(tmp_path):
    names = [f"{i % 7}/{i}.png" for i in range(400)]
    write(tmp_path, *names, *(f"{i}.jxl" for i in range(100)))
    inputs = prediction_inputs.find([str(tmp_path)])
    parts = [prediction_inputs.take_shard(inputs, i, 4) for i in range(4)]
    everything = [source for part in parts for source in part.images]
    assert sorted(everything) == sorted(inputs.images)
    assert len(everything) == 400
    assert all(70 < len(part.images) < 130 for part in parts)
    assert sum(len(part.unread) for part in parts) == 100
    # A part keeps its images when others are added.
    write(tmp_path, "0/new.png", "another.png")
    more = prediction_inputs.find([str(tmp_path)])
    for shard, part in enumerate(parts):
        now = prediction_inputs.take_shard(more, shard, 4)
        assert set(part.images) <= set(now.images)


def test_error_names_the_missing_input(tmp_path):
    path = tmp_path / "nowhere"
    message = rf"--input \({re.escape(str(path))}\) is neither an image nor"
    with pytest.raises(config.UserError, match=message):
        find(path)


def test_error_names_the_folder_without_images(tmp_path):
    (tmp_path / "notes.txt").write_text("none")
    message = rf"--input \({re.escape(str(tmp_path))}\) holds no JPEG, PNG"
    with pytest.raises(config.UserError, match=message):
        find(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "cannot be read"), ("", "names no image"), ("/x", "holds no JPEG")],
)
def test_error_names_the_list(tmp_path, content, message):
    path = tmp_path / "list.txt"
    if content is not None:
        path.write_text(content)
    with pytest.raises(
        config.UserError, match=rf"--input_list \({path}\) {message}"
    ):
        find(list_path=str(path))


def test_folder_of_unread_images_alone_says_why(tmp_path):
    write(tmp_path, "b.jxl")
    with pytest.raises(config.UserError, match=r"\(1 not read: .*b\.jxl"):
        find(tmp_path)


def test_pipe_is_named_and_never_opened(tmp_path):
    write(tmp_path, "a.png")
    for name in ("x.png", "y.jxl"):
        os.mkfifo(tmp_path / name)
    ids, unread = find(tmp_path)
    assert ids == ["a"]
    assert len(unread) == 2
