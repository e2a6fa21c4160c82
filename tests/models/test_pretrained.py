import hashlib
import json
import os

import numpy as np
import pytest
import small_models

import segan_tf
from segan_tf import labels, styles
from segan_tf.config import RELEASES, Config, UserError
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


STYLES = styles.Styles(("loose", "tight"), (0.75, 0.25))


@pytest.fixture
def written(tmp_path):
    """Writes a release of random weights; returns its segmentor, too."""
    return write(tmp_path / "release", styles.PLAIN)


def write(folder, known):
    segmentor = restore.build_segmentor(RUN, num_styles=known.count)
    small_models.draw_weights(segmentor)
    pretrained.write(
        restore.Restored(segmentor, 7, "", known),
        config=RUN,
        labels=labels.LESION,
        name="a small one",
        tflite=TFLITE,
        parity=PARITY,
        made_by={"step": 7},
        folder=str(folder),
    )
    return segmentor, pretrained.Release(str(folder))


def test_loaded_weights_are_rounded_to_float16(written):
    segmentor, release = written
    loaded = release.load_segmentor()
    for saved, read in zip(
        segmentor.get_weights(), loaded.get_weights(), strict=True
    ):
        if saved.ndim > 1:  # a kernel
            saved = saved.astype(np.float16)
        np.testing.assert_array_equal(read, saved)
    assert release.labels == labels.LESION
    assert (release.config.width, release.config.image_size) == (2, 32)
    assert release.describe().startswith("a small one (SHA-256 ")
    assert release.styles == styles.PLAIN


def test_release_with_styles_draws_in_each(tmp_path):
    segmentor, release = write(tmp_path / "release", STYLES)
    assert release.styles == STYLES
    restored = release.load()
    assert (restored.styles, restored.step) == (STYLES, 7)
    image = np.zeros((1, 32, 32, 3), np.float32)
    mean = np.array([STYLES.mean], np.float32)
    np.testing.assert_allclose(
        release.load_segmentor()(image), segmentor([image, mean]), atol=1e-2
    )
    maps = [
        restored.segmentor([image, np.array([one], np.float32)]).numpy()
        for one in ((1.0, 0.0), (0.0, 1.0))
    ]
    assert np.abs(maps[0] - maps[1]).max() > 1e-3


def test_release_includes_the_tflite_models(written):
    _, release = written
    assert release.step == 7
    assert release.parity == PARITY
    assert release.quantizations == ("float16", "int8")
    for quantization, content in TFLITE.items():
        with open(release.tflite_path(quantization), "rb") as file:
            assert file.read() == content


@pytest.mark.parametrize(
    ("name", "read"),
    [
        (pretrained.WEIGHTS, pretrained.Release.load),
        ("segan_int8.tflite", lambda release: release.tflite_path("int8")),
    ],
    ids=["weights", "int8"],
)
@pytest.mark.parametrize("damage", ["changed", "missing", "other"])
def test_changed_or_missing_file_is_an_error(
    written, name, read, damage, tmp_path
):
    _, release = written
    path = tmp_path / "release" / name
    data = bytearray(path.read_bytes())
    if damage == "missing":
        path.unlink()
    else:
        data[len(data) // 2] ^= 1
        path.write_bytes(data if damage == "changed" else b"something else")
    with pytest.raises(UserError, match=f"{name} .* install segan_tf"):
        read(release)


def test_damaged_release_json_is_an_error(written, tmp_path):
    _, release = written
    (tmp_path / "release" / "release.json").write_text("{")
    with pytest.raises(UserError, match="release.json is missing or"):
        release.load()


def test_pickled_arrays_are_never_loaded(written, tmp_path):
    _, release = written
    path = tmp_path / "release" / pretrained.WEIGHTS
    np.savez(path, weights=np.array([{"a": 1}], dtype=object))
    with pytest.raises(UserError):  # by its SHA-256
        release.load()
    release_json = tmp_path / "release" / "release.json"
    record = json.loads(release_json.read_text())
    record["sha256"][pretrained.WEIGHTS] = hashlib.sha256(
        path.read_bytes()
    ).hexdigest()
    release_json.write_text(json.dumps(record))
    with pytest.raises((ValueError, KeyError)):
        pretrained.Release(release.folder).load()


@pytest.mark.parametrize("name", RELEASES)
def test_every_release_opens_by_its_name(name):
    release = pretrained.find(name)
    size = release.config.image_size
    assert release.config.segmentor.startswith("efficientnet_lite")
    assert release.load_segmentor().output_shape == (None, size, size, 1)
    assert f"{release.describe()}" == segan_tf.Predictor(name).description
    for quantization in release.quantizations:
        assert os.path.exists(release.tflite_path(quantization))


def test_newest_release_is_the_default():
    assert pretrained.find() == pretrained.find(RELEASES[-1])
    assert pretrained.find("pretrained-1").folder.endswith("1")


def test_released_model_finds_drawn_lesions():
    predictor = segan_tf.Predictor.from_pretrained()
    dices = []
    for number in range(8):
        drawing = lesions.draw_lesion(number, 0)
        predicted = predictor.label_map(drawing.image)[..., 0]
        true = drawing.label_maps[..., 0]
        dices.append(per_image.dice(per_image.confusion(predicted, true)))
    assert np.median(dices) > 0.8
