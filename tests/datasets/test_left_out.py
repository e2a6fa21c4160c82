"""Tests that no file is left out in silence, and that advice works."""

import os

import pytest
import running
from PIL import Image

from segan_tf import config, console
from segan_tf.datasets import loading, pairs
from segan_tf.imaging import formats, images

SIDE = 20


def draw(folder, *names, value=128):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        image = Image.new("L", (SIDE, SIDE), value)
        image.paste(0, (0, 0, SIDE // 2, SIDE))
        image.save(path, format="PNG")
    return folder


def draw_pairs(folder, count):
    for i in range(count):
        draw(folder, f"images/p{i}.png", f"masks/p{i}.png")
    return folder


@pytest.mark.parametrize(
    "ending",
    ["jxl", "jxr", "psd", "nii"],
)
def test_image_of_an_ending_that_is_not_read_is_named(tmp_path, ending):
    draw_pairs(tmp_path, 2)
    path = tmp_path / "images" / f"x.{ending}"
    path.write_bytes(b"whatever")
    (problem,) = pairs.find_pairs(str(tmp_path)).problems
    assert problem.startswith(f"{path} is not used: only JPEG, PNG, BMP")


@pytest.mark.parametrize("ending", ["jxl", "img", "webp", "dcm"])
def test_image_under_the_name_of_another_format_is_read(tmp_path, ending):
    draw_pairs(tmp_path, 2)
    draw(tmp_path, f"images/x.{ending}", "masks/x.png")
    found = pairs.find_pairs(str(tmp_path))
    assert found.problems == ()
    assert [pair.id for pair in found.pairs] == ["p0", "p1", "x"]
    path = found.pairs[2].image_path
    assert images.read_image(path)[0, 0].tolist() == [0, 0, 0]
    assert images.read_image(path)[-1, -1].tolist() == [128, 128, 128]


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"\xff\xd8\xff\xe0", "JPEG"),
        (b"\x89PNG\r\n\x1a\n", "PNG"),
        (b"BM" + bytes(12), "BMP"),
        (b"II*\0", "TIFF"),
        (b"GIF89a", "GIF"),
        (b"RIFF1234WEBP", "WEBP"),
        (b"\0\0\0\x20ftypavif", "AVIF"),
        (b"\0\0\0\x20ftypheic", "HEIF"),
    ],
)
def test_image_is_known_by_its_content_and_told_how_to_rename(
    tmp_path, content, name
):
    path = tmp_path / "scan.001"
    path.write_bytes(content)
    reason = formats.unread_reason(path)
    assert f"it holds a {name}, but its name does not say so" in reason


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\x0a",
        bytes(344) + b"n+1\0",
        b"8BPS",
    ],
)
def test_foreign_image_is_known_by_its_content(tmp_path, content):
    path = tmp_path / "scan"
    path.write_bytes(content)
    assert "only JPEG, PNG, BMP" in formats.unread_reason(path)


@pytest.mark.parametrize("content", [b"", b"BMI: 20 kg", b"id,group\n", b"II"])
def test_other_files_are_no_images(tmp_path, content):
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    assert formats.unread_reason(path) == ""


def test_predict_names_what_it_does_not_read(tmp_path):
    draw(tmp_path, "in/a.png", "in/more/c.png", "in/out/d.png")
    (tmp_path / "in" / "b.jxl").write_bytes(b"\xff\n and more")
    (tmp_path / "in" / "notes.txt").write_text("no image")
    (tmp_path / "in" / "empty").mkdir()
    result = running.run(
        "--mode=predict",
        "--model=pretrained",
        f"--input={tmp_path / 'in'}",
        f"--output_dir={tmp_path / 'in' / 'out'}",
    )
    assert result.status == 1
    said = result.out + result.err
    assert f"skipped: {tmp_path}/in/b.jxl is not used" in said
    assert "notes" not in said
    assert "empty" not in said
    assert "2 of 3 images have a label map" in said
    assert (tmp_path / "in" / "out" / "more" / "c_label_map.png").exists()


def test_pipe_is_named_and_never_opened(tmp_path):
    draw_pairs(tmp_path, 2)
    for name in ("images/x.png", "images/y.jxl", "masks/z"):
        os.mkfifo(tmp_path / name)
    problems = pairs.find_pairs(str(tmp_path)).problems
    assert len(problems) == 3
    assert all("it is a named pipe" in problem for problem in problems)
    with pytest.raises(config.UserError, match="it is a named pipe, not a"):
        images.read_image(tmp_path / "images" / "x.png")


@pytest.mark.parametrize("flag", ["test_list", "groups", "label_names"])
def test_pipe_in_place_of_a_list_is_an_error(tmp_path, flag):
    draw_pairs(tmp_path / "d", 4)
    path = tmp_path / "list.json"
    os.mkfifo(path)
    run = config.Config(data_dir=str(tmp_path / "d"), **{flag: str(path)})
    with pytest.raises(config.UserError, match="it is a named pipe, not a"):
        loading.load_splits(
            run, loading.load_labels(run), progress=console.no_bar
        )


def test_images_above_the_folder_of_images_are_noted(tmp_path):
    draw_pairs(tmp_path, 2)
    draw(tmp_path, "x.png")
    (note,) = pairs.find_pairs(str(tmp_path)).notes
    assert "1 images in" in note
    assert "x.png" in note


def test_folders_of_equal_names_are_not_to_be_moved_over_each_other(tmp_path):
    draw_pairs(tmp_path, 2)
    draw(
        tmp_path, "masks/lesion/a.png", "masks/hair/a.png", "masks/deep/x/b.png"
    )
    deep, hair, lesion = pairs.find_pairs(str(tmp_path)).problems
    assert deep.endswith(f"move them to {tmp_path}/masks")
    for problem, name in ((hair, "hair"), (lesion, "lesion")):
        assert problem.endswith(
            f"rename each while moving it, to {tmp_path}/masks/a_{name}.png"
        )


def test_bad_pair_of_the_test_list_is_left_out_on_request(tmp_path):
    folder = draw_pairs(tmp_path / "d", 8)
    (folder / "images" / "p1.png").write_bytes(b"")
    os.remove(folder / "masks" / "p2.png")
    (tmp_path / "list.txt").write_text("p0\np1\np2\n")
    said = []
    run = config.Config(
        data_dir=str(folder),
        test_list=str(tmp_path / "list.txt"),
        skip_bad_pairs=True,
    )
    divided = loading.load_splits(run, progress=console.no_bar, say=said.append)
    assert [pair.id for pair in divided.test] == ["p0"]
    assert any("names 2 ids (p1, p2) of pairs that cannot" in s for s in said)


def test_list_of_bad_pairs_alone_is_an_error(tmp_path):
    folder = draw_pairs(tmp_path / "d", 8)
    (folder / "images" / "p1.png").write_bytes(b"")
    (tmp_path / "list.txt").write_text("p1\n")
    run = config.Config(
        data_dir=str(folder),
        test_list=str(tmp_path / "list.txt"),
        skip_bad_pairs=True,
    )
    with pytest.raises(config.UserError, match="names no id"):
        loading.load_splits(run, progress=console.no_bar, say=lambda _: None)


def test_line_that_is_an_id_is_not_cut_at_a_comment(tmp_path):
    folder = draw_pairs(tmp_path / "d", 4)
    names = ("a", "a #1", "#b")
    for name in names:
        draw(folder, f"images/{name}.png", f"masks/{name}.png")
    listed = tmp_path / "list.txt"
    listed.write_text("# comment\na #1\n#b\np0 # the first\n\n")
    run = config.Config(data_dir=str(folder), test_list=str(listed))
    divided = loading.load_splits(run, progress=console.no_bar)
    assert [pair.id for pair in divided.test] == ["#b", "a #1", "p0"]


@pytest.mark.parametrize("place", ["", "images", "masks"])
def test_labels_file_is_found_in_the_folders_of_the_pairs(tmp_path, place):
    draw_pairs(tmp_path, 4)
    (tmp_path / place / "labels.json").write_text('{"128": "nodule"}')
    run = config.Config(data_dir=str(tmp_path))
    assert loading.load_labels(run).names == ("nodule",)
    folders = config.Config(
        image_dir=str(tmp_path / "images"),
        label_map_dir=str(tmp_path / "masks"),
    )
    if place:
        assert loading.load_labels(folders).names == ("nodule",)


def test_two_labels_files_are_an_error(tmp_path):
    draw_pairs(tmp_path, 4)
    for place in ("images", "masks"):
        (tmp_path / place / "labels.json").write_text('{"128": "nodule"}')
    with pytest.raises(config.UserError, match="choose with --label_names"):
        loading.load_labels(config.Config(data_dir=str(tmp_path)))


def test_too_few_groups_say_how_many_are_needed(tmp_path):
    folder = draw_pairs(tmp_path / "d", 6)
    groups = tmp_path / "groups.csv"
    groups.write_text(
        "id,group\n" + "".join(f"p{i},{i % 2}\n" for i in range(6))
    )
    run = config.Config(data_dir=str(folder), groups=str(groups))
    with pytest.raises(
        config.UserError, match=r"has 2 group.+ at least 3 groups are needed"
    ):
        loading.load_splits(run, progress=console.no_bar)


def test_folders_inside_folders_are_part_of_the_new_names(tmp_path):
    draw_pairs(tmp_path, 2)
    draw(tmp_path, "masks/hair/x/a.png", "masks/hair/y/a.png")
    (problem,) = pairs.find_pairs(str(tmp_path)).problems
    assert problem.endswith(f"to {tmp_path}/masks/a_hair_x.png")


def test_new_name_that_is_taken_is_said(tmp_path):
    draw_pairs(tmp_path, 2)
    draw(tmp_path, *(f"masks/{n}.png" for n in ("hair/a", "skin/a", "a_hair")))
    hair, skin = pairs.find_pairs(str(tmp_path)).problems[:2]
    assert "a_hair.png or another name, as this one is taken" in hair
    assert skin.endswith("a_skin.png")
