"""Tests of reading label maps: what marks a label, and errors."""

import numpy as np
import pytest
from PIL import Image

from segan_tf import config
from segan_tf import labels as labels_lib
from segan_tf.datasets import label_maps, pairs

BLACK, WHITE, RED, GREEN = (0,) * 3, (255,) * 3, (255, 0, 0), (0, 255, 0)


def save(path, image, **options):
    image.save(path, **options)
    return path


def halves(mode, left, right):
    """Makes an image of 20x16 pixels with two halves."""
    image = Image.new(mode, (20, 16), left)
    image.paste(right, (10, 0, 20, 16))
    return image


def make_labels(count, **options):
    names = labels_lib.default_names(count)
    return labels_lib.Labels(names, **options)


def orientation(value):
    tags = Image.Exif()
    tags[0x0112] = value
    return tags


def test_label_map_is_turned_by_its_own_tag(tmp_path):
    stored = np.zeros((16, 20), np.uint8)
    stored[0, 0] = 255
    image = Image.fromarray(stored)
    plain = save(tmp_path / "a.png", image)
    turned = save(tmp_path / "b.png", image, exif=orientation(6))
    assert label_maps.read_label_file(plain)[0, 0, 0] == 1
    # Tag 6 turns clockwise: the top left corner comes to the top right.
    label_map = label_maps.read_label_file(turned)
    assert label_map.shape == (20, 16, 1)
    assert label_map[0, 15, 0] == 1
    assert label_map.sum() == 1


@pytest.mark.parametrize("value", [1, 7, 255])
@pytest.mark.parametrize("ending", ["png", "bmp"])
def test_any_foreground_value_means_one(tmp_path, value, ending):
    path = save(tmp_path / f"a.{ending}", halves("L", 0, value))
    label_map = label_maps.read_label_file(path)
    assert label_map.dtype == np.uint8
    assert label_map.shape == (16, 20, 1)
    assert not label_map[:, :10].any()
    assert label_map[:, 10:].all()


@pytest.mark.parametrize(
    ("mode", "background", "foreground"),
    [
        ("1", 0, 1),
        ("I;16", 0, 65535),
        ("LA", (0, 255), (255, 255)),
        ("RGB", BLACK, WHITE),
        ("RGBA", (*BLACK, 255), (*WHITE, 255)),
        ("RGBA", (*WHITE, 0), (*WHITE, 255)),
    ],
)
def test_label_map_of_any_mode_is_read(tmp_path, mode, background, foreground):
    path = save(tmp_path / "a.png", halves(mode, background, foreground))
    label_map = label_maps.read_label_file(path)
    assert not label_map[:, :10].any()
    assert label_map[:, 10:].all()


@pytest.mark.parametrize(
    ("palette", "expected"),
    [
        ([255, 255, 255, 0, 0, 0], (1, 0)),  # Gray: its colors count.
        ([0, 0, 0, 128, 0, 0], (0, 1)),  # Colored: its numbers count.
    ],
)
def test_palette_label_map_is_read(tmp_path, palette, expected):
    image = halves("P", 0, 1)
    image.putpalette(palette)
    label_map = label_maps.read_label_file(save(tmp_path / "a.png", image))
    assert (label_map[0, 0, 0], label_map[0, 19, 0]) == expected


@pytest.mark.parametrize(("value", "share"), [(0, 0), (1, 1), (255, 1)])
def test_constant_label_map_is_empty_or_full(tmp_path, value, share):
    path = save(tmp_path / "a.png", Image.new("L", (16, 16), value))
    assert label_maps.read_label_file(path).mean() == share


def test_label_map_of_many_values_is_an_error(tmp_path):
    values = np.zeros((16, 16), np.uint8)
    values[0, :7] = [3, 10, 20, 30, 40, 50, 255]
    path = save(tmp_path / "a.png", Image.fromarray(values))
    with pytest.raises(
        config.UserError,
        match=r"a\.png holds the values 0, 3, 10, 20, 30 and 3 more; .*"
        "two-valued; save it as PNG with 0 and 255",
    ):
        label_maps.read_label_file(path)


def test_two_values_without_zero_are_an_error(tmp_path):
    path = save(tmp_path / "a.png", halves("L", 1, 2))
    with pytest.raises(config.UserError, match="holds the values 1, 2;"):
        label_maps.read_label_file(path)


def test_colored_label_map_without_labels_json_is_an_error(tmp_path):
    path = save(tmp_path / "a.png", halves("RGB", BLACK, (255, 0, 16)))
    with pytest.raises(
        config.UserError, match="colors #000000, #ff0010; name the label of"
    ):
        label_maps.read_label_file(path)


def test_index_map_becomes_one_channel_for_each_label(tmp_path):
    values = np.zeros((16, 16), np.uint8)
    values[0, 1:4] = [1, 2, 3]
    path = save(tmp_path / "a.png", Image.fromarray(values))
    label_map = label_maps.read_label_file(path, make_labels(3))
    assert label_map.dtype == np.uint8
    assert label_map.shape == (16, 16, 3)
    np.testing.assert_array_equal(
        label_map[0, :4], [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]
    )
    assert label_map.sum() == 3


def test_label_above_the_number_of_labels_is_an_error(tmp_path):
    path = save(tmp_path / "a.png", halves("L", 0, 3))
    with pytest.raises(
        config.UserError, match=r"values 0, 3; --num_labels \(2\) allows 0 to 2"
    ):
        label_maps.read_label_file(path, make_labels(2))


def write_values(path, *values):
    """Writes a label map whose first pixels have these values."""
    array = np.zeros((16, 16), np.uint8)
    array[0, : len(values)] = values
    return save(path, Image.fromarray(array))


def test_values_are_the_labels_that_labels_json_names(tmp_path):
    path = write_values(tmp_path / "a.png", 7, 9, 100)
    # 7 is no label, 9 and 100 are one.
    labels = labels_lib.Labels(
        ("x", "y"), marks=((0, 0), (7, 0), (9, 2), (100, 2), (5, 1))
    )
    label_map = label_maps.read_label_file(path, labels)
    np.testing.assert_array_equal(
        label_map[0, :4], [[0, 0], [0, 1], [0, 1], [0, 0]]
    )
    assert label_map.sum() == 2


def test_value_without_a_name_in_labels_json_is_an_error(tmp_path):
    path = write_values(tmp_path / "a.png", 1, 4)
    labels = labels_lib.Labels(("x",), marks=((0, 0), (1, 1)))
    with pytest.raises(
        config.UserError,
        match=r"a\.png holds the values 4; labels.json names only 0, 1",
    ):
        label_maps.read_label_file(path, labels)


def test_colors_are_the_labels_that_labels_json_names(tmp_path):
    path = save(tmp_path / "a.png", halves("RGB", RED, GREEN))
    labels = labels_lib.Labels(
        ("x", "y"),
        marks=((0, 0), (0x00FF00, 1), (0xFF0000, 2)),
        by_color=True,
    )
    label_map = label_maps.read_label_file(path, labels)
    assert label_map[0, 0].tolist() == [0, 1]
    assert label_map[0, 19].tolist() == [1, 0]


def test_color_without_a_name_in_labels_json_is_an_error(tmp_path):
    path = save(tmp_path / "a.png", halves("RGB", RED, GREEN))
    labels = labels_lib.Labels(
        ("x",), marks=((0, 0), (0xFF0000, 1)), by_color=True
    )
    with pytest.raises(
        config.UserError,
        match="holds the colors #00ff00; labels.json names only #000000, "
        "#ff0000",
    ):
        label_maps.read_label_file(path, labels)


def pair_of(tmp_path, *maps):
    """Makes a pair with a binary label map for each label."""
    paths = [
        str(save(tmp_path / f"a_{i}.png", image))
        for i, image in enumerate(maps)
    ]
    image = str(save(tmp_path / "a.jpg", halves("RGB", RED, GREEN)))
    return pairs.Pair("a", image, tuple(paths))


def test_one_file_for_each_label_becomes_one_channel_each(tmp_path):
    pair = pair_of(tmp_path, halves("L", 0, 255), halves("L", 255, 255))
    image, label_map = label_maps.read_pair(
        pair, make_labels(2, multiclass=False)
    )
    assert image.shape == (16, 20, 3)
    assert label_map[0, 0].tolist() == [0, 1]
    assert label_map[0, 19].tolist() == [1, 1]


def test_multiclass_labels_that_overlap_are_an_error(tmp_path):
    pair = pair_of(tmp_path, halves("L", 0, 255), halves("L", 255, 255))
    with pytest.raises(
        config.UserError,
        match=r"a_0\.png, .*a_1\.png overlap in 160 pixels; .*--label_kind",
    ):
        label_maps.read_label_map(pair, make_labels(2))


def test_label_maps_of_an_image_must_have_the_same_size(tmp_path):
    pair = pair_of(tmp_path, halves("L", 0, 255), Image.new("L", (20, 17)))
    for read in (
        label_maps.header_findings,
        lambda pair: label_maps.read_label_map(pair, make_labels(2)),
    ):
        with pytest.raises(config.UserError, match="a_1.png is 20x17 .* 20x16"):
            read(pair)


def test_image_and_label_map_of_different_sizes_are_an_error(tmp_path):
    pair = pair_of(tmp_path, Image.new("L", (16, 16)))
    with pytest.raises(config.UserError, match=r"20x16 pixels but its .*16x16"):
        label_maps.read_pair(pair, labels_lib.LESION)


def test_each_value_found_is_listed_once(tmp_path):
    pair = pair_of(tmp_path, halves("L", 0, 255), halves("L", 0, 1))
    found = label_maps.values_found(pair, make_labels(2))
    assert found == ("0", "1", "255")
