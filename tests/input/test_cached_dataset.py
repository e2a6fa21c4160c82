"""Tests of decoded pairs in memory, on disk and without a cache."""

import concurrent.futures
import errno
import gc
import json
import os
import pathlib
import shutil
import time
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from segan_tf import labels as labels_lib
from segan_tf.config import UserError
from segan_tf.datasets import findings, pairs
from segan_tf.input import cached_dataset, disk_cache

CACHES = ("memory", "disk", "none")
LESION = labels_lib.LESION
SIZE = 32


def draw_pair(folder, name, seed, *, size=(40, 30)):
    """Draws noise as JPEG and, as its label map, noise of 0 and 255."""
    rng = np.random.default_rng(seed)
    width, height = size
    noise = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    image_path = str(folder / f"{name}.jpg")
    Image.fromarray(noise).save(image_path)
    label_map_path = str(folder / f"{name}.png")
    marked = rng.integers(0, 2, (height, width), dtype=np.uint8)
    Image.fromarray(marked * 255).save(label_map_path)
    return pairs.Pair(name, image_path, (label_map_path,))


@pytest.fixture
def split(tmp_path):
    """Returns six good pairs a to f, each of its own size."""
    return [
        draw_pair(tmp_path, name, seed, size=(40 + seed, 30 + 2 * seed))
        for seed, name in enumerate("abcdef")
    ]


def open_records(split, kind, tmp_path, *, size=SIZE, labels=LESION, **options):
    return cached_dataset.open_records(
        split,
        cache=kind,
        cache_dir=str(tmp_path / "cache"),
        size=size,
        labels=labels,
        **options,
    )


def read_all(records):
    return [records.read(index) for index in range(records.count)]


def cache_files(tmp_path, ending):
    return [p for p in (tmp_path / "cache").iterdir() if p.suffix == ending]


def assert_redone(split, tmp_path):
    records = open_records(split, "disk", tmp_path)
    expected = [
        cached_dataset.decode(p, size=SIZE, labels=LESION).record for p in split
    ]
    np.testing.assert_array_equal(read_all(records), expected)


def check_to_decode(*args, **kwargs):
    raise AssertionError("decoded again")


@pytest.mark.parametrize("kind", CACHES)
def test_records_are_the_decoded_pairs_in_order(split, kind, tmp_path):
    split = split[::-1]

    records = open_records(split, kind, tmp_path)

    assert (records.count, records.problems) == (6, {})
    assert records.shape == (SIZE, SIZE, 3 + 1)
    for pair, record in zip(split, read_all(records), strict=True):
        assert record.dtype == np.uint8
        expected = cached_dataset.decode(pair, size=SIZE, labels=LESION).record
        np.testing.assert_array_equal(record, expected)


def test_image_is_resized_with_antialiasing(tmp_path):
    # Columns 0 and 200 in turn, halved: the triangle over four columns
    # weighs them 1, 3, 3, 1.
    columns = np.tile(np.uint8([0, 200]), (64, 32))
    pair = draw_pair(tmp_path, "a", 0, size=(64, 64))
    Image.fromarray(columns).save(tmp_path / "a.bmp")
    pair = pairs.Pair("a", str(tmp_path / "a.bmp"), pair.label_map_paths)

    record = cached_dataset.decode(pair, size=SIZE, labels=LESION).record

    expected = (0 * 1 + 200 * 3 + 0 * 3 + 200 * 1) / 8
    np.testing.assert_array_equal(record[:, 1:-1, :3], expected)


def test_label_map_takes_its_nearest_neighbors(tmp_path):
    pair = draw_pair(tmp_path, "a", 0, size=(64, 64))
    with Image.open(pair.label_map_paths[0]) as image:
        marked = np.asarray(image) // 255

    record = cached_dataset.decode(pair, size=SIZE, labels=LESION).record

    # The center of pixel i is at 2 i + 1 of the 64: in pixel 2 i + 1.
    np.testing.assert_array_equal(record[..., 3], marked[1::2, 1::2])


@pytest.mark.parametrize("size", [(37, 61), (16, 16), (32, 32)])
def test_label_map_stays_two_valued_at_the_working_size(tmp_path, size):
    pair = draw_pair(tmp_path, "a", 0, size=size)

    record = cached_dataset.decode(pair, size=SIZE, labels=LESION).record

    assert set(np.unique(record[..., 3])) == {0, 1}


@pytest.mark.parametrize("kind", CACHES)
def test_each_label_has_its_own_channel(tmp_path, kind):
    pair = draw_pair(tmp_path, "a", 0, size=(SIZE, SIZE))
    numbers = np.random.default_rng(0).integers(0, 3, (SIZE, SIZE))
    Image.fromarray(numbers.astype(np.uint8)).save(pair.label_map_paths[0])

    records = open_records(
        [pair], kind, tmp_path, labels=labels_lib.Labels(("a", "b"))
    )

    assert records.shape == (SIZE, SIZE, 3 + 2)
    np.testing.assert_array_equal(records.read(0)[..., 3], numbers == 1)
    np.testing.assert_array_equal(records.read(0)[..., 4], numbers == 2)


def cut_image(pair):
    path = pathlib.Path(pair.image_path)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def shrink_label_map(pair):
    Image.new("L", (20, 16)).save(pair.label_map_paths[0])


def remove_image(pair):
    os.remove(pair.image_path)


@pytest.mark.parametrize("kind", CACHES)
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut_image, "c.jpg is damaged or truncated"),
        (shrink_label_map, "c.jpg is 42x34 pixels but its label map"),
        (remove_image, "c.jpg cannot be opened"),
    ],
)
def test_bad_pair_is_a_problem_and_the_others_stay(
    split, kind, damage, message, tmp_path
):
    good = split[:2] + split[3:]
    damage(split[2])

    records = open_records(split, kind, tmp_path)

    assert list(records.problems) == ["c"]
    assert message in records.problems["c"]
    assert records.count == 6 - 1
    for pair, record in zip(good, read_all(records), strict=True):
        expected = cached_dataset.decode(pair, size=SIZE, labels=LESION).record
        np.testing.assert_array_equal(record, expected)


@pytest.mark.parametrize("kind", CACHES)
def test_nothing_but_bad_pairs_gives_no_records(split, kind, tmp_path):
    for pair in split:
        cut_image(pair)

    records = open_records(split, kind, tmp_path)

    assert records.count == 0
    assert list(records.problems) == list("abcdef")


@pytest.mark.parametrize("kind", CACHES)
def test_empty_split_gives_no_records(kind, tmp_path):
    records = open_records([], kind, tmp_path)
    assert (records.count, records.problems) == (0, {})


def test_disk_cache_is_read_and_not_decoded_again(split, tmp_path, monkeypatch):
    cut_image(split[2])
    first = open_records(split, "disk", tmp_path)
    monkeypatch.setattr(cached_dataset, "decode", check_to_decode)

    second = open_records(split, "disk", tmp_path)

    assert second.problems == first.problems
    np.testing.assert_array_equal(read_all(second), read_all(first))


@pytest.mark.parametrize("changed", ["image", "label map"])
def test_disk_cache_is_rewritten_when_a_file_changes(split, changed, tmp_path):
    open_records(split, "disk", tmp_path)
    paths = (split[3].image_path, split[3].label_map_paths[0])
    path = paths[changed == "label map"]
    with Image.open(path) as image:
        turned = image.transpose(Image.Transpose.ROTATE_180)
    turned.save(path)
    os.utime(path, ns=(0, 0))  # the clock may be too coarse for a test

    records = open_records(split, "disk", tmp_path)

    expected = cached_dataset.decode(split[3], size=SIZE, labels=LESION).record
    np.testing.assert_array_equal(records.read(3), expected)


def test_disk_cache_is_rewritten_when_only_the_time_of_a_file_changes(tmp_path):
    pair = draw_pair(tmp_path, "a", 0)
    pair = pairs.Pair("a", str(tmp_path / "a.bmp"), pair.label_map_paths)
    Image.new("RGB", (40, 30), "red").save(pair.image_path)
    assert_redone([pair], tmp_path)
    length = os.path.getsize(pair.image_path)
    Image.new("RGB", (40, 30), "blue").save(pair.image_path)
    os.utime(pair.image_path, ns=(0, 0))
    assert os.path.getsize(pair.image_path) == length

    assert_redone([pair], tmp_path)


def test_disk_cache_is_rewritten_when_a_bad_file_is_fixed(split, tmp_path):
    path = pathlib.Path(split[2].image_path)
    whole = path.read_bytes()
    cut_image(split[2])
    assert open_records(split, "disk", tmp_path).count == 6 - 1
    path.write_bytes(whole)

    records = open_records(split, "disk", tmp_path)

    assert (records.count, records.problems) == (6, {})


def test_disk_caches_of_splits_and_sizes_coexist(split, tmp_path):
    parts = [(split[:4], SIZE), (split[4:], SIZE), (split[:4], 2 * SIZE)]
    opened = [open_records(p, "disk", tmp_path, size=s) for p, s in parts]
    for records, (part, size) in zip(opened, parts, strict=True):
        for pair, record in zip(part, read_all(records), strict=True):
            expected = cached_dataset.decode(
                pair, size=size, labels=LESION
            ).record
            np.testing.assert_array_equal(record, expected)
    assert len(cache_files(tmp_path, ".records")) == 3


def test_interrupted_writing_leaves_nothing_and_starts_again(split, tmp_path):
    def interrupt(items, **_):
        yield from items[:3]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        open_records(split, "disk", tmp_path, progress=interrupt)

    assert list((tmp_path / "cache").iterdir()) == []
    assert_redone(split, tmp_path)


def test_records_without_their_index_are_rewritten(split, tmp_path):
    open_records(split, "disk", tmp_path)
    (path,) = cache_files(tmp_path, ".records")
    path.write_bytes(bytes(path.stat().st_size))
    (index,) = cache_files(tmp_path, ".json")
    index.unlink()

    assert_redone(split, tmp_path)


def test_index_without_its_records_is_rewritten(split, tmp_path):
    open_records(split, "disk", tmp_path)
    cache_files(tmp_path, ".records")[0].unlink()

    assert_redone(split, tmp_path)


def test_truncated_records_are_rewritten(split, tmp_path):
    open_records(split, "disk", tmp_path)
    (path,) = cache_files(tmp_path, ".records")
    os.truncate(path, path.stat().st_size - 1)

    assert_redone(split, tmp_path)


def test_spoiled_records_are_rewritten(split, tmp_path):
    open_records(split, "disk", tmp_path)
    (path,) = cache_files(tmp_path, ".records")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)

    assert_redone(split, tmp_path)
    assert path.read_bytes() != data


@pytest.mark.parametrize("number", [0, 1])
def test_file_that_changes_is_an_error_without_a_cache(split, tmp_path, number):
    records = open_records(split, "none", tmp_path)
    path = (split[2].image_path, split[2].label_map_paths[0])[number]
    shutil.copy(
        (split[3].image_path, split[3].label_map_paths[0])[number], path
    )
    with pytest.raises(UserError, match=rf"^{path} has changed since training"):
        records.read(2)
    os.remove(path)
    with pytest.raises(UserError, match=f"{path} cannot be opened"):
        records.read(2)
    records.read(3)  # raises nothing


def index_content(tmp_path):
    (path,) = cache_files(tmp_path, ".json")
    return path, json.loads(path.read_text("utf-8"))


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", "null", '{"content": 5}', "[" * 100_000, "\0", "{"]
)
def test_damaged_index_is_rewritten(split, tmp_path, text):
    open_records(split, "disk", tmp_path)
    path, whole = index_content(tmp_path)
    path.write_text(text, "utf-8")

    assert_redone(split, tmp_path)
    assert index_content(tmp_path)[1] == whole


@pytest.mark.parametrize("name", ["checksums", "problems", "facts"])
@pytest.mark.parametrize("value", [None, 5, "x", [1], {"a": 1}])
def test_edited_index_is_rewritten(split, tmp_path, name, value):
    open_records(split, "disk", tmp_path)
    path, saved = index_content(tmp_path)
    path.write_text(
        json.dumps({**saved, "content": {**saved["content"], name: value}})
    )

    assert_redone(split, tmp_path)
    assert index_content(tmp_path)[1] == saved


def test_record_spoiled_later_is_an_error_and_rewritten_next_time(
    split, tmp_path
):
    records = open_records(split, "disk", tmp_path)
    (path,) = cache_files(tmp_path, ".records")
    with open(path, "r+b") as file:
        file.seek(2 * SIZE * SIZE * 4)
        file.write(b"spoiled")

    np.testing.assert_array_equal(
        records.read(1),
        cached_dataset.decode(split[1], size=SIZE, labels=LESION).record,
    )
    with pytest.raises(UserError, match=r"\.records is damaged \(record 2\)"):
        records.read(2)
    assert_redone(split, tmp_path)


@pytest.mark.parametrize("ending", [".json", ".records"])
def test_pipe_in_the_place_of_a_cache_file_is_an_error(split, tmp_path, ending):
    open_records(split, "disk", tmp_path)
    (path,) = cache_files(tmp_path, ending)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(UserError, match="it is a named pipe, not a file"):
        open_records(split, "disk", tmp_path)


def test_partial_files_of_a_killed_process_are_removed(split, tmp_path):
    (tmp_path / "cache").mkdir()
    leftover = tmp_path / "cache" / f".{32 * '0'}.tmp"
    leftover.write_bytes(b"half a cache")

    assert_redone(split, tmp_path)

    assert not leftover.exists()


def test_cache_folder_that_cannot_be_made_is_a_user_error(split, tmp_path):
    (tmp_path / "cache").write_text("a file where the folder should be")
    message = (
        r"--cache \(disk\) cannot read or write .*\.records .*--cache=memory"
    )
    with pytest.raises(UserError, match=message):
        open_records(split, "disk", tmp_path)


def test_full_disk_is_a_user_error_and_leaves_nothing(
    split, tmp_path, monkeypatch
):
    def fail(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(UserError, match="No space left on device"):
        open_records(split, "disk", tmp_path)
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.parametrize("kind", CACHES)
def test_reading_is_safe_from_several_threads(split, kind, tmp_path):
    records = open_records(split, kind, tmp_path)
    expected = read_all(records)
    indices = np.random.default_rng(0).integers(0, 6, 300)

    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        found = list(threads.map(records.read, indices))

    for index, record in zip(indices, found, strict=True):
        np.testing.assert_array_equal(record, expected[index])


def test_number_of_pairs_decoded_ahead_is_bounded(split, tmp_path, monkeypatch):
    decoded, ahead = [], []

    def decode(pair, **_):
        decoded.append(pair)
        record = np.zeros((SIZE, SIZE, 4), np.uint8)
        return disk_cache.Decoded(record, findings.MapFacts((False,)))

    def look(items, **_):
        for taken, item in enumerate(items):
            if taken % 20 == 5:
                time.sleep(0.1)  # all that is allowed gets decoded
                ahead.append(len(decoded) - taken)
            yield item

    monkeypatch.setattr(cached_dataset, "decode", decode)
    monkeypatch.setattr(cached_dataset, "DECODING_THREADS", 2)
    open_records(split * 20, "disk", tmp_path, progress=look)

    assert len(decoded) == 6 * 20
    # Four a thread, two threads; and some, or nothing would be gained.
    assert 2 < max(ahead) <= 4 * 2


def most_memory(split, kind, tmp_path):
    """Returns the most bytes held while opening and reading five times."""
    gc.collect()
    tracemalloc.start()
    try:
        records = open_records(split, kind, tmp_path, size=128)
        for index in list(range(records.count)) * 5:
            records.read(index)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_grows_with_the_data_only_for_the_memory_cache(
    split, tmp_path, monkeypatch
):
    monkeypatch.setattr(cached_dataset, "DECODING_THREADS", 1)
    record = 128 * 128 * (3 + 1)
    split = split * 5
    assert most_memory(split, "memory", tmp_path) >= 30 * record
    for kind in ("disk", "none"):
        # Four decoded ahead, and about as much again for their making.
        assert most_memory(split, kind, tmp_path) < 10 * record, kind


def test_progress_sees_every_pair(split, tmp_path):
    seen = []

    def progress(items, *, desc, unit):
        for item in items:
            seen.append((item.id, desc, unit))
            yield item

    open_records(split, "memory", tmp_path, progress=progress)

    assert seen == [(name, "decoding", "pair") for name in "abcdef"]
