"""Tests of reading and writing images, odd and damaged ones included."""

import dataclasses
import io
import os
import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from segan_tf import config
from segan_tf.datasets import label_maps
from segan_tf.imaging import formats, images

WHITE, BLACK = (255, 255, 255), (0, 0, 0)


def save(path, image, **options):
    """Saves a PIL image and returns its path as text."""
    image.save(path, **options)
    return str(path)


def orientation(value):
    """Returns EXIF data that holds an orientation."""
    exif = Image.Exif()
    exif[0x0112] = value
    return exif


def write_png_header(path, width, height):
    """Writes a PNG that claims a size and holds no pixels."""

    def chunk(kind, data):
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b""))
        + chunk(b"IEND", b"")
    )
    return str(path)


def icon():
    """Returns a good image of a format that is not read."""
    stream = io.BytesIO()
    Image.new("L", (20, 16)).save(stream, format="ICO")
    return stream.getvalue()


def halves(mode, left, right):
    """Draws 20x16 pixels: the left ten columns one color, then another."""
    image = Image.new(mode, (20, 16), left)
    image.paste(right, (10, 0, 20, 16))
    return image


def assert_halves(array, left, right):
    """Asserts what `halves` draws."""
    assert array.dtype == np.uint8
    assert array.shape == (16, 20, 3)
    assert np.all(array[:, :10] == left), array[0, 0]
    assert np.all(array[:, 10:] == right), array[0, 19]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.jpg", True),
        ("a.JPEG", True),
        ("b/a.Png", True),
        ("a.bmp", True),
        ("a.tif", True),
        ("a.jfif", True),
        ("a.jxl", False),
        ("a.txt", False),
        ("._a.jpg", False),
    ],
)
def test_image_is_recognized_by_its_name(name, expected):
    assert formats.is_image(name) is expected


def test_id_is_the_name_without_folder_and_ending():
    assert images.image_id("/data/b.c/ISIC_0.1.jpg") == "ISIC_0.1"


@pytest.mark.parametrize("ending", ["png", "bmp"])
def test_rgb_is_read_as_it_is(tmp_path, ending):
    path = save(tmp_path / f"a.{ending}", halves("RGB", (1, 2, 3), (9, 8, 7)))
    assert_halves(images.read_image(path), (1, 2, 3), (9, 8, 7))


def test_gray_becomes_three_equal_channels(tmp_path):
    path = save(tmp_path / "a.png", halves("L", 40, 200))
    assert_halves(images.read_image(path), 40, 200)


def test_one_bit_becomes_black_and_white(tmp_path):
    path = save(tmp_path / "a.bmp", halves("1", 0, 1))
    assert_halves(images.read_image(path), 0, 255)


def test_sixteen_bit_gray_is_scaled_not_clipped(tmp_path):
    values = np.full((16, 20), 300, np.uint16)
    values[:, 10:] = 257 * 120
    path = save(tmp_path / "a.png", Image.fromarray(values))
    # 65535 / 255 = 257, so 257 * 120 is 120; 300 / 257 = 1.17 rounds to 1.
    assert_halves(images.read_image(path), 1, 120)


def test_sixteen_bit_white_is_white(tmp_path):
    values = np.full((16, 20), 65535, np.uint16)
    path = save(tmp_path / "a.png", Image.fromarray(values))
    assert_halves(images.read_image(path), 255, 255)


def test_palette_becomes_its_colors(tmp_path):
    image = halves("P", 0, 1)
    image.putpalette([10, 20, 30, 200, 100, 50])
    path = save(tmp_path / "a.png", image)
    assert_halves(images.read_image(path), (10, 20, 30), (200, 100, 50))


def test_cmyk_becomes_rgb(tmp_path):
    # Ink 255 of cyan alone leaves no red: (0, 255, 255).
    image = Image.new("CMYK", (20, 16), (255, 0, 0, 0))
    path = save(tmp_path / "a.jpg", image, quality=95)
    difference = images.read_image(path).astype(int) - (0, 255, 255)
    assert np.abs(difference).max() <= 3


def test_transparent_pixels_are_blended_over_white(tmp_path):
    # Half transparent black over white: 255 * (1 - 128 / 255) = 127.
    image = halves("RGBA", (9, 9, 9, 0), (0, 0, 0, 128))
    path = save(tmp_path / "a.png", image)
    assert_halves(images.read_image(path), 255, 127)


def test_transparent_palette_color_becomes_white(tmp_path):
    image = halves("P", 0, 1)
    image.putpalette([10, 20, 30, 200, 100, 50])
    path = save(tmp_path / "a.png", image, transparency=0)
    assert_halves(images.read_image(path), WHITE, (200, 100, 50))


@pytest.mark.parametrize("ending", ["png", "jpg"])
@pytest.mark.parametrize(
    ("tag", "turn"),
    [
        (1, lambda a: a),
        (2, lambda a: a[:, ::-1]),
        (3, lambda a: a[::-1, ::-1]),
        (4, lambda a: a[::-1]),
        (5, lambda a: a.transpose(1, 0, 2)),
        (6, lambda a: np.rot90(a, -1)),
        (7, lambda a: np.rot90(a, 2).transpose(1, 0, 2)),
        (8, lambda a: np.rot90(a)),
    ],
)
def test_orientation_is_applied_to_pixels_and_size(tmp_path, ending, tag, turn):
    stored = np.zeros((32, 48, 3), np.uint8)
    stored[:16, :16] = 80
    stored[:16, 32:] = 240
    stored[16:, :16] = 160
    path = save(
        tmp_path / f"a.{ending}",
        Image.fromarray(stored),
        exif=orientation(tag),
        **({"quality": 100} if ending == "jpg" else {}),
    )
    upright = turn(stored)
    image = images.read_image(path)
    assert image.shape == upright.shape
    assert np.abs(image.astype(int) - upright).max() <= 4
    assert images.image_size_of(path) == (image.shape[1], image.shape[0])


def test_damaged_orientation_tag_counts_as_upright(tmp_path):
    path = save(
        tmp_path / "a.jpg", halves("L", 0, 255), exif=b"Exif\0\0MM\0*\0\0"
    )
    assert images.image_size_of(path) == (20, 16)
    assert images.read_image(path).shape == (16, 20, 3)


def sixteen_bit():
    """Draws a 16-bit gray image."""
    values = np.full((16, 20), 300, np.uint16)
    values[:, 10:] = 257 * 120
    return Image.fromarray(values)


def with_palette():
    """Draws an image of two palette colors."""
    image = halves("P", 0, 1)
    image.putpalette([10, 20, 30, 200, 100, 50])
    return image


IN_MEMORY = {
    "RGB": (halves("RGB", (1, 2, 3), (9, 8, 7)), {}),
    "gray": (halves("L", 40, 200), {}),
    "one bit": (halves("1", 0, 1), {}),
    "16 bits": (sixteen_bit(), {}),
    "palette": (with_palette(), {}),
    "transparent palette": (with_palette(), {"transparency": 0}),
    "gray with alpha": (halves("LA", (9, 0), (90, 128)), {}),
    "RGBA": (halves("RGBA", (9, 9, 9, 0), (0, 0, 0, 128)), {}),
    "CMYK": (Image.new("CMYK", (20, 16), (255, 0, 9, 0)), {"format": "JPEG"}),
    **{
        f"{form} of orientation {tag}": (
            halves("L", 0, 255),
            {"format": form, "exif": orientation(tag)},
        )
        for tag in (1, 3, 6, 8)
        for form in ("PNG", "JPEG")
    },
}


@pytest.mark.parametrize("name", IN_MEMORY)
@pytest.mark.parametrize("decoded", [False, True])
def test_pil_image_is_converted_as_its_file_is_read(tmp_path, name, decoded):
    image, options = IN_MEMORY[name]
    path = save(tmp_path / "a", image, **{"format": "PNG", **options})
    expected = images.read_image(path)

    with Image.open(path) as opened:
        if decoded:
            opened.load()
        converted = images.as_rgb(opened)

    np.testing.assert_array_equal(converted, expected)
    assert converted.dtype == np.uint8
    np.testing.assert_array_equal(images.as_rgb(path), expected)
    np.testing.assert_array_equal(images.as_rgb(tmp_path / "a"), expected)


def test_rgb_array_is_returned_as_it_is():
    array = np.random.default_rng(0).integers(0, 256, (7, 5, 3), np.uint8)
    np.testing.assert_array_equal(images.as_rgb(array), array)


@pytest.mark.parametrize(
    ("image", "found"),
    [
        (np.zeros((16, 20), np.uint8), r"uint8 \[16, 20\]"),
        (np.zeros((16, 20, 4), np.uint8), r"uint8 \[16, 20, 4\]"),
        (np.zeros((1, 16, 20, 3), np.uint8), r"uint8 \[1, 16, 20, 3\]"),
        (np.zeros((16, 20, 3), np.float32), r"float32 \[16, 20, 3\]"),
        ([[[0, 0, 0]]], "list"),
        (None, "NoneType"),
        (b"\x89PNG", "bytes"),
    ],
)
def test_other_objects_are_a_type_error(image, found):
    message = (
        r"an image must be a uint8 array \[height, width, 3\] of RGB, a PIL "
        rf"image or a path, not {found}\.$"
    )
    with pytest.raises(TypeError, match=message):
        images.as_rgb(image)


@pytest.mark.parametrize("reader", ["image", "label map", "size"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"bad\.png is empty \(zero bytes\)"),
        (b"not an image at all", r"bad\.png is not a JPEG, PNG, BMP"),
        (icon(), r"bad\.png is not a JPEG, PNG, BMP"),
    ],
    ids=["empty", "text", "gif"],
)
def test_error_names_the_bad_file(tmp_path, reader, content, message):
    path = tmp_path / "bad.png"
    path.write_bytes(content)
    read = {
        "image": images.read_image,
        "label map": label_maps.read_label_file,
        "size": images.image_size_of,
    }[reader]
    with pytest.raises(config.UserError, match=message):
        read(path)


@pytest.mark.parametrize("ending", ["jpg", "png", "bmp"])
def test_error_names_the_truncated_image(tmp_path, ending):
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path = tmp_path / f"cut.{ending}"
    save(path, Image.fromarray(noise))
    path.write_bytes(path.read_bytes()[: os.path.getsize(path) // 2])
    with pytest.raises(config.UserError, match=r"cut\.\w+ is damaged or trunc"):
        images.read_image(path)


def test_error_names_the_missing_file_or_the_folder(tmp_path):
    with pytest.raises(config.UserError, match="gone.png cannot be opened"):
        images.read_image(tmp_path / "gone.png")
    with pytest.raises(config.UserError, match="cannot be opened"):
        images.read_image(tmp_path)


@pytest.mark.parametrize("size", [(1, 1), (15, 40), (40, 15)])
def test_tiny_image_is_an_error(tmp_path, size):
    path = save(tmp_path / "a.png", Image.new("L", size))
    message = f"{size[0]}x{size[1]} pixels; an image needs at least 16"
    with pytest.raises(config.UserError, match=message):
        images.image_size_of(path)
    with pytest.raises(config.UserError, match=message):
        images.read_image(path)


def test_image_of_the_minimum_size_is_read(tmp_path):
    path = save(tmp_path / "a.png", Image.new("L", (16, 16)))
    assert images.read_image(path).shape == (16, 16, 3)


@pytest.mark.parametrize("side", [10_001, 12_000, 60_000])
def test_huge_image_is_an_error_before_decoding(tmp_path, side):
    # 10001 ** 2 is just above 100 million; decoding would find no pixels.
    path = write_png_header(tmp_path / "a.png", side, side)
    with pytest.raises(config.UserError, match="too large.*100,000,000"):
        images.read_image(path)
    with pytest.raises(config.UserError, match="too large"):
        images.image_size_of(path)


def test_large_image_gives_no_warning(tmp_path):
    # 9,500 ** 2 = 90 million pixels: Pillow warns above 89 million.
    path = write_png_header(tmp_path / "a.png", 9_500, 9_500)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert images.image_size_of(path) == (9_500, 9_500)


@pytest.mark.parametrize("shape", [(16, 20), (16, 20, 1), (16, 20, 3)])
def test_written_png_is_read_back(tmp_path, shape):
    rng = np.random.default_rng(0)
    array = rng.integers(0, 256, shape, dtype=np.uint8)
    images.write_png(tmp_path / "a.png", array)
    expected = np.broadcast_to(array.reshape(16, 20, -1), (16, 20, 3))
    np.testing.assert_array_equal(
        images.read_image(tmp_path / "a.png"), expected
    )
    assert os.listdir(tmp_path) == ["a.png"]


def test_encoded_image_is_a_png():
    data = images.encode_png(np.zeros((16, 20), np.uint8))
    with Image.open(io.BytesIO(data)) as image:
        assert (image.format, image.size) == ("PNG", (20, 16))


def test_failed_write_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    path.write_bytes(b"old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space left on device"):
        images.write_png(path, np.zeros((16, 16), np.uint8))
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.png"]


def read_icons_too(monkeypatch):
    """Sets in the table of formats that ICO is read."""
    rows = [
        dataclasses.replace(row, is_read=row.is_read or row.name == "ICO")
        for row in formats.FORMATS
    ]
    monkeypatch.setattr(formats, "FORMATS", tuple(rows))


def test_one_row_of_the_table_adds_a_format(tmp_path, monkeypatch):
    path = tmp_path / "a.ico"
    icon_image = halves("RGB", (1, 2, 3), (9, 8, 7))
    save(path, icon_image, sizes=[(20, 16)])
    assert not formats.is_image(path)

    read_icons_too(monkeypatch)

    assert formats.is_image(path)
    assert_halves(images.read_image(path), (1, 2, 3), (9, 8, 7))
    path.write_bytes(b"not an image at all")
    message = "not a JPEG.* or ICO image"
    with pytest.raises(config.UserError, match=message):
        images.read_image(path)
