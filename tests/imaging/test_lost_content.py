"""Tests that no image is read as nothing, and that sound ones are read."""

import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from segan_tf import config
from segan_tf.imaging import images

SIDE = 20


def gray_16_bits(largest):
    values = np.full((SIDE, SIDE), largest, np.uint16)
    values[:5] = largest // 2
    return Image.fromarray(values)


def color_png_of_16_bits(value):
    """Writes what Pillow cannot: an RGB PNG of 16 bits a value."""

    def chunk(kind, content):
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    row = b"\0" + struct.pack(">H", value) * 3 * SIDE
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", SIDE, SIDE, 16, 2, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(row * SIDE))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("bits", [8, 10, 12, 14])
def test_image_that_uses_few_of_its_16_bits_is_an_error(tmp_path, bits):
    largest = 2**bits - 1
    gray_16_bits(largest).save(tmp_path / "gray.png")
    (tmp_path / "color.png").write_bytes(color_png_of_16_bits(largest))
    for name in ("gray", "color"):
        with pytest.raises(
            config.UserError,
            match=f"uses {bits} .its largest is {largest} of 65535.* multiply "
            f"its values by {2 ** (16 - bits)}, the same for all",
        ):
            images.read_image(tmp_path / f"{name}.png")


@pytest.mark.parametrize("largest", [2**15, 65535])
def test_image_that_uses_its_16_bits_is_read(tmp_path, largest):
    gray_16_bits(largest).save(tmp_path / "a.png")
    read = images.read_image(tmp_path / "a.png")
    assert read.max() == round(largest / 65535 * 255)
    (tmp_path / "b.png").write_bytes(color_png_of_16_bits(largest))
    assert images.read_image(tmp_path / "b.png").max() == largest >> 8


def test_black_image_of_16_bits_is_black(tmp_path):
    gray_16_bits(0).save(tmp_path / "a.png")
    assert not images.read_image(tmp_path / "a.png").any()


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_fully_transparent_image_is_an_error(tmp_path, mode):
    image = Image.new("RGB", (SIDE, SIDE), (200, 100, 50))
    options = {}
    if mode == "P":
        image = image.convert("P", palette=Image.Palette.ADAPTIVE)
        options["transparency"] = bytes(256)
    else:
        image = image.convert(mode)
        image.putalpha(0)
    image.save(tmp_path / "a.png", **options)
    with pytest.raises(config.UserError, match="a.png is fully transparent"):
        images.read_image(tmp_path / "a.png")


def test_array_of_a_transparent_image_in_memory_is_an_error():
    image = Image.new("RGBA", (SIDE, SIDE), (200, 100, 50, 0))
    with pytest.raises(config.UserError, match="^the image is fully transp"):
        images.as_rgb(image)


def test_partly_transparent_image_is_read(tmp_path):
    image = Image.new("RGBA", (SIDE, SIDE), (200, 100, 50, 0))
    image.putpixel((3, 4), (200, 100, 50, 255))
    image.save(tmp_path / "a.png")
    assert images.read_image(tmp_path / "a.png")[4, 3].tolist() == [
        200,
        100,
        50,
    ]


def test_png_with_a_profile_or_text_of_megabytes_is_read(tmp_path):
    image = Image.new("RGB", (SIDE, SIDE), (1, 2, 3))
    image.save(tmp_path / "profile.png", icc_profile=os.urandom(2 << 20))
    text = PngImagePlugin.PngInfo()
    text.add_text("XML:com.adobe.xmp", "x" * (3 << 20), zip=True)
    text.add_itxt("note", "y" * (3 << 20), zip=True)
    image.save(tmp_path / "text.png", pnginfo=text)
    for name in ("profile", "text"):
        read = images.read_image(tmp_path / f"{name}.png")
        assert read[0, 0].tolist() == [1, 2, 3]


def test_png_with_text_that_unpacks_to_far_more_is_an_error(tmp_path):
    text = PngImagePlugin.PngInfo()
    text.add_text("bomb", "x" * (65 << 20), zip=True)
    Image.new("RGB", (SIDE, SIDE)).save(tmp_path / "a.png", pnginfo=text)
    with pytest.raises(config.UserError, match="text or color profile"):
        images.read_image(tmp_path / "a.png")
