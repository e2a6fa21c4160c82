"""Tests that the page in Chromium predicts what ai-edge-litert predicts."""

import base64
import io
import json
import os
import shutil

import numpy as np
import pytest
import web_exports
from ai_edge_litert import interpreter as litert
from PIL import Image

from segan_tf import labels
from segan_tf.imaging import images, preprocessing

pytestmark = pytest.mark.browser

# One step of an 8-bit probability: LiteRT.js and LiteRT round in kernels of
# their own.
STEP = 1 / 256


def segment_with_litert(site, name, path):
    """Segments an image as the program does, with ai-edge-litert.

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
        assert info["quantization"] == (1, 0)
        batch = np.round(batch)
    answer = run(image=batch.astype(info["dtype"]))["probability_map"]
    (info,) = run.get_output_details().values()
    if info["dtype"] == np.uint8:
        scale, zero_point = info["quantization"]
        answer = np.float32(scale) * (np.float32(answer) - zero_point)
    probability_map = preprocessing.resize_probability_map(
        answer, *image.shape[:2]
    )[0].numpy()
    return answer, decide(probability_map, web_exports.MODELS[name][1])


def decide(probability_map, wanted):
    """Decides which labels hold: the likeliest, or each above a half."""
    if not wanted.multiclass or wanted.count == 1:
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
                assert palette == [v for rgb in wanted.colors for v in rgb]
    if is_numbered(wanted):
        numbers = np.arange(1, wanted.count + 1)
        return (read[0][..., None] == numbers).astype(np.uint8)
    stacked = np.stack(read, -1)
    assert set(np.unique(stacked)) == {0, 255}
    return stacked // 255


def is_numbered(wanted: labels.Labels):
    return wanted.multiclass and wanted.count > 1


def dice(one, other):
    return 2 * np.sum(one * other) / (np.sum(one) + np.sum(other))


@pytest.mark.parametrize("name", web_exports.MODELS)
def test_result_equals_that_of_litert(play, site, image, name):
    saw = play("segment", name, way="choose", image=image)

    quantization, wanted = web_exports.MODELS[name]
    expected, label_maps = segment_with_litert(site, name, image)
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


def test_multilabel_labels_are_saved_one_by_one(play, image):
    saw = play("segment", "float_multilabel", way="choose", image=image)

    assert [file["name"] for file in saw["files"]] == [
        "a lesion_dark_spot_label_map.png",
        "a lesion_shade_label_map.png",
    ]


def test_contract_of_an_earlier_export_is_read(play, site, image):
    page = site[0] / "old_word" / "web"
    shutil.copytree(site[0] / "float_three" / "web", page)
    contract = json.loads((page / "model.json").read_text())
    assert contract["label_kind"] == "multiclass"
    contract["label_kind"] = "exclusive"
    assert contract.pop("thresholds") == [0.5, 0.5, 0.5]
    contract["threshold"] = 0.5
    (page / "model.json").write_text(json.dumps(contract))

    saw = play("segment", "old_word", way="choose", image=image)

    expected = play("segment", "float_three", way="choose", image=image)
    assert saw["shares"] == expected["shares"]
    assert saw["files"] == expected["files"]


@pytest.mark.parametrize("way", ["drop", "paste", "photograph"])
def test_image_can_be_dropped_pasted_or_photographed(play, site, image, way):
    saw = play("segment", "float_one", way=way, image=image)

    _, label_maps = segment_with_litert(site, "float_one", image)
    assert dice(read_saved(saw["files"], labels.Labels()), label_maps) >= 0.999
    (file,) = saw["files"]
    name = "image" if way == "paste" else "a lesion"
    assert file["name"] == f"{name}_label_map.png"


def test_browser_without_relaxed_simd_gets_the_same_result(play, site, image):
    saw = play(
        "segment",
        "float_one",
        way="choose",
        image=image,
        withoutRelaxedSimd=True,
    )

    loaded = [os.path.basename(address) for address in saw["requests"]]
    assert "litert_wasm_compat_internal.wasm" in loaded
    assert "litert_wasm_internal.wasm" not in loaded
    expected, _ = segment_with_litert(site, "float_one", image)
    probabilities = np.reshape(saw["probabilities"], expected.shape)
    np.testing.assert_allclose(probabilities, expected, atol=1e-3)


@pytest.mark.parametrize("size", [(40, 31), (900, 64), (700, 1100)])
def test_images_are_resized_as_by_the_program(play, site, tmp_path, size):
    path = str(tmp_path / "noise.png")
    noise = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    images.write_png(path, noise)

    saw = play("segment", "float_one", way="choose", image=path)

    expected, _ = segment_with_litert(site, "float_one", path)
    probabilities = np.reshape(saw["probabilities"], expected.shape)
    np.testing.assert_allclose(probabilities, expected, atol=1e-3)


@pytest.mark.parametrize("orientation", [3, 6, 7])
def test_camera_images_are_turned_upright(
    play, site, image, tmp_path, orientation
):
    path = str(tmp_path / "camera.jpg")
    with Image.open(image) as opened:
        exif = Image.Exif()
        exif[0x0112] = orientation
        opened.save(path, quality=95, exif=exif)

    saw = play("segment", "float_one", way="choose", image=path)

    _, label_maps = segment_with_litert(site, "float_one", path)
    saved = read_saved(saw["files"], labels.Labels())
    assert saved.shape == label_maps.shape
    # JPEG decoders round differently.
    assert dice(saved, label_maps) >= 0.99


def test_transparent_images_are_over_white(play, site, image, tmp_path):
    path = str(tmp_path / "transparent.png")
    with Image.open(image) as opened:
        opened.putalpha(Image.linear_gradient("L").resize(opened.size))
        opened.save(path)

    saw = play("segment", "float_one", way="choose", image=path)

    expected, _ = segment_with_litert(site, "float_one", path)
    probabilities = np.reshape(saw["probabilities"], expected.shape)
    # Browsers multiply by the opacity in 8 bits.
    np.testing.assert_allclose(probabilities, expected, atol=0.02)
