"""Tests of the checks of headers and of whole files."""

import re

import numpy as np
import pytest
from PIL import Image

from segan_tf import labels
from segan_tf.datasets import checks, pairs, splits


def no_progress(iterable, **_):
    """Replaces a progress bar."""
    return iterable


def draw_image(path, seed, size=(64, 48)):
    """Draws noise, so that no two seeds look alike."""
    rng = np.random.default_rng(seed)
    noise = rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)


def draw_label_map(path, size=(64, 48), inside=255, outside=0):
    """Draws a rectangle of a quarter of the image in its middle."""
    width, height = size
    label_map = Image.new("L", size, outside)
    box = (width // 4, height // 4, width - width // 4, height - height // 4)
    label_map.paste(inside, box)
    label_map.save(path)


@pytest.fixture
def folder(tmp_path):
    """Returns four good pairs a, b, c, d in images/ and masks/."""
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    for seed, name in enumerate("abcd"):
        draw_image(tmp_path / "images" / f"{name}.png", seed)
        draw_label_map(tmp_path / "masks" / f"{name}.png")
    return tmp_path


def find(folder):
    """Returns the pairs of the folder."""
    return pairs.find_pairs(str(folder)).pairs


def check(folder, **options):
    """Checks a and b as training, c as validation and d as test pairs."""
    ids = {"train": ["a", "b"], "validation": ["c"], "test": ["d"]}
    return checks.check_pairs(
        splits.splits_from_ids(find(folder), ids),
        progress=no_progress,
        **options,
    )


def test_good_pairs_have_no_problems(folder):
    report = check(folder)
    assert checks.check_headers(find(folder)).problems == {}
    assert (report.problems, report.warnings, report.near_duplicates) == (
        {},
        {},
        (),
    )
    assert not report.blocks_training
    assert report.counts == {"train": 2, "validation": 1, "test": 1}
    assert report.sizes == ((64, 48),) * 4
    # The rectangle has half the width and half the height.
    assert report.shares == (0.5 * 0.5,) * 4


def test_summary_lists_counts_sizes_and_shares(folder):
    draw_image(folder / "images" / "d.png", 9, size=(128, 96))
    draw_label_map(folder / "masks" / "d.png", size=(128, 96))
    assert check(folder).summary().splitlines() == [
        f"4 pairs in {folder / 'images'}: 2 train, 1 validation, 1 test",
        "image size: smallest 64x48, median 64x48, largest 128x96",
        "share of the image marked: minimum 25.0%, median 25.0%, maximum "
        "25.0%, mean 25.0%",
        "values in the label maps: 0, 255",
        "near duplicates within one split: 0",
        "training can use these pairs",
    ]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("images/b.png", b"", "b.png is empty"),
        ("masks/b.png", b"text", "b.png is not a JPEG, PNG, BMP"),
    ],
)
def test_unreadable_header_is_found_without_decoding(
    folder, name, content, message
):
    (folder / name).write_bytes(content)
    for problems in (
        checks.check_headers(find(folder)).problems,
        check(folder).problems,
    ):
        assert list(problems) == ["b"]
        assert message in problems["b"]
        assert str(folder / name) in problems["b"]


def test_both_bad_files_of_a_pair_are_reported(folder):
    (folder / "images/b.png").write_bytes(b"")
    (folder / "masks/b.png").write_bytes(b"")
    problems = checks.check_headers(find(folder)).problems
    assert str(folder / "images/b.png") in problems["b"]
    assert str(folder / "masks/b.png") in problems["b"]
    assert "\n" not in problems["b"]


def test_different_sizes_are_found_without_decoding(folder):
    draw_label_map(folder / "masks" / "c.png", size=(48, 64))
    message = r"c.png is 64x48 pixels but its label map .*c.png is 48x64"
    for problems in (
        checks.check_headers(find(folder)).problems,
        check(folder).problems,
    ):
        assert list(problems) == ["c"]
        assert re.search(message, problems["c"])


def test_sizes_are_compared_after_turning_upright(folder):
    exif = Image.Exif()
    exif[0x0112] = 6
    with Image.open(folder / "images" / "c.png") as image:
        image.rotate(90, expand=True).save(
            folder / "images" / "c.png", exif=exif
        )
    assert checks.check_headers(find(folder)).problems == {}
    assert not check(folder).problems


def test_tiny_image_is_found_without_decoding(folder):
    draw_image(folder / "images" / "a.png", 0, size=(1, 1))
    problems = checks.check_headers(find(folder)).problems
    assert "1x1 pixels; an image needs at least 16" in problems["a"]


def test_truncated_image_is_found_by_decoding(folder):
    path = folder / "images" / "d.png"
    path.write_bytes(path.read_bytes()[:-2000])
    report = check(folder)
    assert checks.check_headers(find(folder)).problems == {}
    assert list(report.problems) == ["d"]
    assert "damaged or truncated" in report.problems["d"]
    assert report.blocks_training
    assert str(path) in report.summary()
    assert "training would end with an error" in report.summary()


def test_label_map_of_three_values_is_a_problem(folder):
    draw_label_map(folder / "masks" / "a.png", inside=100, outside=0)
    with Image.open(folder / "masks" / "a.png") as label_map:
        label_map.paste(255, (0, 0, 3, 3))
        label_map.save(folder / "masks" / "a.png")
    report = check(folder)
    assert "holds the values 0, 100, 255" in report.problems["a"]
    assert report.blocks_training


def test_index_maps_are_checked_with_their_number_of_labels(folder):
    draw_label_map(folder / "masks" / "a.png", inside=2, outside=1)
    for name in "bcd":
        draw_label_map(folder / "masks" / f"{name}.png", inside=3)
    report = check(folder, labels=labels.Labels(("a", "b")))
    assert sorted(report.problems) == ["b", "c", "d"]
    assert "is full" in report.warnings["a"]


def test_each_label_is_described_and_reported_as_absent_from_a_split(folder):
    for name in "abcd":
        draw_label_map(folder / "masks" / f"{name}.png", inside=1)
    with Image.open(folder / "masks" / "a.png") as label_map:
        label_map.paste(2, (0, 0, 16, 12))  # a sixteenth of one of four
        label_map.save(folder / "masks" / "a.png")
    report = check(folder, labels=labels.Labels(("x", "y")))
    assert report.values == {"0": 4, "1": 4, "2": 1}
    assert report.labels["y"].images == {"train": 1, "validation": 0, "test": 0}
    assert report.labels["y"].share == 1 / 16 / 4
    lines = report.summary().splitlines()
    assert "x: 25.00% of all pixels, in 4 pairs" in lines
    assert "y: 1.56% of all pixels, in 1 pairs" in lines
    at = lines.index("labels absent from a split (warning): 2")
    assert lines[at + 1 : at + 3] == [
        "  y: in none of the 1 pairs for validation",
        "  y: in none of the 1 pairs for test",
    ]
    assert not report.blocks_training


@pytest.mark.parametrize(
    ("inside", "outside", "message"),
    [
        (0, 0, "is empty, it marks nothing"),
        (255, 255, "is full, it marks the whole image"),
        (0, 255, "may be inverted, it marks 100% of the border"),
    ],
)
def test_odd_label_map_is_a_warning_only(folder, inside, outside, message):
    draw_label_map(folder / "masks" / "b.png", inside=inside, outside=outside)
    report = check(folder)
    assert list(report.warnings) == ["b"]
    assert message in report.warnings["b"]
    assert report.warnings["b"] in report.summary()
    assert not report.blocks_training


def test_large_lesion_that_touches_the_frame_is_not_called_inverted(folder):
    label_map = np.full((48, 64), 255, np.uint8)
    label_map[:3, :3] = 0
    Image.fromarray(label_map).save(folder / "masks" / "b.png")
    assert check(folder).warnings == {}


def test_near_duplicate_across_splits_is_a_leak(folder):
    with Image.open(folder / "images" / "a.png") as image:
        image.save(folder / "images" / "d.png")
    report = check(folder)
    (leak,) = report.leaks
    assert (leak.names, leak.splits) == (("a", "d"), ("train", "test"))
    assert "a (train) and d (test), similarity 1.00" in report.summary()
    assert not report.blocks_training


def test_near_duplicate_within_a_split_is_counted(folder):
    with Image.open(folder / "images" / "a.png") as image:
        image.save(folder / "images" / "b.png")
    report = check(folder)
    assert report.leaks == ()
    assert "near duplicates within one split: 1" in report.summary()


def test_files_without_a_partner_block_training(folder):
    report = check(folder, unmatched=("image without label map: e.png",))
    assert report.blocks_training
    assert "image without label map: e.png" in report.summary()


def test_unused_pairs_are_counted_but_not_read(folder):
    (folder / "images" / "d.png").write_bytes(b"")
    report = checks.check_pairs(
        splits.splits_from_ids(find(folder), {"train": ["a", "b", "c"]}),
        progress=no_progress,
    )
    assert report.counts["unused"] == 1
    assert "1 unused" in report.summary()
    assert not report.blocks_training


def test_progress_sees_every_pair(folder):
    seen = []

    def progress(iterable, *, total, **_):
        for item in iterable:
            seen.append(total)
            yield item

    ids = {"train": ["a", "b"], "validation": ["c"], "test": ["d"]}
    checks.check_pairs(
        splits.splits_from_ids(find(folder), ids), progress=progress
    )
    assert seen == [4, 4, 4, 4]


def test_report_is_made_even_if_nothing_is_readable(folder):
    for name in "abcd":
        (folder / "images" / f"{name}.png").write_bytes(b"")
    report = check(folder)
    assert sorted(report.problems) == ["a", "b", "c", "d"]
    assert "pairs that cannot be used: 4" in report.summary()
