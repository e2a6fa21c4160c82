"""Tests of the on-device page in real headless Chromium."""

import base64
import functools
import http.server
import io
import json
import os
import pathlib
import shutil
import struct
import subprocess
import threading
import zlib

import numpy as np
import pytest
import running
import web_exports
from ai_edge_litert import interpreter as litert
from PIL import Image

from export import web_page
from segan_tf import labels
from segan_tf.data import drawn_lesions, images, preprocessing

pytestmark = pytest.mark.browser

BROUGHT = running.ROOT / ".browser"
DRIVER = running.ROOT / "tests" / "browser" / "drive.mjs"
# name: (quantization, labels)
MODELS = {
    "float_one": ("none", web_exports.ONE),
    "uint8_one": ("int8", web_exports.ONE),
    "float_three": ("none", web_exports.THREE),
    "uint8_three": ("int8", web_exports.THREE),
    "float_overlapping": ("none", web_exports.TWO_OVERLAPPING),
}
# One step of an 8-bit probability: LiteRT.js and LiteRT round in kernels of
# their own.
STEP = 1 / 256


@pytest.fixture(scope="session")
def chromium():
    """Returns the path of Chromium; skips where something is missing."""
    path = shutil.which("chromium")
    present = {
        "chromium": path,
        "node": shutil.which("node"),
        "playwright-core": (BROUGHT / "node_modules/playwright-core").exists(),
        "LiteRT.js": (BROUGHT / ".litertjs").exists(),
    }
    missing = [name for name, there in present.items() if not there]
    if missing:
        pytest.skip(f"{', '.join(missing)} missing; run scripts/browser")
    return path


@pytest.fixture(scope="session")
def site(chromium, tmp_path_factory):
    """Serves a bundled page for each of MODELS.

    Returns:
      The folder that is served, and its port.
    """
    folder = tmp_path_factory.mktemp("site")
    for name, (quantization, wanted) in MODELS.items():
        export_dir = folder / name
        shutil.copytree(BROUGHT / ".litertjs", export_dir / ".litertjs")
        web_exports.write_export(str(export_dir), quantization, wanted)
        web_page.bundle_page(str(export_dir))
    handler = functools.partial(_Quiet, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever).start()
        yield folder, server.server_port
        server.shutdown()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@functools.cache
def drive(task):
    """Plays a scenario once, and returns what it saw."""
    done = subprocess.run(
        ["node", str(DRIVER), task],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="session")
def play(chromium, site):
    """Returns what plays a scenario with the page of a model."""

    def play(scenario, name, *, host="127.0.0.1", **given):
        task = {
            "scenario": scenario,
            "url": f"http://{host}:{site[1]}/{name}/web/",
            "chromium": chromium,
            **given,
        }
        return drive(json.dumps(task))

    return play


@pytest.fixture(scope="session")
def picture(tmp_path_factory):
    """Returns the path of a drawn lesion."""
    path = tmp_path_factory.mktemp("pictures") / "a lesion.png"
    drawing = drawn_lesions.draw_lesion(10, 1, size=(240, 317))
    images.write_png(path, drawing.image)
    return str(path)


def segment_with_litert(site, name, path):
    """Segments a picture as the program does, with ai-edge-litert.

    Returns:
      float32 [1, size, size, labels] probabilities, and uint8 [height, width,
      labels] in {0, 1}.
    """
    (model,) = (site[0] / name / "web").glob("*.tflite")
    run = litert.Interpreter(model_path=str(model)).get_signature_runner()
    image = images.read_image(path)
    size = web_exports.SIZE
    batch = preprocessing.resize_image(image, size, size)[None].numpy()
    (info,) = run.get_input_details().values()
    if info["dtype"] == np.uint8:
        scale, zero_point = info["quantization"]
        batch = np.clip(np.round(batch / scale + zero_point), 0, 255)
    answer = run(image=batch.astype(info["dtype"]))["probability_map"]
    (info,) = run.get_output_details().values()
    if info["dtype"] == np.uint8:
        scale, zero_point = info["quantization"]
        answer = np.float32(scale) * (np.float32(answer) - zero_point)
    probability_map = preprocessing.resize_probability_map(
        answer, *image.shape[:2]
    )[0].numpy()
    return answer, decide(probability_map, MODELS[name][1])


def decide(probability_map, wanted):
    """Decides which labels hold: the likeliest, or each above a half."""
    if not wanted.exclusive or wanted.count == 1:
        return (probability_map > 0.5).astype(np.uint8)
    rest = 1 - probability_map.sum(-1, keepdims=True)
    likeliest = np.concatenate([rest, probability_map], -1).argmax(-1)
    numbers = np.arange(1, wanted.count + 1)
    return (likeliest[..., None] == numbers).astype(np.uint8)


def read_saved(saved, wanted):
    """Reads the label maps that the page saved: uint8 [height, width, k]."""
    read = []
    for file in saved:
        content = base64.b64decode(file["base64"])
        with Image.open(io.BytesIO(content)) as image:
            read.append(np.asarray(image))
            assert image.mode == ("P" if is_numbered(wanted) else "L")
            if image.mode == "P":
                palette = image.getpalette()[3 : 3 * (wanted.count + 1)]
                assert palette == [v for rgb in wanted.colours for v in rgb]
    if is_numbered(wanted):
        numbers = np.arange(1, wanted.count + 1)
        return (read[0][..., None] == numbers).astype(np.uint8)
    stacked = np.stack(read, -1)
    assert set(np.unique(stacked)) == {0, 255}
    return stacked // 255


def is_numbered(wanted: labels.Labels):
    return wanted.exclusive and wanted.count > 1


def dice(one, other):
    return 2 * np.sum(one * other) / (np.sum(one) + np.sum(other))


@pytest.mark.parametrize("name", MODELS)
def test_result_is_that_of_litert(play, site, picture, name):
    saw = play("segment", name, way="choose", picture=picture)

    quantization, wanted = MODELS[name]
    expected, label_maps = segment_with_litert(site, name, picture)
    probabilities = np.reshape(saw["probabilities"], [1, *saw["shape"]])
    limit = STEP * 1.01 if quantization == "int8" else 1e-3
    assert np.abs(probabilities - expected).max() <= limit
    saved = read_saved(saw["files"], wanted)
    assert saved.shape == label_maps.shape == (240, 317, wanted.count)
    for label in range(wanted.count):
        assert 0.01 < label_maps[..., label].mean() < 0.99
        assert dice(saved[..., label], label_maps[..., label]) >= 0.999
    shares = saved.mean((0, 1))
    np.testing.assert_allclose(saw["shares"], shares, atol=1e-9)
    for label_name, share in zip(wanted.names, shares, strict=True):
        assert f"{label_name}\n{100 * share:.1f} %" in saw["legend"]
        assert f"{label_name} {100 * share:.1f} %" in saw["announcement"]
    assert saw["complaints"] == []


def test_overlapping_labels_are_saved_one_by_one(play, picture):
    saw = play("segment", "float_overlapping", way="choose", picture=picture)

    assert [file["name"] for file in saw["files"]] == [
        "a lesion_dark_spot_label_map.png",
        "a lesion_shade_label_map.png",
    ]


@pytest.mark.parametrize("way", ["drop", "paste", "photograph"])
def test_picture_comes_in_every_way(play, site, picture, way):
    saw = play("segment", "float_one", way=way, picture=picture)

    _, label_maps = segment_with_litert(site, "float_one", picture)
    assert dice(read_saved(saw["files"], labels.Labels()), label_maps) >= 0.999
    (file,) = saw["files"]
    name = "image" if way == "paste" else "a lesion"
    assert file["name"] == f"{name}_label_map.png"


def test_nothing_is_requested_after_loading(play, site, picture):
    saw = play("segment", "float_one", way="choose", picture=picture)

    own = f"http://127.0.0.1:{site[1]}/float_one/web/"
    assert all(address.startswith(own) for address in saw["requests"])
    assert saw["requests"][saw["requestsWhenReady"] :] == []
    assert saw["fetched"] == "refused"  # by the browser, on the page's order


def test_browser_without_relaxed_simd_gets_the_same(play, site, picture):
    saw = play(
        "segment",
        "float_one",
        way="choose",
        picture=picture,
        withoutRelaxedSimd=True,
    )

    loaded = [os.path.basename(address) for address in saw["requests"]]
    assert "litert_wasm_compat_internal.wasm" in loaded
    assert "litert_wasm_internal.wasm" not in loaded
    expected, _ = segment_with_litert(site, "float_one", picture)
    probabilities = np.reshape(saw["probabilities"], expected.shape)
    np.testing.assert_allclose(probabilities, expected, atol=1e-3)


@pytest.mark.parametrize("size", [(40, 31), (900, 64), (700, 1100)])
def test_pictures_are_resized_as_by_the_program(play, site, tmp_path, size):
    path = str(tmp_path / "noise.png")
    noise = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    images.write_png(path, noise)

    saw = play("segment", "float_one", way="choose", picture=path)

    expected, _ = segment_with_litert(site, "float_one", path)
    probabilities = np.reshape(saw["probabilities"], expected.shape)
    np.testing.assert_allclose(probabilities, expected, atol=1e-3)


@pytest.mark.parametrize("orientation", [3, 6, 7])
def test_camera_pictures_stand_upright(
    play, site, picture, tmp_path, orientation
):
    path = str(tmp_path / "camera.jpg")
    with Image.open(picture) as image:
        exif = Image.Exif()
        exif[0x0112] = orientation
        image.save(path, quality=95, exif=exif)

    saw = play("segment", "float_one", way="choose", picture=path)

    _, label_maps = segment_with_litert(site, "float_one", path)
    saved = read_saved(saw["files"], labels.Labels())
    assert saved.shape == label_maps.shape
    # JPEG decoders round differently.
    assert dice(saved, label_maps) >= 0.99


def test_transparent_pictures_lie_over_white(play, site, picture, tmp_path):
    path = str(tmp_path / "transparent.png")
    with Image.open(picture) as image:
        image.putalpha(Image.linear_gradient("L").resize(image.size))
        image.save(path)

    saw = play("segment", "float_one", way="choose", picture=path)

    expected, _ = segment_with_litert(site, "float_one", path)
    probabilities = np.reshape(saw["probabilities"], expected.shape)
    # Browsers multiply by the opacity in 8 bits.
    np.testing.assert_allclose(probabilities, expected, atol=0.02)


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


NO_PICTURE = (
    "{name} is not a JPEG, PNG or BMP picture, or its beginning is damaged; "
    "choose another file."
)
TOO_LARGE = (
    "{name} is 20000 x 20000 pixels; at most 100,000,000 pixels are read. "
    "Make it smaller first."
)
REFUSED = {
    "large.png": (png_header(20000, 20000), TOO_LARGE),
    "large.jpg": (jpeg_header(20000, 20000), TOO_LARGE),
    "large.bmp": (bmp_header(20000, -20000), TOO_LARGE),
    "small.png": (
        png_header(15, 400),
        "{name} is 15 x 400 pixels; at least 16 a side are needed. Choose a "
        "larger one.",
    ),
    "notes.txt": (b"These are notes, and no picture at all.\n", NO_PICTURE),
    "notes.png": (b"These are notes, whatever the name says.\n", NO_PICTURE),
    "short.png": (png_header(200, 200)[:20], NO_PICTURE),
    "flat.png": (png_header(0, 200), NO_PICTURE),
    "empty.jpg": (b"", "{name} is empty; choose another picture."),
    "no frame.jpg": (b"\xff\xd8" + b"\xff" * 5000, NO_PICTURE),
    "scan.jpg": (b"\xff\xd8\xff\xda" + bytes(50), NO_PICTURE),
}


def test_bad_files_are_refused_before_decoding(play, tmp_path):
    for name, (content, _) in REFUSED.items():
        (tmp_path / name).write_bytes(content)
    heavy = tmp_path / "heavy.jpg"
    with open(heavy, "wb") as file:
        file.truncate(200_600_000)

    paths = [str(tmp_path / name) for name in (*REFUSED, "heavy.jpg")]
    saw = play("refuse", "float_one", files=paths)

    assert saw["said"] == [
        *(said.format(name=name) for name, (_, said) in REFUSED.items()),
        "heavy.jpg has 201 MB; at most 200 MB are read. Save it smaller, as "
        "JPEG.",
    ]
    assert saw["decoded"] == 0


def test_damaged_picture_is_refused(play, tmp_path):
    path = tmp_path / "cut.png"
    path.write_bytes(png_header(200, 200) + b"and then nothing of a picture")

    saw = play("refuse", "float_one", files=[str(path)])

    (said,) = saw["said"]
    assert said == "cut.png is damaged or cut off; choose another picture."
    assert saw["decoded"] == 1


def test_keyboard_alone_is_enough(play, picture):
    saw = play("keyboard", "float_one", picture=picture)

    order = ["file", "outline", "fill", "opacity", "Save label map"]
    assert saw["order"] == order
    assert saw["outline"] == "solid"  # the focus is seen
    assert saw["isOutlineShown"] is False  # after Space on its switch
    assert saw["opacity"] == "0.35"  # after two arrows of 5 % from 25 %
    assert saw["fileName"] == "a lesion_label_map.png"
    assert saw["announcement"].startswith("Of the picture: lesion ")


def test_small_screen_scrolls_in_one_direction(play, picture):
    phone = {
        "viewport": {"width": 360, "height": 740},
        "hasTouch": True,
        "isMobile": True,
    }
    saw = play("measure", "float_three", picture=picture, context=phone)

    for widths in (saw["empty"], saw["withResult"]):
        assert widths == {"shown": 360, "needed": 360}
    assert saw["sources"] == ["Choose a picture", "Take a photo"]
    assert saw["leastHeight"] >= 36


def test_without_a_touch_screen_no_camera_is_offered(play, picture):
    saw = play("measure", "float_one", picture=picture)

    assert saw["sources"] == ["Choose a picture"]


def test_hash_is_checked_and_told(play, site, picture):
    saw = play("segment", "float_one", way="choose", picture=picture)
    # A server's name without https is no secure origin: nothing hashes there.
    plain = play(
        "segment", "float_one", way="choose", picture=picture, host="plain.test"
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


def test_altered_model_is_refused(play, broken):
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


def test_missing_model_is_named(play, broken):
    path, name = broken
    pathlib.Path(path, "segan_none.tflite").unlink()

    saw = play("fail", name)

    words = "segan_none.tflite is missing beside this page; bundle it again."
    assert saw["problem"] == words
