"""Tests of using the page: bad files, keyboard, privacy, size."""

import io
import json
import shutil
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from segan_tf.config import UserError
from segan_tf.imaging import images
from tests.support import spoiled_images

pytestmark = pytest.mark.browser


def test_nothing_is_requested_after_loading(play, site, image):
    saw = play("segment", "float_one", way="choose", image=image)

    own = f"http://127.0.0.1:{site[1]}/float_one/web/"
    assert all(address.startswith(own) for address in saw["requests"])
    assert saw["requests"][saw["requestsWhenReady"] :] == []
    assert saw["fetched"] == "refused"  # by the browser, as the page told it


def test_nothing_can_be_sent_even_to_the_own_server(play, requested):
    saw = play(
        "tryToSend",
        "float_one",
        secret="?secret",
        context={"serviceWorkers": "allow"},
    )

    ways = ("fetch", "module", "image", "script", "style")
    assert saw["refused"] == dict.fromkeys(ways, "refused")
    assert any(path.endswith("/service_worker.js") for path in requested)
    assert [path for path in requested if "secret" in path] == []


def png_header(width, height):
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    checked = (
        struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    )
    return b"\x89PNG\r\n\x1a\n" + checked


def jpeg_header(width, height):
    # Behind 65,533 bytes of a camera's notes, and a fill byte.
    notes = b"\xff\xe1\xff\xff" + bytes(65533)
    frame = struct.pack(">BBHBHHB", 0xFF, 0xC2, 17, 8, height, width, 3)
    return b"\xff\xd8" + notes + b"\xff" + frame + bytes(9)


def bmp_header(width, height):
    file_header = b"BM" + struct.pack("<IHHI", 54, 0, 0, 54)
    return file_header + struct.pack(
        "<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0
    )


NO_IMAGE = (
    "{name} is not a JPEG, PNG or BMP image, or its beginning is damaged; "
    "choose another file."
)
TOO_LARGE = (
    "{name} is 20000 x 20000 pixels; at most 100,000,000 pixels are read. "
    "Make it smaller first."
)
HEIC = b"\0\0\0\x18ftypheic" + bytes(150)
BAD_FILES = {
    "IMG_0001.heic": (
        HEIC,
        "{name} is a HEIC photo, which browsers do not read. On an iPhone, "
        "share it as JPEG, or choose Settings > Camera > Formats > Most "
        "Compatible; elsewhere save it as JPEG or PNG first.",
    ),
    "named.jpg": (
        b"RIFF\0\0\0\0WEBPVP8 " + bytes(150),
        "{name} is a WebP image; save it as JPEG or PNG first.",
    ),
    "scan.dcm": (
        bytes(128) + b"DICM" + bytes(20),
        "{name} is a DICOM file; save its image as PNG first.",
    ),
    "large.png": (png_header(20000, 20000), TOO_LARGE),
    "large.jpg": (jpeg_header(20000, 20000), TOO_LARGE),
    "large.bmp": (bmp_header(20000, -20000), TOO_LARGE),
    "small.png": (
        png_header(15, 400),
        "{name} is 15 x 400 pixels; at least 16 a side are needed. Choose a "
        "larger one.",
    ),
    "notes.txt": (b"These are notes, and no image at all.\n", NO_IMAGE),
    "notes.png": (b"These are notes, whatever the name says.\n", NO_IMAGE),
    "short.png": (png_header(200, 200)[:20], NO_IMAGE),
    "flat.png": (png_header(0, 200), NO_IMAGE),
    "empty.jpg": (b"", "{name} is empty; choose another image."),
    "no frame.jpg": (b"\xff\xd8" + b"\xff" * 5000, NO_IMAGE),
    "scan.jpg": (b"\xff\xd8\xff\xda" + bytes(50), NO_IMAGE),
}


def test_bad_files_are_errors_before_decoding(play, tmp_path):
    for name, (content, _) in BAD_FILES.items():
        (tmp_path / name).write_bytes(content)
    heavy = tmp_path / "heavy.jpg"
    with open(heavy, "wb") as file:
        file.truncate(200_600_000)

    paths = [str(tmp_path / name) for name in (*BAD_FILES, "heavy.jpg")]
    saw = play("chooseBad", "float_one", files=paths)

    assert saw["said"] == [
        *(said.format(name=name) for name, (_, said) in BAD_FILES.items()),
        "heavy.jpg has 201 MB; at most 200 MB are read. Save it smaller, as "
        "JPEG.",
    ]
    assert saw["decoded"] == 0


def test_bad_file_clears_the_result_of_another(play, image, tmp_path):
    path = tmp_path / "photo.heic"
    path.write_bytes(HEIC)

    saw = play("chooseBad", "float_one", image=image, files=[str(path)])

    assert saw["said"][0].startswith("photo.heic is a HEIC photo")
    assert not saw["isStageShown"]
    assert not saw["isResultShown"]


def test_lost_file_is_an_error(play, image, tmp_path):
    lost = tmp_path / "lost.png"
    shutil.copy(image, lost)

    saw = play("loseFile", "float_one", image=image, lost=str(lost))

    assert saw["said"] == (
        "lost.png cannot be read: it is a folder, or it was moved or changed. "
        "Choose images again."
    )


def test_file_that_cannot_be_made_is_a_warning(play, image):
    saw = play("failToSave", "float_one", image=image)

    assert saw["said"] == (
        "The file could not be made: this device has too little memory for it."
    )
    assert saw["isResultShown"]


def test_damaged_image_is_an_error(play, tmp_path):
    path = tmp_path / "cut.png"
    path.write_bytes(png_header(200, 200) + b"and then nothing of an image")

    saw = play("chooseBad", "float_one", files=[str(path)])

    (said,) = saw["said"]
    assert said == "cut.png is damaged or cut off; choose another image."


def _encode(image, kind, **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def _draw(mode="RGB"):
    noise = np.random.default_rng(0).integers(0, 256, (40, 48, 3), np.uint8)
    return Image.fromarray(noise).convert(mode)


def _claim(*, mode="RGB", **options):
    """Makes a JPEG whose header claims twice the height."""
    content = _encode(_draw(mode), "JPEG", **options)
    return spoiled_images.with_stated_size(content, 48, 80)


def _with_garbage(content):
    """Adds what is no segment after the one that starts the file."""
    return content[:20] + b"\xff\xd0\x12\x34" + content[20:]


def _with_damaged_exif():
    exif = Image.Exif()
    exif[0x0112] = 6
    content = bytearray(_encode(_draw(), "PNG", exif=exif))
    content[content.index(b"eXIf") + 20] ^= 1
    return bytes(content)


def _bmp_with(at, value):
    content = bytearray(_encode(_draw("L"), "BMP"))
    struct.pack_into("<I", content, at, value)
    return bytes(content)


def _transparent(mode):
    image = _draw(mode)
    if mode == "P":
        return _encode(image, "PNG", transparency=bytes(256))
    image.putalpha(0)
    return _encode(image, "PNG")


def _gray_16(largest):
    gray = np.zeros((20, 20), np.uint16)
    gray[0, 0] = largest
    return _encode(Image.fromarray(gray), "PNG")


DAMAGED = "{name} is damaged or cut off; choose another image."
TRANSPARENT = "{name} is fully transparent; save it without its alpha channel."
FAINT = (
    "{name} uses few of its 16 bits and would be nearly black; save it with 8 "
    "bits."
)
REJECTED_BY_TRAINING = {
    "claim.jpg": (_claim(), DAMAGED),
    "progressive.jpg": (_claim(progressive=True), DAMAGED),
    "restart_1.jpg": (_claim(restart_marker_blocks=1), DAMAGED),
    "restart_4.jpg": (_claim(restart_marker_blocks=4), DAMAGED),
    "gray.jpg": (_claim(mode="L"), DAMAGED),
    "cmyk.jpg": (_claim(mode="CMYK"), DAMAGED),
    "garbage.jpg": (_with_garbage(_claim()), NO_IMAGE),
    "exif.png": (_with_damaged_exif(), DAMAGED),
    "colors.bmp": (_bmp_with(46, 257), NO_IMAGE),
    "header.bmp": (_bmp_with(14, 42), NO_IMAGE),
    "alpha.png": (_transparent("RGB"), TRANSPARENT),
    "gray_alpha.png": (_transparent("L"), TRANSPARENT),
    "palette.png": (_transparent("P"), TRANSPARENT),
    "faint.png": (_gray_16(4095), FAINT),
    "nearly.png": (_gray_16(16383), FAINT),
}


def test_what_training_rejects_is_an_error(play, tmp_path):
    for name, (content, _) in REJECTED_BY_TRAINING.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError):
            images.read_image(tmp_path / name)

    paths = [str(tmp_path / name) for name in REJECTED_BY_TRAINING]
    saw = play("chooseBad", "float_one", files=paths)

    assert saw["said"] == [
        said.format(name=name)
        for name, (_, said) in REJECTED_BY_TRAINING.items()
    ]
    assert saw["complaints"] == []


@pytest.mark.parametrize("options", [{}, {"restart_marker_blocks": 3}])
def test_jpeg_with_a_plain_corner_is_segmented(play, tmp_path, options):
    image = _draw()
    image.paste((128, 128, 128), (24, 20, 48, 40))
    path = tmp_path / "corner.jpg"
    path.write_bytes(_encode(image, "JPEG", **options))

    saw = play("segment", "float_one", way="choose", image=str(path))

    assert saw["size"] == {"width": 48, "height": 40}


def test_page_can_be_used_with_the_keyboard_only(play, image):
    saw = play("keyboard", "float_one", image=image)

    assert saw["order"] == [
        *("file", "live-camera"),
        *("view", "zoom-out", "zoom-in", "fit", "hide"),
        *("tightness", "opacity", "Save image with outline", "Save label map"),
    ]
    assert saw["outline"] == "solid"  # the focus is seen
    assert saw["zoomBefore"] == "1.00"
    assert saw["isHidden"] == "true"  # while H is held
    assert saw["isShown"] == "false"
    assert saw["opacity"] == "25 %"  # after two arrows of 5 % from 15 %
    assert saw["fileName"] == "a lesion_label_map.png"
    assert saw["announcement"].startswith("Of the image: lesion ")


def test_small_screen_scrolls_in_one_direction(play, image):
    phone = {
        "viewport": {"width": 360, "height": 740},
        "hasTouch": True,
        "isMobile": True,
    }
    saw = play("measure", "float_three", image=image, context=phone)

    for widths in (saw["empty"], saw["withResult"]):
        assert widths == {"shown": 360, "needed": 360}
    assert saw["sources"] == [
        *("Choose images", "Take a photo", "Try a sample drawing")
    ]
    assert 330 < saw["stage"]["width"] <= 360
    assert saw["stage"]["height"] > 0.5 * 740
    assert saw["leastHeight"] >= 36


def test_image_owns_a_laptop_screen(play, image):
    screen = {"viewport": {"width": 1366, "height": 768}}
    saw = play("measure", "float_one", image=image, context=screen)

    stage = saw["stage"]
    assert stage["width"] * stage["height"] > 0.55 * 1366 * 768
    assert stage["y"] + stage["height"] < 768  # without scrolling


def test_without_a_touch_screen_the_live_camera_is_offered(play, image):
    saw = play("measure", "float_one", image=image)

    assert saw["sources"] == [
        *("Choose images", "Live camera", "Try a sample drawing")
    ]


def test_hash_is_checked_and_shown(play, site, image):
    saw = play("segment", "float_one", way="choose", image=image)
    # A server's name without https is no secure origin: nothing hashes there.
    plain = play(
        "segment", "float_one", way="choose", image=image, host="plain.test"
    )

    contract = json.loads((site[0] / "float_one/segan_none.json").read_text())
    start = contract["sha256"][:12]
    assert f"{start}…, checked" in saw["facts"]
    assert f"{start}…, not checked: browsers can do so only" in plain["facts"]
    assert plain["shares"] == saw["shares"]


@pytest.fixture
def broken(site, request):
    """Returns a copy of a page that may be broken, and its name."""
    name = request.node.name
    path = site[0] / name
    shutil.copytree(site[0] / "float_one" / "web", path / "web")
    yield path / "web", name
    shutil.rmtree(path)


def test_altered_model_is_an_error(play, broken):
    path, name = broken
    content = bytearray((path / "segan_none.tflite").read_bytes())
    content[-1] ^= 1
    (path / "segan_none.tflite").write_bytes(content)

    saw = play("fail", name)

    assert saw["state"] == "Cannot start"
    assert saw["problem"] == (
        "segan_none.tflite is not the model that model.json describes (its "
        "SHA-256 differs); bundle the page again."
    )
    assert saw["isDisabled"]


def test_missing_model_is_an_error(play, broken):
    path, name = broken
    (path / "segan_none.tflite").unlink()

    saw = play("fail", name)

    words = (
        "segan_none.tflite is missing in this page's folder; bundle it again."
    )
    assert saw["problem"] == words
