"""Tests of reading DICOM images, each made with pydicom here."""

import io
import sys

import dicom_files
import numpy as np
import pytest
from PIL import Image
from pydicom import uid

from segan_tf import config
from segan_tf.imaging import dicom, formats, images

pytestmark = pytest.mark.any_edition

LEFT, RIGHT = (200, 30, 40), (20, 60, 220)


def colors():
    """Draws uint8 [32, 40, 3]: LEFT, and RIGHT in the right half."""
    values = np.full((32, 40, 3), LEFT, np.uint8)
    values[:, 20:] = RIGHT
    return values


def gray(left, right, dtype=np.uint8):
    """Draws [32, 40] in two values."""
    values = np.full((32, 40), left, dtype)
    values[:, 20:] = right
    return values


def read(tmp_path, image, name="a.dcm"):
    """Saves an image and reads it as the product does."""
    dicom_files.save(tmp_path / name, image)
    return images.read_image(tmp_path / name)


def assert_gray(array, left, right):
    assert array.shape == (32, 40, 3)
    assert np.all(array[:, :20] == left), array[0, 0]
    assert np.all(array[:, 20:] == right), array[0, 39]


@pytest.mark.parametrize(
    "sop_class",
    [
        dicom_files.PHOTOGRAPH,
        dicom_files.DERMOSCOPY,
        uid.SecondaryCaptureImageStorage,
    ],
)
def test_rgb_is_read_as_it_is(tmp_path, sop_class):
    image = dicom_files.make(colors(), sop_class=sop_class)
    np.testing.assert_array_equal(read(tmp_path, image), colors())


def test_planes_of_colors_are_read(tmp_path):
    image = dicom_files.make(colors())
    image.PlanarConfiguration = 1
    image.PixelData = colors().transpose(2, 0, 1).tobytes()
    np.testing.assert_array_equal(read(tmp_path, image), colors())


def test_ybr_becomes_rgb(tmp_path):
    ybr = np.array(Image.fromarray(colors()).convert("YCbCr"))
    image = dicom_files.make(ybr, "YBR_FULL")
    difference = read(tmp_path, image).astype(int) - colors()
    assert np.abs(difference).max() <= 2


def test_palette_becomes_its_colors(tmp_path):
    image = dicom_files.make(gray(0, 1), "PALETTE COLOR")
    for channel, name in enumerate(("Red", "Green", "Blue")):
        table = bytes((LEFT[channel], RIGHT[channel]))
        setattr(image, f"{name}PaletteColorLookupTableDescriptor", [2, 0, 8])
        setattr(image, f"{name}PaletteColorLookupTableData", table)
    np.testing.assert_array_equal(read(tmp_path, image), colors())


def test_monochrome2_is_gray(tmp_path):
    image = dicom_files.make(gray(10, 250), "MONOCHROME2")
    assert_gray(read(tmp_path, image), 10, 250)


def test_monochrome1_is_inverted(tmp_path):
    image = dicom_files.make(gray(10, 250), "MONOCHROME1")
    assert_gray(read(tmp_path, image), 245, 5)


def test_gray_is_scaled_by_its_stored_bits(tmp_path):
    image = dicom_files.make(
        gray(1365, 4095, np.uint16), "MONOCHROME2", bits=12
    )
    # 1365 / 4095 * 255 = 85
    assert_gray(read(tmp_path, image), 85, 255)


def test_signed_gray_begins_below_zero(tmp_path):
    image = dicom_files.make(
        gray(-2048, 2047, np.int16), "MONOCHROME2", bits=12
    )
    assert_gray(read(tmp_path, image), 0, 255)


def test_window_and_rescaling_are_applied(tmp_path):
    image = dicom_files.make(
        gray(1000, 1100, np.uint16),
        "MONOCHROME2",
        bits=12,
        RescaleSlope=1,
        RescaleIntercept=-1000,
        WindowCenter=50.5,
        WindowWidth=201,
    )
    # Of 0 and 100, window -50..150 (Part 3, C.11.2.1.2): the quarter and
    # three quarters of the way, 63.75 and 191.25.
    assert_gray(read(tmp_path, image), 64, 191)


def jpeg(**options):
    """Returns `colors` as JPEG."""
    stream = io.BytesIO()
    Image.fromarray(colors()).save(
        stream, "JPEG", quality=95, subsampling=0, **options
    )
    return stream.getvalue()


def test_jpeg_is_decoded_from_ybr(tmp_path):
    image = dicom_files.make(colors(), "YBR_FULL_422")
    dicom_files.encapsulate(image, jpeg(), uid.JPEGBaseline8Bit)
    assert np.abs(read(tmp_path, image).astype(int) - colors()).mean() < 4


def test_orientation_in_a_jpeg_does_not_turn(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    image = dicom_files.make(colors(), "YBR_FULL_422")
    dicom_files.encapsulate(image, jpeg(exif=exif), uid.JPEGBaseline8Bit)
    array = read(tmp_path, image)
    assert array.shape == (32, 40, 3)
    assert np.abs(array.astype(int) - colors()).mean() < 4


@pytest.mark.parametrize(
    "syntax",
    [uid.JPEGLSLossless, uid.JPEG2000Lossless, uid.RLELossless],
    ids=["JPEG-LS", "JPEG 2000", "RLE"],
)
def test_lossless_compression_is_decoded(tmp_path, syntax):
    image = dicom_files.make(gray(7, 250), "MONOCHROME2")
    try:
        image.compress(syntax, generate_instance_uid=False)
    except RuntimeError as error:
        pytest.skip(f"no encoder: {error}")
    assert image.file_meta.TransferSyntaxUID == syntax
    assert_gray(read(tmp_path, image), 7, 250)


def test_deflated_file_is_read(tmp_path):
    image = dicom_files.make(colors())
    image.file_meta.TransferSyntaxUID = uid.DeflatedExplicitVRLittleEndian
    np.testing.assert_array_equal(read(tmp_path, image), colors())


@pytest.mark.parametrize(
    "name", ["IM0001", "1.2.840.113.5", "a.dcm", "b.IMA", "c.img"]
)
def test_dicom_is_known_by_its_content(tmp_path, name):
    image = dicom_files.make(colors())
    np.testing.assert_array_equal(read(tmp_path, image, name), colors())
    assert formats.is_dicom(tmp_path / name)
    assert images.image_id(tmp_path / name) == image.SOPInstanceUID
    assert images.image_size_of(tmp_path / name) == (40, 32)


def test_dicom_under_another_name_is_an_error(tmp_path):
    with pytest.raises(config.UserError, match=r"a\.png holds DICOM, but"):
        read(tmp_path, dicom_files.make(colors()), "a.png")


def test_index_of_a_medium_is_no_image(tmp_path):
    dicom_files.save(tmp_path / "DICOMDIR", dicom_files.make(colors()))
    assert not formats.is_dicom(tmp_path / "DICOMDIR")
    assert formats.unread_reason(tmp_path / "DICOMDIR") == ""


def test_several_frames_are_an_error(tmp_path):
    image = dicom_files.make(np.stack([colors()] * 3), NumberOfFrames=3)
    with pytest.raises(
        config.UserError, match=r"a\.dcm holds 3 frames; save each as a file"
    ):
        read(tmp_path, image)


def test_report_is_no_image(tmp_path):
    image = dicom_files.make(colors(), sop_class=uid.BasicTextSRStorage)
    del image.Rows, image.Columns, image.PixelData
    with pytest.raises(config.UserError, match="holds no image .Basic Text SR"):
        read(tmp_path, image)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"PhotometricInterpretation": "HSV"}, "interpretation HSV; save it"),
        ({"Rows": 8}, "40x8 pixels; an image needs at least 16"),
        ({"Rows": 60000, "Columns": 60000}, "is too large"),
        ({"VOILUTSequence": []}, "has a lookup table of gray values"),
    ],
)
def test_unread_kinds_are_named(tmp_path, changes, message):
    with pytest.raises(config.UserError, match=message):
        read(tmp_path, dicom_files.make(colors(), **changes))


def test_video_is_named_by_its_transfer_syntax(tmp_path):
    image = dicom_files.make(colors())
    dicom_files.encapsulate(image, b"1234", uid.MPEG2MPML)
    with pytest.raises(config.UserError, match="transfer syntax MPEG2 Main"):
        read(tmp_path, image)


@pytest.mark.parametrize("share", [0.1, 0.4, 0.7, 0.99])
def test_truncated_file_is_one_line_without_names(tmp_path, share, caplog):
    path = tmp_path / "a.dcm"
    dicom_files.save(path, dicom_files.make(colors()))
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(config.UserError) as raised:
        images.read_image(path)
    assert "\n" not in str(raised.value)
    assert "Mustermann" not in str(raised.value) + caplog.text


def test_altered_files_give_one_line_without_names(tmp_path):
    path = tmp_path / "a.dcm"
    dicom_files.save(path, dicom_files.make(colors(), PixelSpacing=[1, 1]))
    content = path.read_bytes()
    rng = np.random.default_rng(1)
    for _ in range(400):
        altered = np.frombuffer(content, np.uint8).copy()
        altered[rng.integers(140, 1400, 6)] = rng.integers(0, 256, 6)
        path.write_bytes(altered.tobytes())
        for read_one in (
            images.read_image,
            images.image_id,
            lambda file: dicom.pixel_spacing(dicom.read_header(file)),
        ):
            said = ""
            try:
                read_one(path)
            except config.UserError as error:
                said = str(error)
            assert "\n" not in said
            assert "Mustermann" not in said


@pytest.mark.parametrize("bad", ["", "../../etc/x", "1.2 3"])
def test_uid_that_is_no_file_name_is_an_error(tmp_path, bad):
    path = tmp_path / "a.dcm"
    dicom_files.save(path, dicom_files.make(colors()))
    known = dicom_files.pydicom.dcmread(path)
    known["SOPInstanceUID"]._value = bad
    known.save_as(path, enforce_file_format=False)
    with pytest.raises(config.UserError, match="no valid SOP instance UID"):
        images.image_id(path)


@pytest.mark.parametrize(
    ("spacing", "expected"),
    [([0.5, 0.25], (0.5, 0.25)), (None, None), ([0, 0], None)],
)
def test_pixel_spacing_is_read(tmp_path, spacing, expected):
    image = dicom_files.make(colors())
    if spacing:
        image.PixelSpacing = spacing
    dicom_files.save(tmp_path / "a.dcm", image)
    header = dicom.read_header(tmp_path / "a.dcm")
    assert dicom.pixel_spacing(header) == expected


def test_missing_pydicom_names_the_extra(tmp_path, monkeypatch):
    path = tmp_path / "a.dcm"
    dicom_files.save(path, dicom_files.make(colors()))
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(config.UserError) as raised:
        images.read_image(path)
    assert str(raised.value) == (
        f"{path} (DICOM) needs the package pydicom; install the extra dicom: "
        "python -m pip install 'segan-tf[dicom]'"
    )
