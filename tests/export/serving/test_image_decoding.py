"""Tests that a server decodes images as training does."""

import io
import struct

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from export.serving import headers, image_decoding
from segan_tf.imaging import images
from segan_tf.synthetic import lesions
from tests.support import spoiled_images

_HEIGHT, _WIDTH = 40, 60


@tf.function(input_signature=[tf.TensorSpec((), tf.string)])
def _read_in_graph(content):
    return image_decoding.read_image(content)


class BadFileError(Exception):
    """What the graph says of a file."""


def _read(content):
    image, problem = _read_in_graph(tf.constant(content))
    if problem.numpy():
        # A segmentor can read it, whatever the file was.
        assert image.numpy().tolist() == [[[0, 0, 0]]]
        raise BadFileError(problem.numpy().decode())
    return image.numpy()


def _draw(mode="RGB"):
    """Draws a lesion; alpha, if any, increases from left to right."""
    drawn = lesions.draw_lesion(0, 0, size=(_HEIGHT, _WIDTH)).image
    image = Image.fromarray(drawn)
    if mode in ("RGBA", "LA"):
        alpha = np.tile(np.linspace(0, 255, _WIDTH), (_HEIGHT, 1))
        image.putalpha(Image.fromarray(np.uint8(alpha)))
    if mode == "I;16":
        gray = np.uint16(image.convert("L")) * 257
        return Image.fromarray(gray)
    return image.convert(mode)


def _encode(image, kind, **options):
    stream = io.BytesIO()
    image.save(stream, format=kind, **options)
    return stream.getvalue()


def _read_as_in_training(content, tmp_path):
    path = tmp_path / "image"
    path.write_bytes(content)
    return images.read_image(path)


@pytest.mark.parametrize(
    ("kind", "mode", "tolerance"),
    [
        ("PNG", "RGB", 0),
        ("PNG", "L", 0),
        ("PNG", "1", 0),
        ("PNG", "P", 0),
        ("PNG", "I;16", 0),
        ("PNG", "RGBA", 1),  # both round, at different places
        ("PNG", "LA", 1),
        ("BMP", "RGB", 0),
        ("BMP", "RGBA", 0),
        ("JPEG", "RGB", 0),
        ("JPEG", "L", 0),
        ("JPEG", "CMYK", 1),
    ],
)
def test_image_is_read_as_in_training(kind, mode, tolerance, tmp_path):
    content = _encode(_draw(mode), kind)

    image = _read(content)

    expected = _read_as_in_training(content, tmp_path)
    assert image.dtype == np.uint8
    assert image.shape == (_HEIGHT, _WIDTH, 3)
    assert np.ptp(expected) > 50
    np.testing.assert_allclose(
        np.int32(image), np.int32(expected), atol=tolerance
    )


def test_transparent_palette_indices_are_white():
    image = Image.new("P", (20, 20))
    image.putpalette([200, 0, 0, 0, 200, 0])
    image.paste(1, (0, 0, 10, 20))

    image = _read(_encode(image, "PNG", transparency=0))

    assert image[0, 0].tolist() == [0, 200, 0]
    assert image[0, 19].tolist() == [255, 255, 255]


def _exif(orientation, order="<"):
    """Makes an EXIF segment's content with a tag before the orientation."""
    mark = {"<": b"II", ">": b"MM"}[order]
    entries = struct.pack(f"{order}HHII", 0x0100, 4, 1, 60)
    entries += struct.pack(f"{order}HHIHH", 0x0112, 3, 1, orientation, 0)
    return (
        b"Exif\0\0"
        + mark
        + struct.pack(f"{order}HIH", 42, 8, 2)
        + entries
        + bytes(4)
    )


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_rotated_image_is_turned_upright_as_in_training(
    orientation, order, tmp_path
):
    content = _encode(_draw(), "JPEG", exif=_exif(orientation, order))

    image = _read(content)

    expected = _read_as_in_training(content, tmp_path)
    assert expected.shape[:2] == (
        (_WIDTH, _HEIGHT) if orientation >= 5 else (_HEIGHT, _WIDTH)
    )
    np.testing.assert_array_equal(image, expected)


def test_orientation_is_found_after_other_segments():
    turned = _encode(_draw(), "JPEG", exif=_exif(6))
    comment = b"\xff\xfe" + struct.pack(">H", 2 + 300) + bytes(300)

    image = _read(turned[:2] + comment + turned[2:])

    assert image.shape == (_WIDTH, _HEIGHT, 3)


@pytest.mark.parametrize(
    "exif",
    [
        _exif(0),
        _exif(9),
        _exif(6)[:16],
        _exif(6)[:10] + b"\xff" * 30,  # a directory and a count far outside
        b"Exif\0\0" + b"MM\0*" + b"\0\0\xff\xf0",
        b"no Exif at all",
    ],
    ids=range(6),
)
def test_invalid_orientation_is_ignored(exif):
    content = _encode(_draw(), "JPEG")
    segment = b"\xff\xe1" + struct.pack(">H", 2 + len(exif)) + exif

    image = _read(content[:2] + segment + content[2:])

    np.testing.assert_array_equal(image, _read(content))


def _png_of_size(width, height):
    content = bytearray(_encode(_draw(), "PNG"))
    content[16:24] = struct.pack(">II", width, height)
    return bytes(content)


def _jpeg_of_size(width, height):
    content = bytearray(_encode(_draw(), "JPEG"))
    frame = content.index(b"\xff\xc0")
    content[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(content)


def _bmp_of_size(width, height):
    content = bytearray(_encode(_draw(), "BMP"))
    content[18:26] = struct.pack("<ii", width, height)
    return bytes(content)


_NO_IMAGE = "is not a JPEG, PNG or BMP image"
_DAMAGED = "is damaged or truncated"
_TOO_LARGE = (
    r"is too large \(20000x20000\); a server decodes at most 50,000,000 pixels"
)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"B", _NO_IMAGE),
        (b"\xff\xd8", _NO_IMAGE),
        (b"plain text that is long enough for any header", _NO_IMAGE),
        (_encode(_draw(), "GIF"), _NO_IMAGE),
        (_encode(_draw(), "PNG")[:-30], _DAMAGED),
        (_encode(_draw(), "JPEG")[:-200], _DAMAGED),
        (_encode(_draw(), "BMP")[:-200], _DAMAGED),
        (_encode(_draw(), "JPEG")[:20], _DAMAGED),
        (_encode(_draw(), "PNG")[:20], _DAMAGED),
        (_png_of_size(0, 10), _DAMAGED),
        (_png_of_size(20000, 20000), _TOO_LARGE),
        (_jpeg_of_size(20000, 20000), _TOO_LARGE),
        (_bmp_of_size(20000, -20000), _TOO_LARGE),
        (_png_of_size(2**31 - 1, 2**31 - 1), "is too large"),
        (_png_of_size(10001, 5000), "is too large"),
        (_png_of_size(10000, 5000), _DAMAGED),  # large enough, and cut off
        (_encode(_draw("L"), "BMP"), "is a BMP image of 8 bits a pixel"),
        (_encode(_draw("1"), "BMP"), "is a BMP image of 1 bits a pixel"),
    ],
    ids=range(19),
)
def test_bad_file_is_described(content, words):
    with pytest.raises(BadFileError, match=f"^{words}"):
        _read(content)


def test_altered_header_bytes_never_crash_the_graph():
    """Alters single bytes; the graph still answers or raises its own error."""
    rng = np.random.default_rng(0)
    whole = [
        _encode(_draw(), "JPEG", exif=_exif(6)),
        _encode(_draw(), "PNG"),
        _encode(_draw(), "BMP"),
    ]
    refused = []
    for i in range(150):
        content = bytearray(whole[i % len(whole)])
        content[rng.integers(2, 60)] = rng.integers(256)
        try:
            shape = _read(bytes(content)).shape
        except BadFileError as error:
            refused.append(str(error))
        else:
            assert shape[-1] == 3
    assert 0 < len(refused) < 150
    assert all(error.startswith(("is ", "uses ")) for error in refused)


def _segment(marker, content):
    return bytes((0xFF, marker)) + struct.pack(">H", 2 + len(content)) + content


def _long_exif(orientation, order):
    """Makes an EXIF segment's content with an orientation of four bytes."""
    mark = {"<": b"II", ">": b"MM"}[order]
    return (
        b"Exif\0\0"
        + mark
        + struct.pack(f"{order}HIH", 42, 8, 1)
        + struct.pack(f"{order}HHII", 0x0112, 4, 1, orientation)
        + bytes(4)
    )


_TURNED = _segment(0xE1, _exif(6))
_PROFILE = _segment(0xE2, b"ICC_PROFILE\0\1\1" + bytes(40_000))
# An entry of 999 bytes at an offset outside, then the orientation.
_AFTER_DAMAGE = b"Exif\0\0" + (
    b"II" + struct.pack("<HIH", 42, 8, 2)
    + struct.pack("<HHII", 0x010F, 2, 999, 5000)
    + struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0) + bytes(4)
)  # fmt: skip


@pytest.mark.parametrize(
    ("segments", "is_turned"),
    [
        (_segment(0xE1, _long_exif(6, "<")), True),
        (_segment(0xE1, _long_exif(6, ">")), True),
        (_PROFILE * 3 + _TURNED, True),
        (b"\xff\xff\xff" + _TURNED, True),
        (_segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0") + _TURNED, True),
        (_TURNED + _segment(0xE1, _exif(3)), True),
        (_segment(0xE1, _exif(6)[:30]), False),
    ],
    ids=range(7),
)
def test_orientation_is_found_wherever_pillow_finds_it(
    segments, is_turned, tmp_path
):
    content = _encode(_draw(), "JPEG")
    content = content[:2] + segments + content[2:]

    image = _read(content)

    assert image.shape[:2] == (
        (_WIDTH, _HEIGHT) if is_turned else (_HEIGHT, _WIDTH)
    )
    np.testing.assert_array_equal(
        image, _read_as_in_training(content, tmp_path)
    )


def test_orientation_of_a_png_is_read_as_in_training(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 8
    content = _encode(_draw(), "PNG", exif=exif)

    image = _read(content)

    assert image.shape == (_WIDTH, _HEIGHT, 3)
    np.testing.assert_array_equal(
        image, _read_as_in_training(content, tmp_path)
    )


_TEXT = _exif(6).replace(
    struct.pack("<HHI", 0x0112, 3, 1), struct.pack("<HHI", 0x0112, 2, 1)
)


@pytest.mark.parametrize("exif", [_TEXT, _AFTER_DAMAGE], ids=range(2))
def test_orientation_that_is_uncertain_is_an_error(exif):
    content = _encode(_draw(), "JPEG")

    with pytest.raises(BadFileError, match="unusual kind"):
        _read(content[:2] + _segment(0xE1, exif) + content[2:])


def test_cmyk_image_without_adobes_marker_is_read_as_in_training(tmp_path):
    content = _encode(_draw("CMYK"), "JPEG")
    at = content.index(b"\xff\xee\x00\x0eAdobe")
    content = content[:at] + content[at + 16 :]

    image = _read(content)

    expected = _read_as_in_training(content, tmp_path)
    assert np.ptp(expected) > 50
    np.testing.assert_allclose(np.int32(image), np.int32(expected), atol=1)


def _bitfields_bmp(masks, alpha=255):
    """Makes a 32-bit BMP image whose header says where the colors are."""
    rgb = np.asarray(_draw())
    shifts = [mask.bit_length() - 8 for mask in masks]
    pixels = sum(
        np.uint32(channel) << np.uint32(shift)
        for channel, shift in zip(
            (*np.moveaxis(rgb, -1, 0), np.full((_HEIGHT, _WIDTH), alpha)),
            shifts,
            strict=False,
        )
        if shift >= 0
    )
    data = pixels[::-1].astype("<u4").tobytes()
    header = struct.pack(
        "<IiiHHIIiiII", 124, _WIDTH, _HEIGHT, 1, 32, 3, len(data), 0, 0, 0, 0
    )
    header += struct.pack("<IIII", *masks)
    start = 14 + 124
    return (
        b"BM"
        + struct.pack("<IHHI", start + len(data), 0, 0, start)
        + header.ljust(124, b"\0")
        + data
    )


@pytest.mark.parametrize("alpha", [255, 100])
def test_bmp_with_the_usual_masks_is_read_as_in_training(alpha, tmp_path):
    content = _bitfields_bmp((0xFF0000, 0xFF00, 0xFF, 0xFF000000), alpha)

    image = _read(content)

    expected = _read_as_in_training(content, tmp_path)
    np.testing.assert_allclose(np.int32(image), np.int32(expected), atol=1)


@pytest.mark.parametrize(
    "masks",
    [
        (0xFF, 0xFF00, 0xFF0000, 0xFF000000),
        (0xFF000000, 0xFF0000, 0xFF00, 0xFF),
        (0xFF000000, 0xFF00, 0xFF, 0),
    ],
)
def test_bmp_with_other_masks_is_an_error(masks):
    with pytest.raises(BadFileError, match="BMP .* not read"):
        _read(_bitfields_bmp(masks))


def test_16_bit_gray_is_rounded_as_in_training(tmp_path):
    ramp = np.arange(_HEIGHT * _WIDTH, dtype=np.uint16) * 27
    content = _encode(Image.fromarray(ramp.reshape(_HEIGHT, _WIDTH)), "PNG")

    np.testing.assert_array_equal(
        _read(content), _read_as_in_training(content, tmp_path)
    )


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP"])
def test_header_that_states_more_than_the_file_holds_is_an_error(kind):
    content = _encode(_draw(), kind)

    with pytest.raises(BadFileError, match=_DAMAGED):
        _read(spoiled_images.with_stated_size(content, 7000, 7000))


def test_jpeg_has_two_bits_for_each_block_at_least():
    content = _encode(_draw("L"), "JPEG")
    width = 8 * (8 * len(content) // 2)  # as many blocks as fit its bits

    for height, is_short in ((8, False), (9, True)):
        claim = spoiled_images.with_stated_size(content, width, height)
        assert headers.read_jpeg(tf.constant(claim)).is_short == is_short


@pytest.mark.parametrize(
    ("mode", "options"),
    [
        ("RGB", {}),
        ("RGB", {"progressive": True}),
        ("RGB", {"restart_marker_blocks": 1}),
        ("RGB", {"restart_marker_blocks": 4}),
        ("L", {}),
        ("CMYK", {}),
    ],
)
def test_jpeg_whose_lower_part_is_missing_is_an_error(mode, options):
    content = _encode(_draw(mode), "JPEG", **options)

    with pytest.raises(BadFileError, match=_DAMAGED):
        _read(spoiled_images.with_stated_size(content, _WIDTH, 160))


def test_jpeg_that_ends_in_the_filling_of_decoders_is_read(tmp_path):
    content = _encode(Image.new("RGB", (40, 60), (128, 128, 128)), "JPEG")

    np.testing.assert_array_equal(
        _read(content), _read_as_in_training(content, tmp_path)
    )


@pytest.mark.parametrize("mode", ["RGB", "L", "P"])
def test_fully_transparent_image_is_an_error(mode):
    image = _draw(mode)
    options = {"transparency": bytes(256)} if mode == "P" else {}
    if mode != "P":
        image.putalpha(0)

    with pytest.raises(BadFileError, match="fully transparent"):
        _read(_encode(image, "PNG", **options))


@pytest.mark.parametrize(("largest", "is_read"), [(63, False), (64, True)])
def test_color_that_uses_few_of_16_bits_is_an_error(largest, is_read):
    color = np.zeros((20, 20, 3), np.uint16)
    color[0, 0, 1] = largest * 256
    content = tf.io.encode_png(color).numpy()

    if is_read:
        assert _read(content)[0, 0].tolist() == [0, 64, 0]
        return
    with pytest.raises(BadFileError, match="16 bits"):
        _read(content)


@pytest.mark.parametrize(
    ("largest", "is_read"), [(4095, False), (16383, False), (16384, True)]
)
def test_gray_that_uses_few_of_16_bits_is_an_error(largest, is_read):
    gray = np.zeros((20, 20), np.uint16)
    gray[0, 0] = largest
    content = _encode(Image.fromarray(gray), "PNG")

    if is_read:
        assert _read(content).max() == 64
        return
    with pytest.raises(BadFileError, match="16 bits"):
        _read(content)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP"])
def test_image_that_training_rejects_as_too_small_is_an_error(kind):
    content = _encode(_draw().resize((40, 15)), kind)

    with pytest.raises(BadFileError, match="too small"):
        _read(content)


def test_spoiled_files_are_read_as_in_training_or_rejected(tmp_path):
    """`python -m benchmarks.fuzz` reads more of them."""
    read, errors = [], []
    for name, content in spoiled_images.spoil(150, seed=5):
        try:
            image = _read(content)
        except BadFileError as error:
            errors.append(str(error))
            continue
        read.append(name)
        np.testing.assert_allclose(
            np.int32(image),
            np.int32(_read_as_in_training(content, tmp_path)),
            atol=4,
            err_msg=name,
        )
    assert 20 < len(read) < 130
    assert all(error.startswith(("is ", "uses ")) for error in errors)
