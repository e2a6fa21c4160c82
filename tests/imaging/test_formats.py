"""Tests of the formats that Pillow and its plug-ins read."""

import struct
import subprocess
import sys

import numpy as np
import pytest
import running
from PIL import Image, PngImagePlugin

from segan_tf import config
from segan_tf.datasets import label_maps
from segan_tf.imaging import formats, images, pillow

pytestmark = pytest.mark.any_edition

LEFT, RIGHT = (200, 30, 40), (20, 60, 220)


def halves(size=(40, 32)):
    """Draws an image: its left half LEFT, its right half RIGHT."""
    image = Image.new("RGB", size, LEFT)
    image.paste(RIGHT, (size[0] // 2, 0, *size))
    return image


def orientation(value):
    """Returns EXIF data that holds an orientation."""
    exif = Image.Exif()
    exif[0x0112] = value
    return exif


def assert_near(array, expected, most):
    """Asserts that values differ by no more than `most` in the mean."""
    expected = np.asarray(expected)
    assert array.dtype == np.uint8
    assert array.shape == expected.shape
    assert np.abs(array.astype(int) - expected).mean() <= most


# Each with the most that compression may change in the mean.
@pytest.mark.parametrize(
    ("name", "options", "most"),
    [
        ("a.webp", {"lossless": True}, 0),
        ("a.webp", {"quality": 95}, 4),
        ("a.tif", {}, 0),
        ("a.TIFF", {"compression": "tiff_lzw"}, 0),
        ("a.tif", {"compression": "tiff_adobe_deflate"}, 0),
        ("a.gif", {}, 3),
        ("a.jp2", {}, 0),
        ("a.j2k", {}, 0),
        ("a.avif", {"quality": 95}, 4),
    ],
)
def test_format_is_read(tmp_path, name, options, most):
    path = tmp_path / name
    halves().save(path, **options)
    assert formats.is_image(path)
    assert images.image_size_of(path) == (40, 32)
    assert_near(images.read_image(path), halves(), most)


def test_heic_is_read(tmp_path):
    pytest.importorskip("pillow_heif", reason="needs the extra formats")
    pillow.prepare_reader(formats.format_of_start(b"\0\0\0\x1cftypheic"), "")
    path = tmp_path / "a.heic"
    halves().save(path, quality=95)
    assert_near(images.read_image(path), halves(), 4)


@pytest.mark.parametrize("value", range(1, 9))
@pytest.mark.parametrize("ending", ["tif", "webp", "avif"])
def test_orientation_turns_upright_once(tmp_path, ending, value):
    as_png, path = tmp_path / "a.png", tmp_path / f"a.{ending}"
    image = halves()
    image.paste((250, 250, 250), (0, 0, 20, 16))
    image.save(as_png, exif=orientation(value))
    image.save(path, exif=orientation(value), quality=95)
    expected = images.read_image(as_png)
    assert images.image_size_of(path) == expected.shape[1::-1]
    assert_near(images.read_image(path), expected, 8)


def test_heic_is_turned_by_its_container_not_by_exif(tmp_path):
    # ISO/IEC 23008-12, annex A.2.1: readers ignore the EXIF orientation.
    pytest.importorskip("pillow_heif", reason="needs the extra formats")
    pillow.prepare_reader(formats.format_of_start(b"\0\0\0\x1cftypheic"), "")
    path = tmp_path / "a.heic"
    halves().save(path, quality=95, exif=orientation(3))
    assert_near(images.read_image(path), halves(), 4)


@pytest.mark.parametrize("ending", ["gif", "webp"])
def test_first_frame_of_an_animation_is_read(tmp_path, ending):
    path = tmp_path / f"a.{ending}"
    second = Image.new("RGB", (40, 32), (0, 255, 0))
    halves().save(path, save_all=True, append_images=[second], lossless=True)
    assert_near(images.read_image(path), halves(), 3)


def test_pages_of_a_tiff_are_not_left_out_in_silence(tmp_path):
    path = tmp_path / "a.tif"
    halves().save(path, save_all=True, append_images=[halves(), halves()])
    with pytest.raises(
        config.UserError, match=r"a\.tif holds 3 pages; save each as a file"
    ):
        images.read_image(path)


@pytest.mark.parametrize(
    ("ending", "options"),
    [
        ("webp", {}),
        ("tif", {}),
        ("tif", {"compression": "tiff_lzw"}),
        ("gif", {}),
        ("jp2", {}),
        ("j2k", {}),
        ("avif", {}),
    ],
)
def test_half_a_file_is_an_error(tmp_path, ending, options):
    path = tmp_path / f"a.{ending}"
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(path, **options)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(config.UserError, match="damaged|truncated"):
        images.read_image(path)


# Pillow warns of odd tags of a TIFF while it decodes.
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("ending", ["tif", "webp", "gif", "jp2", "avif"])
def test_altered_files_give_one_line_or_an_image(tmp_path, ending):
    path = tmp_path / f"a.{ending}"
    rng = np.random.default_rng(1)
    noise = rng.integers(0, 256, (24, 24, 3), np.uint8)
    Image.fromarray(noise).save(path)
    content = path.read_bytes()
    for _ in range(60):
        altered = np.frombuffer(content, np.uint8).copy()
        altered[rng.integers(0, min(len(altered), 900), 4)] ^= 0x5A
        path.write_bytes(altered.tobytes())
        try:
            said = str(images.read_image(path).shape)
        except config.UserError as error:
            said = str(error)
        assert "\n" not in said


def write_tiff(path, values, bits, **tags):
    """Writes a gray TIFF of 12 or 16 bits; 12 are packed without gaps."""
    rows, columns = values.shape
    if bits == 12:
        pairs = values.reshape(-1, 2).astype(int)
        data = b"".join(
            bytes((a >> 4, (a & 15) << 4 | b >> 8, b & 255)) for a, b in pairs
        )
    else:
        data = values.astype("<u2").tobytes()
    entries = {256: columns, 257: rows, 258: bits, 259: 1, 262: 1, 277: 1}
    entries |= {278: rows, 279: len(data), **tags.get("more", {})}
    entries[273] = 8 + 2 + 12 * (len(entries) + 1) + 4
    table = b"".join(
        struct.pack("<HHII", tag, 4 if tag in (273, 279) else 3, 1, value)
        for tag, value in sorted(entries.items())
    )
    path.write_bytes(
        b"II*\0" + struct.pack("<IH", 8, len(entries)) + table + bytes(4) + data
    )


def ramp(white):
    """Draws gray values: 0 in the left half, `white` in the right one."""
    values = np.zeros((16, 20), np.uint16)
    values[:, 10:] = white
    return values


@pytest.mark.parametrize(
    ("bits", "more"), [(12, {}), (16, {281: 4095})], ids=["packed", "stated"]
)
def test_twelve_bits_of_a_tiff_reach_from_black_to_white(tmp_path, bits, more):
    path = tmp_path / "a.tif"
    write_tiff(path, ramp(4095), bits, more=more)
    read = images.read_image(path)
    assert np.all(read[:, :10] == 0)
    assert np.all(read[:, 10:] == 255)


def test_dark_image_of_twelve_bits_stays_dark(tmp_path):
    write_tiff(tmp_path / "a.tif", ramp(1365), 12)
    # 1365 of 4095 is a third, 85 of 255.
    assert np.all(images.read_image(tmp_path / "a.tif")[:, 10:] == 85)


def save_png_with_significant_bits(path, values, bits):
    """Writes a 16-bit PNG that states its significant bits."""
    info = PngImagePlugin.PngInfo()
    info.add(b"sBIT", bytes([bits]))
    Image.fromarray(values).save(path, pnginfo=info)


def test_significant_bits_of_a_png_are_used(tmp_path):
    path = tmp_path / "a.png"
    save_png_with_significant_bits(path, ramp(4095), 12)
    assert np.all(images.read_image(path)[:, 10:] == 255)


def test_png_that_is_scaled_to_all_bits_as_specified_stays(tmp_path):
    path = tmp_path / "a.png"
    save_png_with_significant_bits(path, ramp(257 * 100), 12)
    assert np.all(images.read_image(path)[:, 10:] == 100)


def test_unstated_bits_are_still_an_error(tmp_path):
    write_tiff(tmp_path / "a.tif", ramp(4095), 16)
    with pytest.raises(config.UserError, match="has 16 bits a value but uses"):
        images.read_image(tmp_path / "a.tif")


@pytest.mark.parametrize(
    ("dtype", "value", "message"),
    [
        (np.float32, 0.5, "holds floating-point values; save it as PNG"),
        (np.int32, 70000, "holds values from 70000 to 70000; save it with 16"),
        (np.int32, -5, "holds values from -5 to -5"),
    ],
)
def test_values_that_would_be_clipped_are_an_error(
    tmp_path, dtype, value, message
):
    path = tmp_path / "a.tif"
    Image.fromarray(np.full((16, 20), value, dtype)).save(path)
    with pytest.raises(config.UserError, match=message):
        images.read_image(path)


def test_sixteen_bit_jpeg2000_is_scaled(tmp_path):
    path = tmp_path / "a.jp2"
    Image.fromarray(ramp(257 * 120)).save(path)
    assert np.all(images.read_image(path)[:, 10:] == 120)


def test_missing_plug_in_names_the_extra(tmp_path, monkeypatch):
    path = tmp_path / "a.heic"
    path.write_bytes(b"\0\0\0\x1cftypheic" + bytes(400))
    monkeypatch.delitem(Image.OPEN, "HEIF", raising=False)
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(config.UserError) as raised:
        images.read_image(path)
    assert str(raised.value) == (
        f"{path} (HEIF) needs the package pillow-heif; install the extra "
        "formats: python -m pip install 'segan-tf[formats]'"
    )


def test_pillow_without_a_library_names_the_extra(tmp_path, monkeypatch):
    path = tmp_path / "a.avif"
    halves().save(path)
    monkeypatch.setattr(pillow.features, "check", lambda feature: False)
    with pytest.raises(
        config.UserError, match=r"needs the package Pillow with avif; install"
    ):
        images.read_image(path)


def test_label_map_of_a_new_format_is_read(tmp_path):
    path = tmp_path / "a.webp"
    label_map = Image.new("L", (20, 16))
    label_map.paste(255, (0, 0, 5, 16))
    label_map.save(path, lossless=True)
    assert label_maps.read_label_file(path).sum() == 5 * 16


def test_usual_formats_import_no_plug_in(tmp_path):
    path = tmp_path / "a.png"
    halves().save(path)
    program = (
        "import sys; from segan_tf.imaging import images; "
        f"images.read_image({str(path)!r}); print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        cwd=running.ROOT,
    )
    imported = done.stdout.split()
    assert "PIL.PngImagePlugin" in imported
    for name in ("pillow_heif", "pydicom", "PIL.PsdImagePlugin"):
        assert name not in imported
