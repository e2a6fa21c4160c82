"""Tests of converting pairs to shards, of resuming it, and of damage."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import blobs
import numpy as np
import pytest
import running
from PIL import Image

import segan_tf
from segan_tf import console
from segan_tf import labels as labels_lib
from segan_tf.config import Config, UserError
from segan_tf.datasets import content, loading, pairs, shard_index, shards
from segan_tf.input import cached_dataset, conversion_parts

pytestmark = pytest.mark.any_edition

COUNT = 12
SIZE = 40  # 1.25 * 32
RECORD = SIZE * SIZE * 4
NUM_SHARDS = 4  # of three pairs


@pytest.fixture
def data(tmp_path, monkeypatch):
    """Draws pairs, and has each shard hold three of them."""
    monkeypatch.setattr(conversion_parts, "SHARD_BYTES", 3 * RECORD)
    blobs.write_pairs(str(tmp_path / "data"), COUNT)
    return tmp_path / "data"


def convert(data, name="shards", **settings):
    """Converts a folder; returns the folder of the shards."""
    folder = data.parent / name
    settings = {"image_size": 32, **settings}
    segan_tf.convert(
        Config(data_dir=str(data), output_dir=str(folder), **settings)
    )
    return folder


def load(folder, **settings):
    """Loads the pairs of a folder; returns them and what was said."""
    said = []
    config = Config(data_dir=str(folder), **settings)
    loaded = loading.load_pairs(
        config,
        loading.load_labels(config),
        progress=console.no_bar,
        say=said.append,
    )
    return loaded, said


def open_records(found, labels=labels_lib.LESION):
    return cached_dataset.open_records(
        found, cache="none", cache_dir="", size=SIZE, labels=labels
    )


def check(folder, **settings):
    return segan_tf.check(Config(data_dir=str(folder), **settings))


def files_in(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def flip_bit(path, place=0.5):
    data = bytearray(path.read_bytes())
    data[int(place * len(data))] ^= 1
    path.write_bytes(data)


def spoil_image(data, number):
    """Cuts an image off where only decoding tells."""
    path = data / "images" / f"blob_{number:03}.png"
    path.write_bytes(path.read_bytes()[:2000])


def test_records_are_those_of_the_folder(data):
    folder = convert(data)
    expected, found = load(data)[0].pairs, load(folder)[0].pairs
    assert [p.id for p in found] == [p.id for p in expected]
    assert len(list(folder.glob("*.tfrecord"))) == NUM_SHARDS
    for pair, own in zip(found, expected, strict=True):
        decoded = cached_dataset.decode(
            own, size=SIZE, labels=labels_lib.LESION
        )
        np.testing.assert_array_equal(shards.read_record(pair), decoded.record)
        assert pair.stored.facts == decoded.facts
    assert content.take_fingerprints(found) == content.take_fingerprints(
        expected
    )


def test_nothing_is_held_in_memory(data):
    folder = convert(data)
    records = open_records(load(folder)[0].pairs)
    for path in folder.glob("*.tfrecord"):
        flip_bit(path, 0.1)
    with pytest.raises(UserError, match=r"pairs-00000\.tfrecord is damaged"):
        records.read(0)


def test_official_splits_labels_and_styles_are_kept(tmp_path):
    data = tmp_path / "data"
    for number, word in enumerate(("Training", "Validation", "Test_v2")):
        for part in ("Data", "Part1_GroundTruth"):
            (data / f"ISIC-2017_{word}_{part}").mkdir(parents=True)
        for seed in (number, number + 3):
            blob = blobs.draw_blob(seed, size=64)
            name = f"ISIC_{seed}"
            Image.fromarray(blob[..., :3]).save(
                data / f"ISIC-2017_{word}_Data" / f"{name}.jpg"
            )
            Image.fromarray(2 * blob[..., 3]).save(
                data
                / f"ISIC-2017_{word}_Part1_GroundTruth"
                / f"{name}_segmentation.png"
            )
    (data / "labels.json").write_text('{"1": "hair", "2": "spot"}')
    (data / "styles.csv").write_text("id,style\nISIC_0,T2+T1\nISIC_3,T3\n")
    kind = {"num_labels": 2, "label_kind": "multilabel"}
    folder = convert(data, **kind)

    config, own = (Config(data_dir=str(d), **kind) for d in (folder, data))
    assert loading.load_labels(config) == loading.load_labels(own)
    splits, expected = (
        loading.load_splits(
            c, loading.load_labels(c), progress=console.no_bar
        ).ids()
        for c in (config, own)
    )
    assert splits == expected
    assert expected["test"] == ["ISIC_2", "ISIC_5"]
    text = (folder / "styles.csv").read_text()
    assert text == "id,style\nISIC_0,T1+T2\nISIC_3,T3\n"
    assert shards.read_record(load(folder, **kind)[0].pairs[0]).shape == (
        *(SIZE, SIZE, 3 + 2),
    )


def test_bad_pairs_are_an_error_that_names_all(data):
    spoil_image(data, 1)
    spoil_image(data, 10)
    with pytest.raises(UserError, match=r"2 files cannot be used") as error:
        convert(data)
    assert "blob_001.png is damaged" in str(error.value)
    assert "blob_010.png is damaged" in str(error.value)
    assert not (data.parent / "shards").exists()


def test_skipped_pairs_stay_known(data):
    spoil_image(data, 1)
    (data / "label_maps" / "blob_005.png").unlink()
    folder = convert(data, skip_bad_pairs=True)
    loaded, said = load(folder, skip_bad_pairs=True)
    expected, said_of_folder = load(data, skip_bad_pairs=True)
    assert said[-1] == said_of_folder[-1]
    assert "image without label map, not used: " in said[-1]
    assert loaded.left_out == expected.left_out == {"blob_005"}
    records = open_records(loaded.pairs)
    assert list(records.problems) == ["blob_001"]
    assert "blob_001.png is damaged" in records.problems["blob_001"]
    assert records.count == COUNT - 2
    with pytest.raises(UserError, match="image without label map"):
        load(folder)


def test_pairs_that_may_not_match_are_warned_of_again(data):
    path = data / "images" / "blob_002.png"
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    with Image.open(path) as image:
        image.save(path, exif=exif)
    _, said = load(convert(data))
    assert any("blob_002.png is turned upright by" in line for line in said)


def test_contradicting_label_maps_are_an_error(data):
    path = data / "label_maps" / "blob_003.png"
    with Image.open(path) as image:
        image.point(lambda value: value and 7).save(path)
    with pytest.raises(UserError, match="mark it with different values"):
        convert(data)


def test_conversion_of_converted_pairs_is_one_line(data):
    folder = convert(data)
    with pytest.raises(UserError, match="holds shards already; give the fold"):
        convert(folder, "again")


def test_output_dir_is_needed_and_must_be_free(data):
    with pytest.raises(UserError, match="--output_dir is missing; give a new"):
        segan_tf.convert(Config(data_dir=str(data)))
    (data.parent / "taken").mkdir()
    (data.parent / "taken" / "file").write_text("mine")
    with pytest.raises(UserError, match="taken.* is there already; give a new"):
        convert(data, "taken")
    (data.parent / "free").mkdir()
    assert shard_index.is_shards(str(convert(data, "free")))


def test_full_disk_is_told_before_anything_is_written(data, monkeypatch):
    usage = shutil.disk_usage("/")._replace(free=COUNT * RECORD - 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(UserError, match=r"needs 0\.0 GB for 12 pairs, and"):
        convert(data)


@pytest.fixture
def decoded(monkeypatch):
    """Returns the list of ids that are decoded from now on."""
    ids = []
    decode = cached_dataset.decode

    def note(pair, **options):
        ids.append(pair.id)
        return decode(pair, **options)

    monkeypatch.setattr(cached_dataset, "decode", note)
    return ids


def stop_after(data, count):
    """Stops a conversion after so many shards; returns its folder."""
    decode = cached_dataset.decode

    def decode_or_stop(pair, **options):
        if pair.id == f"blob_{3 * count:03}":
            raise KeyboardInterrupt
        return decode(pair, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cached_dataset, "decode", decode_or_stop)
        with pytest.raises(KeyboardInterrupt):
            convert(data)
    return data.parent / "shards.partial"


def test_stopped_conversion_goes_on(data, decoded):
    expected = files_in(convert(data, "whole"))
    partial = stop_after(data, 2)
    with pytest.raises(UserError, match="hold.* shards without their shards"):
        load(partial)
    decoded.clear()
    folder = convert(data)
    # The third shard begins with the seventh pair.
    assert sorted(decoded) == [f"blob_{i:03}" for i in range(6, COUNT)]
    found = files_in(folder)
    del found["shards.json"], expected["shards.json"]
    assert found == expected
    assert not partial.exists()


def test_changed_or_damaged_shards_are_written_again(data, decoded):
    partial = stop_after(data, 3)
    shutil.copy(
        data / "images" / "blob_000.png", data / "images" / "blob_001.png"
    )
    flip_bit(partial / "pairs-00001.tfrecord")
    decoded.clear()
    folder = convert(data)
    again = [0, 1, 2, 3, 4, 5, 9, 10, 11]  # all but those of the third shard
    assert sorted(decoded) == [f"blob_{i:03}" for i in again]
    first, second = load(folder)[0].pairs[:2]
    np.testing.assert_array_equal(
        shards.read_record(first)[..., :3], shards.read_record(second)[..., :3]
    )
    assert check(folder).is_sound


def test_pair_that_was_repaired_is_tried_again(data, decoded):
    path = data / "images" / "blob_001.png"
    whole, state = path.read_bytes(), os.stat(path)
    path.write_bytes(whole[:200] + b"\xff" * (len(whole) - 200))
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    with pytest.raises(UserError, match="cannot be used"):
        convert(data)
    path.write_bytes(whole)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    decoded.clear()
    folder = convert(data)
    # Of its shard alone.
    assert sorted(decoded) == ["blob_000", "blob_001", "blob_002"]
    assert not any(p.stored.problem for p in load(folder)[0].pairs)


def test_output_that_cannot_be_replaced_is_an_error(data, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "shards").symlink_to(tmp_path / "empty")
    with pytest.raises(UserError, match="is a mount point or a link"):
        convert(data)
    assert not os.path.exists(tmp_path / "shards.partial")


def test_folder_without_a_usable_pair_is_an_error(data):
    for path in (data / "images").iterdir():
        path.write_bytes(b"no image")
    with pytest.raises(UserError, match="has no pair that can be used"):
        convert(data, skip_bad_pairs=True)


def test_skipping_after_an_error_decodes_nothing_again(data, decoded):
    spoil_image(data, 1)
    with pytest.raises(UserError, match="cannot be used"):
        convert(data)
    decoded.clear()
    folder = convert(data, skip_bad_pairs=True)
    assert decoded == []
    assert shard_index.is_shards(str(folder))


def test_files_of_an_earlier_conversion_are_removed(data):
    stop_after(data, 3)
    for number in range(6, COUNT):
        (data / "images" / f"blob_{number:03}.png").unlink()
        (data / "label_maps" / f"blob_{number:03}.png").unlink()
    folder = convert(data)
    assert sorted(files_in(folder)) == [
        "pairs-00000.json",
        "pairs-00000.tfrecord",
        "pairs-00001.json",
        "pairs-00001.tfrecord",
        "shards.json",
    ]


# Runs the program, which waits forever within its second shard.
WAITING = f"""
import time
import main
from segan_tf.input import cached_dataset, conversion_parts
conversion_parts.SHARD_BYTES = {3 * RECORD}
decode = cached_dataset.decode
def decode_or_wait(pair, **options):
    while pair.id == "blob_004":
        time.sleep(1)
    return decode(pair, **options)
cached_dataset.decode = decode_or_wait
main.run()
"""


def test_killed_conversion_goes_on(data):
    flags = (
        "--mode=convert",
        f"--data_dir={data}",
        "--image_size=32",
        f"--output_dir={data.parent / 'shards'}",
    )
    partial = data.parent / "shards.partial"
    process = subprocess.Popen(
        [sys.executable, "-c", WAITING, *flags],
        cwd=running.ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    until = time.monotonic() + 900
    first = partial / "pairs-00000.json"
    while not (first.exists() and list(partial.glob(".*.tmp"))):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    state = os.stat(partial / "pairs-00000.tfrecord")

    result = running.run(*flags)

    assert result.status == 0, result.err
    assert "1 of 4 shards are in" in result.out
    folder = data.parent / "shards"
    kept = os.stat(folder / "pairs-00000.tfrecord")
    assert (kept.st_ino, kept.st_mtime_ns) == (state.st_ino, state.st_mtime_ns)
    assert len(list(folder.iterdir())) == 2 * NUM_SHARDS + 1
    assert not list(data.parent.glob(".lock*"))
    assert check(folder).is_sound


def test_check_reads_shards_and_finds_what_it_finds_in_the_folder(data):
    shutil.copy(
        data / "images" / "blob_000.png", data / "images" / "blob_001.png"
    )
    report, expected = check(convert(data)), check(data)
    assert report.is_sound
    assert report.counts == expected.counts
    assert [d.names for d in report.near_duplicates] == [
        tuple(
            f"blob_00{i} ({data.parent}/shards/pairs-00000.tfrecord)"
            for i in range(2)
        )
    ]
    assert report.labels["lesion"].images == expected.labels["lesion"].images
    assert "image size: smallest 40x40" in report.summary()


def remove(path):
    path.unlink()


def cut(path):
    path.write_bytes(path.read_bytes()[:-3])


@pytest.mark.parametrize(
    ("damage", "name", "message"),
    [
        (remove, "pairs-00002.tfrecord", "cannot be read (No such file"),
        (cut, "pairs-00002.tfrecord", "has {0} bytes instead of {1}; copy"),
        (remove, "pairs-00001.json", "cannot be read (No such file"),
        (flip_bit, "pairs-00001.json", "is not the file that was written"),
        (remove, "styles.csv", "cannot be read (No such file"),
        (flip_bit, "styles.csv", "is not the file that was written"),
        (flip_bit, "shards.json", "cannot be understood"),
        (cut, "shards.json", "cannot be understood"),
        (remove, "shards.json", "holds shards without their shards.json"),
    ],
)
def test_damage_is_one_line_that_names_the_file(data, damage, name, message):
    (data / "styles.csv").write_text("id,style\nblob_001,T1\n")
    folder = convert(data)
    size = (folder / name).stat().st_size
    damage(folder / name)
    with pytest.raises(UserError) as error:
        load(folder)
    text = str(error.value)
    assert name in text
    assert message.format(size - 3, size) in text
    assert "again" in text or "copy that file" in text
    assert "\n" not in text


def test_check_names_every_damaged_shard(data):
    folder = convert(data)
    for number in (1, 3):
        flip_bit(folder / f"pairs-0000{number}.tfrecord", 0.5)
    report = check(folder)
    assert not report.is_sound
    summary = report.summary()
    for number in range(NUM_SHARDS):
        named = f"pairs-0000{number}.tfrecord is not the file" in summary
        assert named == (number in (1, 3))


@pytest.mark.parametrize(
    "change",
    [
        {"size": 20_000},  # more pixels than are ever read
        {"size": 1},
        {"shards": [{"name": "../data"}]},
        {"labels": {"names": []}},
    ],
)
def test_impossible_index_is_not_followed(data, change):
    folder = convert(data)
    saved = json.loads((folder / "shards.json").read_text())
    del saved["checksum"], saved["format"]
    for name, value in change.items():
        if isinstance(value, dict):
            saved[name].update(value)
        elif isinstance(value, list):
            saved[name][0].update(value[0])
        else:
            saved[name] = value
    text = json.dumps(saved, sort_keys=True)
    saved["checksum"] = hashlib.sha256(text.encode()).hexdigest()
    (folder / "shards.json").write_text(json.dumps(saved))
    with pytest.raises(UserError, match=r"shards\.json cannot be understood"):
        load(folder)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_labels": 2}, r"--num_labels \(2\) differs from the 1 labels of"),
        ({"label_kind": "multilabel"}, "give --label_kind=multiclass, or conv"),
        ({"label_names": "mole"}, r"--label_names \(mole\) reads label maps"),
    ],
)
def test_setting_that_contradicts_the_shards_is_one_line(
    data, settings, message
):
    folder = convert(data)
    config = Config(data_dir=str(folder), **settings)
    with pytest.raises(UserError, match=message):
        loading.load_labels(config)
    given = Config(data_dir=str(folder), label_names="lesion")
    assert loading.load_labels(given) == labels_lib.LESION


def test_pair_of_no_shard_is_a_mistake_of_the_program():
    with pytest.raises(ValueError, match="a is in no shard"):
        shards.read_record(pairs.Pair("a", "a.png", ()))


def test_command_converts_and_names_the_next_one(data):
    result = running.run(
        "--mode=convert",
        f"--data_dir={data}",
        f"--output_dir={data.parent / 'shards'}",
        "--image_size=32",
    )
    assert result.status == 0, result.err
    assert "12 pairs at 40x40 pixels in 4 shards (0.1 MB) in" in result.out
    assert "train with --data_dir=" in result.out
    assert "--cache has no effect" in running.error_of(
        "--mode=convert", "--cache=disk"
    )
