"""Tests of the proofs: a broken artefact is never handed out."""

import hashlib
import json
import os
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

from export import c_loader, parity, saved_model, serving_graph, tflite
from segan_tf import config, labels
from segan_tf.data import preprocessing

_SIZE = 32
_LABELS = labels.Labels()
_MEAN = np.float32([0.485, 0.456, 0.406])
_STD = np.float32([0.229, 0.224, 0.225])


def _build_segmentor(seed):
    """Builds a small segmentor with every kind of layer a real one has."""
    layers = keras.layers
    image = keras.Input((_SIZE, _SIZE, 3), name="image")
    x = layers.Conv2D(8, 4, strides=2, padding="same", name="down")(image)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.LeakyReLU(name="leaky")(x)
    x = layers.UpSampling2D(interpolation="bilinear", name="up")(x)
    x = layers.Concatenate(name="skip")([x, image])
    x = layers.Conv2D(1, 3, padding="same", name="logits")(x)
    x = layers.Activation("sigmoid", name="label_map")(x)
    segmentor = keras.Model(image, x, name="segmentor")
    rng = np.random.default_rng(seed)
    segmentor.set_weights(
        [
            rng.uniform(0.5, 1.5, weights.shape)  # batch norm and offsets
            if weights.ndim == 1
            else rng.normal(0, 0.2, weights.shape)
            for weights in segmentor.get_weights()
        ]
    )
    return segmentor


def _draw_images(*shapes):
    rng = np.random.default_rng(0)
    return [
        rng.integers(0, 256, (*shape, 3), dtype=np.uint8) for shape in shapes
    ]


def _export_all(segmentor, export_dir, images, version=1):
    return parity.export_all(
        segmentor,
        export_dir=str(export_dir),
        version=version,
        images=images,
        labels=_LABELS,
    )


def _check_saved_model(segmentor, path, images):
    return parity.check_saved_model(segmentor, path, images, labels=_LABELS)


@pytest.fixture(scope="module")
def segmentor():
    return _build_segmentor(seed=1)


@pytest.fixture(scope="module")
def other_segmentor():
    return _build_segmentor(seed=2)


@pytest.fixture(scope="module")
def images():
    return _draw_images((50, 40), (20, 70), (50, 40))


@pytest.fixture(scope="module")
def exported(segmentor, images, tmp_path_factory):
    export_dir = tmp_path_factory.mktemp("export")
    return export_dir, _export_all(segmentor, export_dir, images, version=7)


def test_record_holds_what_lies_in_the_folder(exported):
    export_dir, record = exported
    names = ["export.json", "saved_model", "segan_none.tflite"]

    assert sorted(os.listdir(export_dir)) == names
    assert os.listdir(export_dir / "saved_model") == ["7"]
    assert json.loads((export_dir / "export.json").read_text()) == record
    assert record["version"] == 7
    assert record["tensorflow"] == tf.__version__
    assert record["keras"] == keras.__version__
    assert 0 < record["saved_model"]["largest_difference"] <= 1e-5
    assert 0 < record["tflite"]["largest_difference"] <= 1e-4


@pytest.mark.parametrize("artefact", ["saved_model", "tflite"])
def test_record_holds_size_and_hash_of_every_file(exported, artefact):
    export_dir, record = exported
    path = export_dir / record[artefact]["path"]

    paths = [path] if path.is_file() else path.rglob("*")
    folder = path.parent if path.is_file() else path
    expected = {
        str(file.relative_to(folder)): {
            "bytes": file.stat().st_size,
            "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        }
        for file in paths
        if file.is_file()
    }

    assert record[artefact]["files"] == expected


def test_tflite_lists_its_operators_in_order(exported):
    names = tflite.operators(str(exported[0] / "segan_none.tflite"))

    # Batch normalisation is folded into the convolution before it.
    assert names == [
        "MUL",  # / 255
        "SUB",  # - mean
        "MUL",  # / std
        "CONV_2D",
        "LEAKY_RELU",
        "RESIZE_BILINEAR",
        "CONCATENATION",
        "CONV_2D",
        "LOGISTIC",
    ]


def test_next_version_stands_beside_the_last_without_a_word(
    segmentor, other_segmentor, exported, images, tmp_path, capfd
):
    export_dir = tmp_path / "export"
    shutil.copytree(exported[0], export_dir)

    record = _export_all(other_segmentor, export_dir, images, version=8)

    assert capfd.readouterr() == ("", "")
    assert record["saved_model"]["path"] == os.path.join("saved_model", "8")
    old, new = (str(export_dir / "saved_model" / v) for v in ("7", "8"))
    phone = str(export_dir / "segan_none.tflite")
    assert _check_saved_model(segmentor, old, images) <= 1e-5
    assert _check_saved_model(other_segmentor, new, images) <= 1e-5
    assert parity.check_tflite(other_segmentor, phone, images) <= 1e-4


def test_existing_version_is_refused_before_any_work(
    segmentor, exported, images, monkeypatch
):
    export_dir, _ = exported
    monkeypatch.setattr(saved_model, "write_archive", None)

    with pytest.raises(config.UserError, match="version 7 exists already"):
        _export_all(segmentor, export_dir, images, version=7)


def test_folder_that_cannot_be_made_is_refused(segmentor, tmp_path, images):
    (tmp_path / "file").write_text("in the way")
    export_dir = tmp_path / "file" / "export"

    words = f"--export_dir: cannot write in {export_dir}"
    with pytest.raises(config.UserError, match=words):
        _export_all(segmentor, export_dir, images)


def test_checks_tell_two_segmentors_apart(other_segmentor, exported, images):
    served = str(exported[0] / "saved_model" / "7")
    carried = str(exported[0] / "segan_none.tflite")

    assert _check_saved_model(other_segmentor, served, images) > 0.01
    assert parity.check_tflite(other_segmentor, carried, images) > 0.01


@pytest.mark.parametrize(
    "module, name, words",
    [
        (saved_model, "export_saved_model", "the SavedModel differs"),
        (tflite, "export_tflite", "the TFLite model differs"),
    ],
)
def test_weights_of_another_model_are_not_handed_out(
    segmentor,
    other_segmentor,
    tmp_path,
    images,
    monkeypatch,
    module,
    name,
    words,
):
    export = getattr(module, name)
    monkeypatch.setattr(
        module,
        name,
        lambda _, *rest, **named: export(other_segmentor, *rest, **named),
    )

    with pytest.raises(parity.ParityError, match=f"{words}.*was removed"):
        _export_all(segmentor, tmp_path, images)

    assert os.listdir(tmp_path) == []


def _without_normalising(segmentor, images, _):
    small = tf.image.resize(images, (_SIZE, _SIZE), antialias=True)
    probability_map = segmentor(small, training=False)
    return {
        "probability_map": tf.image.resize(
            probability_map, tf.shape(images)[1:3]
        )
    }


def test_serving_graph_that_does_not_normalise_is_caught(
    segmentor, tmp_path, images, monkeypatch
):
    monkeypatch.setattr(serving_graph, "segment_images", _without_normalising)

    with pytest.raises(parity.ParityError, match="the SavedModel differs"):
        _export_all(segmentor, tmp_path, images)


def _without_resizing_back(segmentor, images, _):
    small = tf.image.resize(images, (_SIZE, _SIZE), antialias=True)
    normalised = (small / 255 - _MEAN) / _STD
    return {"probability_map": segmentor(normalised, training=False)}


def test_one_image_of_the_segmentors_size_still_proves_other_sizes(
    segmentor, tmp_path, monkeypatch
):
    monkeypatch.setattr(serving_graph, "segment_images", _without_resizing_back)

    with pytest.raises(parity.ParityError, match=r"gives float32 \(1, 32, 32"):
        _export_all(segmentor, tmp_path, _draw_images((_SIZE, _SIZE)))


def _decide_at(threshold):
    return lambda probability_map, exclusive: tf.cast(
        probability_map > threshold, tf.float32
    )


def test_serving_graph_that_decides_otherwise_is_caught(
    segmentor, tmp_path, images, monkeypatch
):
    with monkeypatch.context() as patch:
        patch.setattr(preprocessing, "decide_label_map", _decide_at(0.4))
        path = saved_model.export_saved_model(
            segmentor, str(tmp_path), 1, labels=_LABELS
        )

    # By so much the probabilities that were taken for lesion are below 0.5.
    assert 0.01 < _check_saved_model(segmentor, path, images) <= 0.5 - 0.4


def _write_archive_without_keras(segmentor, path, endpoints):
    module = tf.Module()
    module.segmentor = segmentor
    module.functions = {
        name: tf.function(function, input_signature=[spec])
        for name, (function, spec) in endpoints.items()
    }
    tf.saved_model.save(module, path, signatures=dict(module.functions))


def test_saved_model_that_only_python_can_run_is_caught(
    segmentor, tmp_path, images, monkeypatch
):
    monkeypatch.setattr(
        saved_model, "write_archive", _write_archive_without_keras
    )

    path = saved_model.export_saved_model(
        segmentor, str(tmp_path), 1, labels=_LABELS
    )

    reloaded = tf.saved_model.load(path)
    answer = reloaded.signatures["probabilities"](
        images=tf.constant(images[0][None])
    )
    assert answer["probability_map"].shape == (1, 50, 40, 1)
    words = "Could not find variable"
    with pytest.raises(c_loader.CSessionError, match=words):
        _check_saved_model(segmentor, path, images)


def test_tflite_without_weights_is_caught(segmentor, tmp_path, monkeypatch):
    monkeypatch.setattr(
        saved_model, "write_archive", _write_archive_without_keras
    )

    words = "READ_VARIABLE, VAR_HANDLE"
    with pytest.raises(tflite.ConversionError, match=words):
        tflite.export_tflite(segmentor, str(tmp_path / "model.tflite"))

    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("difference", [2e-4, float("inf"), float("nan")])
def test_difference_above_the_limit_is_refused(difference):
    with pytest.raises(parity.ParityError, match="more than 0.0001"):
        parity.refuse_difference("TFLite model", difference, 1e-4)

    parity.refuse_difference("TFLite model", 1e-4, 1e-4)


def test_weights_that_are_not_numbers_are_refused(segmentor, exported, images):
    broken = _build_segmentor(seed=1)
    logits = broken.get_layer("logits")
    logits.set_weights([w * np.nan for w in logits.get_weights()])
    served = str(exported[0] / "saved_model" / "7")
    carried = str(exported[0] / "segan_none.tflite")

    assert np.isnan(_check_saved_model(broken, served, images))
    assert np.isnan(parity.check_tflite(broken, carried, images))


def test_proof_without_images_is_refused(segmentor, exported):
    with pytest.raises(ValueError, match="at least one image"):
        _check_saved_model(segmentor, str(exported[0]), [])
    with pytest.raises(ValueError, match="at least one image"):
        parity.check_tflite(segmentor, str(exported[0]), [])
