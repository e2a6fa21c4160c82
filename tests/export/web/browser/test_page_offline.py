"""Tests of loading, of visits without a network, of updates, of the camera."""

import base64
import json
import re
import shutil

import pytest

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def again(play, site, image):
    """Visits a page, without a network the second time, then an update."""
    from export.web import bundle

    folder, newer = site[0] / "kept", site[0] / "newer"
    for path in (folder, newer):
        path.mkdir()
        shutil.copytree(site[0] / "float_one" / ".litertjs", path / ".litertjs")
        for name in ("segan_none.tflite", "segan_none.json"):
            shutil.copy(site[0] / "float_one" / name, path)
    contract = json.loads((newer / "segan_none.json").read_text())
    contract["label_names"] = ["newer label"]
    (newer / "segan_none.json").write_text(json.dumps(contract))
    for path in (folder, newer):
        bundle.bundle_page(str(path))
    return play(
        "visitAgain",
        "kept",
        image=image,
        newer=str(newer / "web"),
        folder=str(folder / "web"),
        context={"serviceWorkers": "allow"},
    )


def test_second_visit_needs_no_network(again, play, image):
    saw = play("segment", "float_one", way="choose", image=image)

    assert again["offline"] == saw["shares"]
    assert again["blocked"] == "refused"  # the lock holds there, too


def test_update_starts_when_the_user_wants_it(again):
    assert again["before"] == "Outline a skin lesion"
    assert again["after"] == "Outline newer label"


def test_page_can_be_installed(site):
    page = site[0] / "float_one" / "web"
    manifest = json.loads((page / "manifest.webmanifest").read_text())
    html = (page / "index.html").read_text()

    assert 'rel="manifest" href="manifest.webmanifest"' in html
    assert manifest["start_url"] == manifest["scope"] == "./"
    assert manifest["display"] == "standalone"
    for icon, name in zip(
        manifest["icons"], ("icon.svg", "icon.png"), strict=True
    ):
        kind, _, encoded = icon["src"].partition(";base64,")
        assert kind == f"data:{icon['type']}"
        assert base64.b64decode(encoded) == (page / name).read_bytes()


def test_chromium_would_install_it(play):
    context = {"serviceWorkers": "allow"}
    saw = play("install", "float_one", context=context)

    # In the private window of a test, and otherwise without a reason against.
    assert saw["errors"] == ["in-incognito"]
    assert saw["complaints"] == []


def test_loading_shows_bytes_and_a_bar(play, site):
    saw = play("loadSlowly", "float_one", bytesPerSecond=12_000_000)

    files = json.loads((site[0] / "float_one/web/files.json").read_text())
    sizes = files["files"]
    builds = [size for name, size in sizes.items() if name.endswith(".wasm")]
    total = (sizes["segan_none.tflite"] + max(builds)) / 1e6
    said = [text for text, *_ in saw["said"] if text]
    assert len(set(said)) > 3
    assert all(text.endswith(f" of {total:.1f} MB") for text in said)
    received = [float(re.match(r"[\d.]+", text)[0]) for text in said]
    assert received == sorted(received)
    shares = [value for _, value, is_hidden in saw["said"] if not is_hidden]
    assert shares[0] < 0.1
    assert max(shares) > 0.9
    assert saw["said"][-1][2]  # hidden once the page is ready


def test_camera_gives_an_image(play):
    args = (
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
    )
    saw = play("useCamera", "float_one", args=args)

    assert saw["cameras"] == ["fake_device_0"]
    width, height = saw["size"]["width"], saw["size"]["height"]
    assert saw["caption"].endswith(f".png, {width} x {height} pixels")
    assert min(width, height) >= 480
    assert not saw["isOpen"]
    assert saw["isReleased"]
    assert saw["complaints"] == []
