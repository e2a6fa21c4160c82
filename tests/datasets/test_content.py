"""Tests of knowing pairs by what their files hold."""

import os

import pytest

from segan_tf import config, labels
from segan_tf.datasets import content, pairs


def write_pair(folder, name, *, image=b"image", label_map=b"map"):
    """Writes files of these bytes, which no test decodes."""
    folder.mkdir(exist_ok=True)
    image_path = folder / f"{name}.jpg"
    label_map_path = folder / f"{name}.png"
    image_path.write_bytes(image)
    label_map_path.write_bytes(label_map)
    return pairs.Pair(name, str(image_path), (str(label_map_path),))


def take(tmp_path, data):
    path = tmp_path / "file"
    path.write_bytes(data)
    return content.take_fingerprint(str(path))


@pytest.mark.parametrize("size", [0, 1, 1000, 256 * 1024, 300_000, 5_000_000])
def test_same_bytes_have_the_same_fingerprint_wherever_they_are(size, tmp_path):
    data = bytes(range(251)) * (size // 251 + 1)
    (tmp_path / "elsewhere").mkdir()

    here = take(tmp_path, data[:size])

    assert here == take(tmp_path / "elsewhere", data[:size])
    assert here != take(tmp_path, data[:size] + b"x")


@pytest.mark.parametrize("place", [0, 500, 999])
def test_any_byte_of_a_small_file_counts(place, tmp_path):
    data = bytearray(1000)
    before = take(tmp_path, data)
    data[place] = 1
    assert take(tmp_path, data) != before


@pytest.mark.parametrize("place", [0, 2_500_000, 4_999_999])
def test_start_middle_and_end_of_a_large_file_count(place, tmp_path):
    # Of 16 parts of 16 KiB from end to end, the 8th begins at
    # (5,000,000 - 16,384) * 8 / 15 = 2,657,928.
    data = bytearray(5_000_000)
    before = take(tmp_path, data)
    data[place : place + 200_000] = b"x" * len(data[place : place + 200_000])
    assert take(tmp_path, data) != before


def test_file_that_cannot_be_read_is_named(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name, reason in (("gone", "No such file"), ("pipe", "a named pipe")):
        with pytest.raises(config.UserError, match=reason) as raised:
            content.take_fingerprint(str(tmp_path / name))
        assert str(tmp_path / name) in str(raised.value)


def test_record_is_read_as_it_was_written(tmp_path):
    pair = write_pair(tmp_path, "a")
    record = content.make_record([pair], labels.LESION)

    content.write_record(record, str(tmp_path))

    assert content.read_record(str(tmp_path)) == record
    image, label_map = map(
        content.take_fingerprint, (pair.image_path, *pair.label_map_paths)
    )
    assert record.pairs == {"a": content.Fingerprint(image, (label_map,))}


def test_run_without_a_record_has_none(tmp_path):
    assert content.read_record(str(tmp_path)) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"pairs": 3, "labels": {}}',
        '{"pairs": {"a": {"image": "x"}}, "labels": {}}',
        '{"pairs": {"a": {"image": "x", "label_maps": 3}}, "labels": {}}',
        '{"pairs": {}, "labels": 7}',
    ],
)
def test_damaged_record_is_named(text, tmp_path):
    path = tmp_path / content.FILE_NAME
    path.write_text(text)
    with pytest.raises(config.UserError, match="cannot be understood") as error:
        content.read_record(str(tmp_path))
    assert str(path) in str(error.value)


def test_changed_pairs_are_found_by_id(tmp_path):
    names = "same", "image", "map", "removed"
    before = content.take_fingerprints(
        write_pair(tmp_path / "before", name) for name in names
    )
    after = content.take_fingerprints(
        [
            write_pair(tmp_path / "after", "same"),
            write_pair(tmp_path / "after", "image", image=b"other"),
            write_pair(tmp_path / "after", "map", label_map=b"other"),
            write_pair(tmp_path / "after", "added"),
        ]
    )

    assert content.find_changed(before, after) == ["image", "map"]


def test_images_are_recognized_in_another_folder(tmp_path):
    recorded = content.take_fingerprints(
        write_pair(tmp_path / "before", name) for name in ("a", "b", "c")
    )
    moved = [
        write_pair(tmp_path / "after", "a", label_map=b"other"),
        write_pair(tmp_path / "after", "b", image=b"other"),
        write_pair(tmp_path / "after", "d"),
    ]
    os.remove(write_pair(tmp_path / "after", "c").image_path)

    assert content.with_recorded_images(recorded, moved) == {"a"}
