"""Tests of data that reading would lose or mistake, from folder to message."""

import json
import os
import unicodedata

import numpy as np
import pytest
import running
from PIL import Image

from segan_tf import config, console, labels
from segan_tf.datasets import checks, findings, label_maps, loading, pairs

pytestmark = pytest.mark.any_edition

SIZE = (40, 24)  # width and height
RECTANGLE = (10, 6, 30, 18)


def draw_image(path, seed=0, *, size=SIZE, orientation=1):
    rng = np.random.default_rng(seed)
    noise = rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    exif = Image.Exif()
    if orientation != 1:
        exif[0x0112] = orientation
    Image.fromarray(noise).save(path, exif=exif)


def make_label_map(value=255, *, size=SIZE):
    label_map = Image.new("L", size, 0)
    label_map.paste(value, RECTANGLE)
    return label_map


def draw_folder(folder, count=10, *, make=lambda i: make_label_map(), **image):
    """Draws pairs p0, p1, ..., the label maps by make(number)."""
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    for i in range(count):
        draw_image(folder / "images" / f"p{i}.png", i, **image)
        make(i).save(folder / "masks" / f"p{i}.png")
    return folder


def check(folder, **flags):
    return loading.check(config.Config(data_dir=str(folder), **flags))


def train(folder, *flags):
    return running.run(
        "--mode=train",
        f"--data_dir={folder}",
        f"--model_dir={folder}_run",
        "--image_size=16",
        "--width=1",
        "--batch_size=2",
        "--epochs=1",
        "--noadversarial",
        *flags,
    )


def assert_wrong_to_train_on(folder, words, *flags):
    """Expects an error of training, and the same from the check."""
    result = train(folder, *flags)
    assert result.status == 1
    assert words in result.err.splitlines()[-1]
    assert not os.path.exists(f"{folder}_run/flags.json")
    checked = running.run("--mode=check", f"--data_dir={folder}", *flags)
    assert checked.status == 1
    assert words in checked.out


def test_label_maps_that_mark_nothing_are_wrong_to_train_on(tmp_path):
    draw_folder(tmp_path / "d", make=lambda i: make_label_map(0))
    assert_wrong_to_train_on(tmp_path / "d", "marks anything")


def test_one_label_map_that_marks_something_is_enough_but_said(tmp_path):
    folder = draw_folder(
        tmp_path / "d", make=lambda i: make_label_map(255 * (i != 1))
    )
    result = train(folder, "--num_test=0", "--num_validation=0")
    assert result.status == 0
    warning = f"warning: {folder}/masks/p1.png is empty, it marks nothing"
    assert warning in result.out + result.err


def test_label_that_different_values_mark_is_wrong_to_train_on(tmp_path):
    folder = draw_folder(
        tmp_path / "d", make=lambda i: make_label_map(1 + i % 2)
    )
    assert_wrong_to_train_on(folder, "different values in different files, 1 ")
    # The remedy of the message.
    (folder / "labels.json").write_text('{"1": "lesion", "2": "lesion"}')
    assert check(folder).is_sound
    assert train(folder).status == 0


def test_label_map_of_one_bit_goes_with_any_value(tmp_path):
    def make(number):
        label_map = make_label_map(255)
        return label_map.convert("1") if number % 2 else label_map

    assert check(draw_folder(tmp_path / "d", make=make)).is_sound


def test_palette_that_differs_between_files_is_wrong_to_train_on(tmp_path):
    colors = ((255, 0, 0), (0, 255, 0))

    def make(number):
        numbers = np.zeros(SIZE[::-1], np.uint8)
        numbers[4:10, 4:10], numbers[12:20, 4:10] = 1, 2
        label_map = Image.fromarray(numbers).convert("P")
        first, second = colors if number % 2 else colors[::-1]
        label_map.putpalette([0, 0, 0, *first, *second])
        return label_map

    folder = draw_folder(tmp_path / "d", make=make)
    several = "--num_labels=2"
    assert_wrong_to_train_on(folder, "number means different labels", several)
    named = {"#ff0000": "artery", "#00ff00": "vein"}
    (folder / "labels.json").write_text(json.dumps(named))
    assert check(folder, num_labels=2).is_sound


def test_label_that_no_label_map_marks_is_said_when_training(tmp_path):
    folder = draw_folder(tmp_path / "d", make=lambda i: make_label_map(1))
    result = train(folder, "--num_labels=2")
    assert result.status == 0
    assert "warning: label 2: in none of the" in result.out + result.err


def test_facts_are_the_same_from_memory_and_from_disk(tmp_path):
    folder = draw_folder(tmp_path / "d", make=lambda i: make_label_map(0))
    for _ in range(2):  # written, then read
        result = train(folder, "--cache=disk")
        assert result.status == 1
        assert "marks anything" in result.err


def test_many_findings_are_counted():
    lines = {str(i): f"map {i} is odd" for i in range(5)}
    assert findings.summarize_lines(lines)[-1].startswith("and 2 more like")


@pytest.mark.parametrize(
    ("orientation", "size", "map_size"),
    [
        (3, SIZE, SIZE),  # turned by 180 degrees: the size stays
        (2, SIZE, SIZE),
        (6, (24, 24), (24, 24)),  # a square stays a square
    ],
)
def test_turned_image_that_may_not_match_is_named(
    tmp_path, orientation, size, map_size
):
    folder = draw_folder(
        tmp_path / "d",
        make=lambda i: make_label_map(size=map_size),
        size=size,
        orientation=orientation,
    )
    report = check(folder)
    assert not report.is_sound
    assert turned(orientation) in report.summary()


def turned(orientation):
    return f"by its EXIF orientation ({orientation}), and its label map "


def test_turned_image_that_may_not_match_is_said_by_each_mode(tmp_path):
    folder = draw_folder(tmp_path / "d", orientation=2)
    checked = running.run("--mode=check", f"--data_dir={folder}")
    assert checked.status == 1
    assert turned(2) in checked.out
    trained = train(folder)
    assert trained.status == 0
    assert turned(2) in trained.out + trained.err


def test_label_map_of_the_size_before_turning_cannot_be_used(tmp_path):
    folder = draw_folder(tmp_path / "d", orientation=6)
    found = pairs.find_pairs(str(folder)).pairs
    (*_, problem) = checks.check_headers(found).problems.values()
    assert "EXIF orientation (6)" in problem
    assert "has the size before turning; save the image upright" in problem


def test_label_map_of_the_size_after_turning_is_sound(tmp_path):
    folder = draw_folder(
        tmp_path / "d",
        make=lambda i: make_label_map(size=SIZE[::-1]),
        orientation=6,
    )
    assert check(folder).is_sound


def test_label_map_with_the_orientation_of_its_image_is_sound(tmp_path):
    folder = draw_folder(tmp_path / "d", orientation=3)
    exif = Image.Exif()
    exif[0x0112] = 3
    for path in (folder / "masks").iterdir():
        make_label_map().save(path, exif=exif)
    assert check(folder).is_sound


@pytest.mark.parametrize("by_color", [False, True])
@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_label_map_in_the_transparency_alone_is_an_error(
    tmp_path, by_color, mode
):
    label_map = Image.new("RGB", SIZE).convert(mode)
    label_map.putalpha(make_label_map())
    label_map.save(tmp_path / "a.png")
    marks = labels.Labels(marks=((0, 0), (0xFF0000, 1)), by_color=True)
    with pytest.raises(config.UserError, match="by its transparency alone"):
        label_maps.read_label_file(
            tmp_path / "a.png", marks if by_color else labels.LESION
        )


def test_label_map_under_full_transparency_is_an_error(tmp_path):
    label_map = make_label_map().convert("RGBA")
    label_map.putalpha(0)
    label_map.save(tmp_path / "a.png")
    with pytest.raises(config.UserError, match="fully transparent .alpha 0"):
        label_maps.read_label_file(tmp_path / "a.png")


def test_label_map_that_is_nothing_but_transparent_is_empty(tmp_path):
    Image.new("RGBA", SIZE, (0, 0, 0, 0)).save(tmp_path / "a.png")
    assert not label_maps.read_label_file(tmp_path / "a.png").any()


def test_names_in_either_form_of_unicode_are_paired(tmp_path):
    folder = draw_folder(tmp_path / "d", 0)
    for i in range(4):
        name = f"L\u00e4sion{i}"
        decomposed = unicodedata.normalize("NFD", name)
        draw_image(folder / "images" / f"{decomposed}.png")
        make_label_map().save(folder / "masks" / f"{name}_mask.png")
    found = pairs.find_pairs(str(folder))
    assert not found.problems
    # As on the disk.
    assert found.pairs[0].id == unicodedata.normalize("NFD", "L\u00e4sion0")
    test_list = tmp_path / "list.txt"
    test_list.write_text("L\u00e4sion2\n", "utf-8")
    groups = tmp_path / "groups.csv"
    groups.write_text(
        "id,group\n" + "".join(f"L\u00e4sion{i},g{i}\n" for i in range(4)),
        "utf-8",
    )
    run = config.Config(
        data_dir=str(folder), test_list=str(test_list), groups=str(groups)
    )
    divided = loading.load_splits(run, progress=console.no_bar)
    assert [pair.id for pair in divided.test] == [found.pairs[2].id]


def test_two_images_that_differ_in_unicode_alone_are_told_apart(tmp_path):
    folder = draw_folder(tmp_path / "d", 2)
    for form in ("NFC", "NFD"):
        name = unicodedata.normalize(form, "\u00e4")
        draw_image(folder / "images" / f"{name}.png")
        make_label_map().save(folder / "masks" / f"{name}.png")
    (problem,) = pairs.find_pairs(str(folder)).problems
    assert "differ in Unicode form" in problem


def evaluate(folder, model_dir):
    return running.run(
        "--mode=evaluate",
        "--model=pretrained",
        f"--data_dir={folder}",
        f"--model_dir={model_dir}",
        "--split=all",
    )


def test_evaluation_finds_what_training_does(tmp_path):
    makers = {
        "empty": lambda i: make_label_map(0),
        "mixed": lambda i: make_label_map(1 + i % 2),
    }
    for (name, make), words in zip(
        makers.items(),
        ("of the 4 label maps of --split=all marks anything", "1 (as in p0)"),
        strict=True,
    ):
        folder = draw_folder(tmp_path / name, 4, make=make)
        result = evaluate(folder, tmp_path / f"{name}_run")
        assert result.status == 1
        assert words in result.err


def test_evaluation_says_that_turned_images_may_not_match(tmp_path):
    folder = draw_folder(tmp_path / "d", 4, orientation=3)
    result = evaluate(folder, tmp_path / "run")
    assert result.status == 0
    assert "warning: " in result.err + result.out
    assert "by its EXIF orientation (3)" in result.err + result.out
