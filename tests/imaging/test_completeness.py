"""Tests that no decoder fills up what an image file does not hold."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from segan_tf import config
from segan_tf.imaging import images

SIDE = 64
MESSAGE = "is damaged: it holds fewer pixels than its header says"


def noise(side=SIDE):
    rng = np.random.default_rng(0)
    return Image.fromarray(
        rng.integers(0, 256, (side, side, 3), dtype=np.uint8)
    )


def encode(image, kind, **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return bytearray(stream.getvalue())


def jpeg_that_claims(width, height, mode="RGB", **options):
    data = encode(noise().convert(mode), "JPEG", **options)
    marker = b"\xff\xc2" if options.get("progressive") else b"\xff\xc0"
    at = data.index(marker) + 5
    data[at : at + 4] = struct.pack(">HH", height, width)
    return data


def png_that_claims(width, height, image=None):
    data = encode(image or noise(), "PNG")
    data[16:24] = struct.pack(">II", width, height)
    data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    return data


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"progressive": True},
        {"restart_marker_blocks": 1},
        {"restart_marker_blocks": 4},
        {"mode": "L"},
        {"mode": "CMYK"},
    ],
)
@pytest.mark.parametrize(
    ("width", "height"), [(SIDE, 2 * SIDE), (2 * SIDE, SIDE), (SIDE, SIDE + 32)]
)
def test_jpeg_that_ends_early_is_damaged(tmp_path, width, height, options):
    path = tmp_path / "a.jpg"
    path.write_bytes(jpeg_that_claims(width, height, **options))
    with pytest.raises(config.UserError, match=MESSAGE):
        images.read_image(path)


def test_jpeg_that_ends_early_after_stray_bytes_is_damaged(tmp_path):
    data = jpeg_that_claims(SIDE, 2 * SIDE)
    path = tmp_path / "a.jpg"
    path.write_bytes(data[:20] + b"\xff\xd0\x12\x34" + data[20:])
    with pytest.raises(config.UserError, match=MESSAGE):
        images.read_image(path)


def test_jpeg_of_a_few_kilobytes_has_no_100_megapixels(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(jpeg_that_claims(10_000, 10_000))
    # The header is enough to tell.
    with pytest.raises(config.UserError, match=MESSAGE):
        images.image_size_of(path)


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "1"])
def test_png_that_ends_early_is_damaged(tmp_path, mode):
    path = tmp_path / "a.png"
    image = noise().convert(mode)
    path.write_bytes(png_that_claims(SIDE, 2 * SIDE, image))
    with pytest.raises(config.UserError, match=MESSAGE):
        images.decode(path)


@pytest.mark.parametrize("color", [0, 128])
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("JPEG", {"restart_marker_blocks": 3}),
        ("PNG", {}),
    ],
)
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_image_with_an_even_lower_end_is_whole(
    tmp_path, color, kind, options, mode
):
    image = noise()
    image.paste((color, color, color), (0, SIDE // 2, SIDE, SIDE))
    path = tmp_path / f"a.{kind.lower()[:3].replace('jpe', 'jpg')}"
    path.write_bytes(encode(image.convert(mode), kind, **options))
    assert images.read_image(path).shape == (SIDE, SIDE, 3)


@pytest.mark.parametrize("side", [16, 17, 300])
@pytest.mark.parametrize("optimize", [False, True])
def test_flat_jpeg_is_long_enough(tmp_path, side, optimize):
    path = tmp_path / "a.jpg"
    flat = Image.new("RGB", (side, side), (128, 128, 128))
    path.write_bytes(
        encode(flat, "JPEG", quality=1, optimize=optimize, progressive=optimize)
    )
    assert images.read_image(path).shape == (side, side, 3)


def test_black_interlaced_png_is_whole(tmp_path):
    # Pillow writes none, so its passes are put together here: 17x17, gray.
    side = 17
    passes = ((0, 8, 0, 8), (4, 8, 0, 8), (0, 4, 4, 8), (2, 4, 0, 4))
    passes += ((0, 2, 2, 4), (1, 2, 0, 2), (0, 1, 1, 2))
    rows = b"".join(
        bytes(1 + len(range(left, side, across)))
        for left, across, top, down in passes
        for _ in range(top, side, down)
    )

    def chunk(kind, content):
        body = kind + content
        check = struct.pack(">I", zlib.crc32(body))
        return struct.pack(">I", len(content)) + body + check

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 1)
    path = tmp_path / "a.png"
    for count, is_whole in ((len(rows), True), (len(rows) - 9, False)):
        path.write_bytes(
            b"\x89PNG\r\n\x1a\n"
            + chunk(b"IHDR", header)
            + chunk(b"IDAT", zlib.compress(rows[:count]))
            + chunk(b"IEND", b"")
        )
        if is_whole:
            assert not images.read_image(path).any()
        else:
            with pytest.raises(config.UserError, match="is damaged"):
                images.read_image(path)


def test_png_whose_end_is_zeros_is_damaged(tmp_path):
    square = np.zeros((200, 200), np.uint8)
    square[50:150] = 255
    path = tmp_path / "a.png"
    data = encode(Image.fromarray(square), "PNG")
    for kept in range(40, len(data) - 12, 5):  # of the last chunk all is known
        path.write_bytes(data[:kept] + bytes(len(data) - kept))
        with pytest.raises(config.UserError, match="is damaged"):
            images.decode(path)


def test_png_with_other_pixels_than_its_checksum_is_damaged(tmp_path):
    path = tmp_path / "a.png"
    # Stored as they are, so that any value can be unpacked.
    data = encode(noise(), "PNG", compress_level=0)
    data[data.index(b"IDAT") + 100] ^= 1
    path.write_bytes(data)
    with pytest.raises(config.UserError, match="is damaged"):
        images.decode(path)


def test_png_with_bytes_after_its_end_is_whole(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(encode(noise(), "PNG") + b"\0\0\0\4IDATabcd")
    np.testing.assert_array_equal(images.decode(path), noise())
