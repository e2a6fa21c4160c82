"""Tests of knowing pairs by what their files hold, wherever they are."""

import json
import os
import pathlib
import shutil

import blobs
import pytest

from segan_tf import console
from segan_tf import labels as labels_lib
from segan_tf.config import PRETRAINED, Config, UserError
from segan_tf.datasets import content, loading, pairs, splits

COUNT = 12
LONG = 1_000_000  # bytes, more than are hashed of an image


@pytest.fixture
def data(tmp_path):
    """Returns a folder of pairs blob_000 to blob_011."""
    folder = tmp_path / "data"
    blobs.write_pairs(str(folder), COUNT, size=16)
    return folder


def find(folder):
    return pairs.find_pairs(str(folder)).pairs


@pytest.fixture
def run(data, tmp_path):
    """Records a run of these pairs; returns its folder."""
    folder = tmp_path / "run"
    folder.mkdir()
    config = Config(data_dir=str(data), num_test=4, num_validation=2)
    divided = loading.load_splits(config, progress=console.no_bar)
    splits.write_splits(divided, str(folder))
    record = content.make_record(divided.all_pairs(), labels_lib.LESION)
    content.write_record(record, str(folder))
    return folder


def split_again(run, **settings):
    config = Config(model_dir=str(run), **settings)
    divided = loading.load_run_splits(
        config, labels_lib.LESION, split_again=True
    )
    return divided, loading.find_trained(
        config, loading.choose_pairs(config, divided)
    )


def recorded_ids(run):
    return splits.read_split_ids(str(run))


def trained_pair(data, run):
    return data / "images" / f"{recorded_ids(run)['train'][0]}.png"


def test_record_is_read_as_it_was_written(data, tmp_path):
    labels = labels_lib.Labels(("a",), marks=((0xFF0000, 1),), by_color=True)
    record = content.make_record(find(data), labels, earlier=frozenset(("x",)))
    content.write_record(record, str(tmp_path))
    assert content.read_record(str(tmp_path)) == record


def test_unknown_earlier_images_stay_unknown(data, tmp_path):
    record = content.make_record(find(data), labels_lib.LESION, earlier=None)
    content.write_record(record, str(tmp_path))
    assert content.read_record(str(tmp_path)).earlier is None


def test_run_from_before_has_no_record(tmp_path):
    assert content.read_record(str(tmp_path)) is None


def spoil(record, *keys, value):
    """Sets a value within nested objects."""
    for key in keys[:-1]:
        record = record[key]
    record[keys[-1]] = value


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("pairs",), []),
        (("pairs",), None),
        (("pairs", "blob_000"), 5),
        (("pairs", "blob_000"), {}),
        (("pairs", "blob_000", "image"), 5),
        (("pairs", "blob_000", "label_maps"), "text"),
        (("pairs", "blob_000", "label_maps"), [None]),
        (("labels",), ["lesion"]),
        (("labels",), {}),
        (("labels", "names"), 5),
        (("earlier",), "text"),
        (("earlier",), [1]),
    ],
)
def test_mistyped_record_is_an_error_with_its_name(run, keys, value):
    path = run / "pairs.json"
    record = json.loads(path.read_text("utf-8"))
    spoil(record, *keys, value=value)
    path.write_text(json.dumps(record), "utf-8")
    with pytest.raises(UserError, match=r"pairs.json cannot be understood"):
        content.read_record(str(run))


@pytest.mark.parametrize("text", ["", "[]", "{}", "{", "[" * 100_000, "\0"])
def test_damaged_record_is_an_error_with_its_name(tmp_path, text):
    (tmp_path / "pairs.json").write_text(text, "utf-8")
    with pytest.raises(UserError, match=r"pairs.json cannot be understood"):
        content.read_record(str(tmp_path))


def test_fingerprint_tells_files_of_one_size_apart(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    first = content.take_fingerprint(str(path))
    assert first.startswith("3:")
    path.write_bytes(b"abd")
    assert content.take_fingerprint(str(path)) != first


@pytest.mark.parametrize("place", range(0, LONG, 49_999))
def test_a_byte_anywhere_in_a_long_label_map_counts(tmp_path, place):
    path = tmp_path / "map.bmp"
    pair = pairs.Pair("a", str(path), (str(path),))
    path.write_bytes(bytes(LONG))
    before = content.take_fingerprints([pair])
    with open(path, "r+b") as file:
        file.seek(place)
        file.write(b"\1")
    assert content.find_changed(before, content.take_fingerprints([pair]))


def test_long_images_are_read_at_both_ends(tmp_path):
    path = tmp_path / "image.bmp"
    pair = pairs.Pair("a", str(path), ())
    found = set()
    for place in (0, LONG // 2, LONG - 1):
        data = bytearray(LONG)
        data[place] = 1
        path.write_bytes(data)
        found.add(content.identify_image(pair))
    assert len(found) >= 2
    path.write_bytes(bytes(LONG + 1))
    assert content.identify_image(pair) not in found


def test_only_changed_files_are_named(data):
    before = content.take_fingerprints(find(data))
    shutil.copy(
        data / "label_maps" / "blob_001.png",
        data / "label_maps" / "blob_003.png",
    )
    os.utime(data / "images" / "blob_005.png", (0, 0))
    after = content.take_fingerprints(find(data))
    assert content.find_changed(before, after) == ["blob_003"]


def test_unreadable_file_is_an_error(data):
    found = find(data)
    os.remove(data / "images" / "blob_002.png")
    with pytest.raises(UserError, match=r"blob_002.png cannot be read"):
        content.take_fingerprints(found)


def move(data):
    return shutil.move(data, data.parent / "moved")


def link(data):
    (data.parent / "link").symlink_to(data)
    return data.parent / "link"


@pytest.mark.parametrize("elsewhere", [move, link, lambda data: f"{data}/"])
def test_moved_data_has_the_recorded_split(data, run, elsewhere):
    divided, trained = split_again(run, data_dir=str(elsewhere(data)))
    assert divided.ids() == recorded_ids(run)
    assert trained == []


def test_two_folders_are_known_as_the_one_they_were(data, run):
    for name in ("images", "label_maps"):
        shutil.move(data / name, data.parent / f"my_{name}")
    divided, trained = split_again(
        run,
        image_dir=str(data.parent / "my_images"),
        label_map_dir=str(data.parent / "my_label_maps"),
    )
    assert divided.ids() == recorded_ids(run)
    assert trained == []


def test_pairs_added_to_moved_data_are_in_no_split(data, run):
    moved = pathlib.Path(move(data))
    for name in ("images", "label_maps"):
        shutil.copy(moved / name / "blob_001.png", moved / name / "new.png")
    divided, _ = split_again(run, data_dir=str(moved))
    assert [pair.id for pair in divided.unused] == ["new"]


def test_part_of_the_moved_data_keeps_its_split(data, run):
    moved = pathlib.Path(move(data))
    gone = recorded_ids(run)["train"][0]
    for name in ("images", "label_maps"):
        os.remove(moved / name / f"{gone}.png")
    divided, trained = split_again(run, data_dir=str(moved))
    assert divided.ids()["test"] == recorded_ids(run)["test"]
    assert trained == []


def test_other_data_with_the_same_ids_are_split_by_themselves(
    data, run, tmp_path
):
    other = tmp_path / "other"
    blobs.write_pairs(str(other), COUNT, size=24)
    divided, trained = split_again(run, data_dir=str(other), split="all")
    assert divided.ids()["test"] != recorded_ids(run)["test"]
    # The same images, saved again in another size, would look like this.
    assert len(trained) == COUNT


def test_splitting_again_finds_the_trained_pairs(run):
    data = str(run.parent / "data")
    divided, trained = split_again(run, data_dir=data, num_test=9)
    known = set(recorded_ids(run)["train"])
    assert trained == [p.id for p in divided.test if p.id in known]
    assert trained


def test_trained_image_of_another_name_is_found(data, run, tmp_path):
    other = tmp_path / "other"
    blobs.write_pairs(str(other), 0)
    shutil.copy(trained_pair(data, run), other / "images" / "new.png")
    shutil.copy(
        data / "label_maps" / "blob_000.png", other / "label_maps" / "new.png"
    )
    _, trained = split_again(run, data_dir=str(other), split="all")
    assert trained == ["new"]


def test_without_a_record_only_all_equal_names_are_the_runs(data, run):
    os.remove(run / "pairs.json")
    moved = pathlib.Path(move(data))
    divided, trained = split_again(run, data_dir=str(moved))
    assert divided.ids() == recorded_ids(run)
    # By their names alone, they may be other images.
    assert trained == recorded_ids(run)["test"]
    os.remove(moved / "images" / "blob_000.png")
    os.remove(moved / "label_maps" / "blob_000.png")
    divided, trained = split_again(run, data_dir=str(moved), split="all")
    assert len(trained) == COUNT - 1


def test_images_of_the_run_it_started_from_count_as_trained(data, run):
    seen = content.read_trained_images(str(run))
    later = run.parent / "later"
    later.mkdir()
    ids = recorded_ids(run)
    divided = splits.splits_from_ids(
        find(data), {"train": ids["test"], "test": ids["train"]}
    )
    splits.write_splits(divided, str(later))
    record = content.make_record(find(data), labels_lib.LESION, earlier=seen)
    content.write_record(record, str(later))
    config = Config(model_dir=str(later))
    assert loading.find_trained(config, divided.test) == ids["train"]
    all_seen = content.read_trained_images(str(later))
    assert len(all_seen) == len(ids["train"]) + len(ids["test"])


def test_if_the_start_is_not_known_every_pair_may_be_trained(data, run):
    record = content.make_record(find(data), labels_lib.LESION, earlier=None)
    content.write_record(record, str(run))
    assert content.read_trained_images(str(run)) is None
    config = Config(model_dir=str(run))
    test = [p for p in find(data) if p.id in recorded_ids(run)["test"]]
    assert len(loading.find_trained(config, test)) == len(test)


def test_model_of_no_run_may_have_seen_every_pair(data, tmp_path):
    config = Config(model="some.tflite", model_dir=str(tmp_path))
    assert len(loading.find_trained(config, find(data))) == COUNT


@pytest.mark.parametrize(
    ("pair_id", "split", "may_be"),
    [
        ("ISIC_0000001", "", True),
        ("ISIC_0000001", "train", True),
        ("ISIC_0000001", "test", False),
        ("mine", "", False),
    ],
)
def test_released_model_has_seen_images_of_isic(
    tmp_path, pair_id, split, may_be
):
    config = Config(model=PRETRAINED, model_dir=str(tmp_path))
    pair = pairs.Pair(pair_id, "a.jpg", ("a.png",), split)
    assert loading.find_trained(config, [pair]) == [pair_id] * may_be
