"""Tests of the way from the flags to the pairs of each split."""

import os
import pathlib

import numpy as np
import pytest
from PIL import Image

from segan_tf import config, console
from segan_tf.datasets import loading

# Of ten pairs a quarter is for testing, a tenth of the rest for validation,
# at least one.
TRAINING = 10 - 10 // 4 - 1


def draw_pair(image_path, label_map_path, seed, *, size=(40, 30)):
    rng = np.random.default_rng(seed)
    for path, channels in ((image_path, (3,)), (label_map_path, ())):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        shape = (size[1], size[0], *channels)
        noise = rng.integers(0, 2, shape, dtype=np.uint8) * 255
        Image.fromarray(noise).save(path)


@pytest.fixture
def folder(tmp_path):
    """Returns a folder of ten good pairs p0 to p9."""
    folder = tmp_path / "data"
    for seed in range(10):
        draw_pair(
            folder / "images" / f"p{seed}.jpg",
            folder / "label_maps" / f"p{seed}.png",
            seed,
        )
    return folder


def make_run(tmp_path, **flags):
    flags = {"model_dir": str(tmp_path / "run"), "image_size": 16, **flags}
    return config.Config(**flags)


def load_splits(run, say=print):
    return loading.load_splits(run, progress=console.no_bar, say=say)


def ids(split):
    return [pair.id for pair in split]


def test_lesions_are_drawn_when_no_folder_is_given(tmp_path):
    run = make_run(tmp_path, num_drawn=8)

    found = loading.find_pairs(run, progress=console.no_bar)

    assert found.problems == ()
    assert ids(found.pairs) == [f"drawn_{i:04d}" for i in range(8)]
    for pair in found.pairs:
        assert pair.image_path.startswith(run.model_dir + os.sep)


def test_lesions_are_drawn_once(tmp_path):
    run = make_run(tmp_path, num_drawn=8)
    bars = []

    def count_bars(items, **_):
        bars.append(items)
        return items

    for _ in range(2):
        loading.find_pairs(run, progress=count_bars)

    assert len(bars) == 1


def test_another_split_seed_draws_other_lesions(tmp_path):
    def first_image(seed):
        run = make_run(tmp_path, num_drawn=8, split_seed=seed)
        found = loading.find_pairs(run, progress=console.no_bar)
        return pathlib.Path(found.pairs[0].image_path).read_bytes()

    assert first_image(0) != first_image(1)


LAYOUTS = {
    "images and label maps": ("images/a.jpg", "masks/a.png", ""),
    "ISIC 2016": (
        "ISBI2016_ISIC_Part1_Training_Data/a.jpg",
        "ISBI2016_ISIC_Part1_Training_GroundTruth/a_Segmentation.png",
        "train",
    ),
    "ISIC 2017": (
        "ISIC-2017_Validation_Data/a.jpg",
        "ISIC-2017_Validation_Part1_GroundTruth/a_segmentation.png",
        "validation",
    ),
    "ISIC 2018": (
        "ISIC2018_Task1-2_Test_Input/a.jpg",
        "ISIC2018_Task1_Test_GroundTruth/a_segmentation.png",
        "test",
    ),
    "PH2": (
        "IMD1/IMD1_Dermoscopic_Image/IMD1.bmp",
        "IMD1/IMD1_lesion/IMD1_lesion.bmp",
        "",
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_data_dir_takes_every_layout(tmp_path, layout):
    image, label_map, split = LAYOUTS[layout]
    image, label_map = (tmp_path / "data" / name for name in (image, label_map))
    draw_pair(image, label_map, 0)
    run = make_run(tmp_path, data_dir=str(tmp_path / "data"))

    (pair,) = loading.find_pairs(run, progress=console.no_bar).pairs

    assert (pair.image_path, *pair.label_map_paths) == (
        str(image),
        str(label_map),
    )
    assert pair.split == split


def test_image_dir_and_label_map_dir_take_any_two_folders(tmp_path):
    draw_pair(tmp_path / "photos" / "a.jpg", tmp_path / "truth" / "a.png", 0)
    run = make_run(
        tmp_path,
        image_dir=str(tmp_path / "photos"),
        label_map_dir=str(tmp_path / "truth"),
    )

    (pair,) = loading.find_pairs(run, progress=console.no_bar).pairs

    assert pair.image_path == str(tmp_path / "photos" / "a.jpg")
    assert pair.label_map_paths == (str(tmp_path / "truth" / "a.png"),)


def test_splits_follow_the_settings(folder, tmp_path):
    flags = {"data_dir": str(folder), "num_test": 3, "num_validation": 2}
    splits = load_splits(make_run(tmp_path, **flags))
    other = load_splits(make_run(tmp_path, **flags, split_seed=1))

    assert len(splits.test) == 3
    assert len(splits.validation) == 2
    assert len(splits.train) == 10 - 3 - 2
    assert splits.test != other.test


def test_test_list_names_the_test_split(folder, tmp_path):
    (tmp_path / "ids.txt").write_text("p3\np7\n")
    run = make_run(
        tmp_path, data_dir=str(folder), test_list=str(tmp_path / "ids.txt")
    )
    assert ids(load_splits(run).test) == ["p3", "p7"]


@pytest.fixture
def bad_folder(folder):
    """Spoils p1 to p4, each in its own way that headers tell."""
    (folder / "label_maps" / "p1.png").unlink()
    (folder / "images" / "p2.jpg").write_bytes(b"")
    (folder / "images" / "p3.jpg").write_text("text")
    Image.new("L", (20, 16)).save(folder / "label_maps" / "p4.png")
    return folder


PROBLEMS = (
    "image without label map, not used: {}/images/p1.jpg",
    "{}/images/p2.jpg is empty (zero bytes)",
    "{}/images/p3.jpg is not a JPEG, PNG, BMP, TIFF",
    "label map {}/label_maps/p4.png is 20x16",
)


def test_one_error_names_every_bad_file(bad_folder, tmp_path):
    run = make_run(tmp_path, data_dir=str(bad_folder))

    with pytest.raises(config.UserError) as caught:
        load_splits(run)

    message = str(caught.value)
    assert "4 files cannot be used; fix them, or pass" in message
    assert "--skip_bad_pairs" in message
    for problem in PROBLEMS:
        assert problem.format(bad_folder) in message


def test_bad_pairs_can_be_skipped_with_a_message(bad_folder, tmp_path):
    run = make_run(tmp_path, data_dir=str(bad_folder), skip_bad_pairs=True)
    said = []

    splits = load_splits(run, said.append)

    used = splits.train + splits.validation + splits.test
    assert sorted(ids(used)) == ["p0", "p5", "p6", "p7", "p8", "p9"]
    (message,) = said
    assert "continuing without 4 files" in message
    for problem in PROBLEMS:
        assert problem.format(bad_folder) in message


def test_good_pairs_give_no_message(folder, tmp_path):
    said = []
    load_splits(make_run(tmp_path, data_dir=str(folder)), said.append)
    assert said == []


def test_error_about_one_bad_file_is_singular(folder, tmp_path):
    (folder / "label_maps" / "p1.png").unlink()
    run = make_run(tmp_path, data_dir=str(folder))
    message = r"1 file cannot be used; fix it, .*\n  image without .*p1\.jpg$"
    with pytest.raises(config.UserError, match=message):
        load_splits(run)


@pytest.mark.parametrize("skip", [False, True])
def test_more_than_fifty_bad_files_are_counted(tmp_path, skip):
    run = make_run(tmp_path, skip_bad_pairs=skip)
    problems = [f"problem {i}" for i in range(53)]
    said = []
    try:
        loading.report_problems(run, problems, say=said.append)
    except config.UserError as error:
        assert not skip
        said.append(str(error))
    first, *lines = said[0].splitlines()
    assert "53 files" in first
    assert lines[:50] == [f"  problem {i}" for i in range(50)]
    assert lines[50:] == ["  and 3 more; --mode=check names all"]


@pytest.mark.parametrize(
    ("settings", "source"),
    [
        ({"label_names": "lesion,hair"}, r"--label_names \(lesion, hair\)"),
        ({"num_labels": 4}, r"the drawn lesions \(lesion, hair, ruler mark\)"),
    ],
)
def test_number_of_labels_must_match_their_names(settings, source):
    message = rf"--num_labels \(\d\) differs from the \d labels of {source}"
    with pytest.raises(config.UserError, match=message):
        loading.load_labels(config.Config(**settings))


def test_labels_json_in_data_dir_names_the_labels(folder, tmp_path):
    (folder / "labels.json").write_text('{"1": "nevus", "2": "hair"}')
    settings = make_run(tmp_path, data_dir=str(folder), num_labels=2)
    assert loading.load_labels(settings).names == ("nevus", "hair")
