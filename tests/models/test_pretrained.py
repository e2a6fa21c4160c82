import hashlib
import json
import os

import numpy as np
import pytest

import segan_tf
from segan_tf import labels
from segan_tf.config import Config, UserError
from segan_tf.metrics import per_image
from segan_tf.models import pretrained, restore
from segan_tf.synthetic import lesions

RUN = Config(image_size=32, width=2)
PARITY = {
    "images": 9,
    "source": "a split",
    "dice": {"keras": 0.9, "float16": 0.9, "int8": 0.8},
}
TFLITE = {"float16": b"a model", "int8": b"a smaller one"}


@pytest.fixture
def release(tmp_path):
    """Writes a release of random weights; returns it and its folder."""
    segmentor = restore.build_segmentor(RUN)
    folder = str(tmp_path / "release")
    pretrained.write(
        segmentor,
        config=RUN,
        labels=labels.LESION,
        name="a small one",
        tflite=TFLITE,
        parity=PARITY,
        made_by={"step": 7},
        folder=folder,
    )
    return segmentor, folder


def test_loaded_weights_are_rounded_to_float16(release):
    segmentor, folder = release
    loaded = pretrained.load(folder)
    for written, read in zip(
        segmentor.get_weights(), loaded.get_weights(), strict=True
    ):
        if written.ndim > 1:  # a kernel
            written = written.astype(np.float16)
        np.testing.assert_array_equal(read, written)
    assert pretrained.read_labels(folder) == labels.LESION
    config = pretrained.read_config(folder)
    assert (config.width, config.image_size) == (2, 32)
    assert pretrained.describe(folder).startswith("a small one (SHA-256 ")


def test_release_includes_the_tflite_models(release):
    _, folder = release
    assert pretrained.read_step(folder) == 7
    assert pretrained.read_parity(folder) == PARITY
    for quantization, content in TFLITE.items():
        path = pretrained.tflite_path(quantization, folder)
        with open(path, "rb") as file:
            assert file.read() == content


@pytest.mark.parametrize(
    ("name", "read"),
    [
        (pretrained.WEIGHTS, pretrained.load),
        (
            "segan_int8.tflite",
            lambda folder: pretrained.tflite_path("int8", folder),
        ),
    ],
    ids=["weights", "int8"],
)
@pytest.mark.parametrize("damage", ["changed", "missing", "other"])
def test_changed_or_missing_file_is_an_error(
    release, name, read, damage, tmp_path
):
    _, folder = release
    path = tmp_path / "release" / name
    data = bytearray(path.read_bytes())
    if damage == "missing":
        path.unlink()
    else:
        data[len(data) // 2] ^= 1
        path.write_bytes(data if damage == "changed" else b"something else")
    with pytest.raises(UserError, match=f"{name} .* install segan_tf"):
        read(folder)


def test_damaged_release_json_is_an_error(release, tmp_path):
    (tmp_path / "release" / "release.json").write_text("{")
    with pytest.raises(UserError, match="release.json is missing or"):
        pretrained.load(str(tmp_path / "release"))


def test_pickled_arrays_are_never_loaded(release, tmp_path):
    _, folder = release
    path = tmp_path / "release" / pretrained.WEIGHTS
    np.savez(path, weights=np.array([{"a": 1}], dtype=object))
    with pytest.raises(UserError):  # by its SHA-256
        pretrained.load(folder)
    release_json = tmp_path / "release" / "release.json"
    record = json.loads(release_json.read_text())
    record["sha256"][pretrained.WEIGHTS] = hashlib.sha256(
        path.read_bytes()
    ).hexdigest()
    release_json.write_text(json.dumps(record))
    with pytest.raises((ValueError, KeyError)):
        pretrained.load(folder)


def test_released_model_is_complete_and_small():
    segmentor = segan_tf.load_pretrained()
    config = pretrained.read_config()
    assert config.segmentor == "efficientnet_lite0"
    size = config.image_size
    assert segmentor.output_shape == (None, size, size, 1)
    weights = os.path.join(os.path.dirname(pretrained.__file__), "weights.npz")
    total = 0
    for quantization in pretrained.QUANTIZATIONS:
        with open(pretrained.tflite_path(quantization), "rb") as file:
            total += len(file.read())
    assert total + os.path.getsize(weights) < 15e6


def test_released_model_finds_drawn_lesions():
    predictor = segan_tf.Predictor.from_pretrained()
    dices = []
    for number in range(8):
        drawing = lesions.draw_lesion(number, 0)
        predicted = predictor.label_map(drawing.image)[..., 0]
        true = drawing.label_maps[..., 0]
        dices.append(per_image.dice(per_image.confusion(predicted, true)))
    assert np.median(dices) > 0.8
