"""Tests of converting to TFLite models."""

import os
import stat

import numpy as np
import pytest
import small_models
import tensorflow as tf

from export.serving import saved_model
from export.tflite import convert, operators
from segan_tf import config, labels
from segan_tf.inference import tflite_model

KINDS = config.QUANTIZATIONS
# Largest differences: rounding of the kernels, of float16, of 8 bits.
TOLERANCES = {"none": 1e-4, "float16": 1e-2, "dynamic": 0.05, "int8": 0.1}


def export(segmentor, path, **changes):
    """Exports by the plainest arguments but for the changes."""
    given = {
        "quantization": "none",
        "labels": labels.Labels(),
        "version": 7,
        **changes,
    }
    return convert.export_tflite(segmentor, str(path), **given)


@pytest.fixture(scope="module")
def segmentor():
    return small_models.build_segmentor(num_labels=2)


@pytest.fixture(scope="module")
def folder(segmentor, tmp_path_factory):
    path = tmp_path_factory.mktemp("tflite")
    for kind in KINDS:
        export(
            segmentor,
            path / f"segan_{kind}.tflite",
            quantization=kind,
            labels=small_models.TWO_LABELS,
            calibration_images=small_models.draw_calibration_images(),
        )
    return path


def open_model(folder, kind):
    """Opens one of the four."""
    return tflite_model.TFLiteModel(folder / f"segan_{kind}.tflite")


@pytest.mark.parametrize("kind", KINDS)
def test_probabilities_are_those_of_keras(segmentor, folder, kind):
    (image,) = small_models.draw_images((32, 32), seed=5)

    given = open_model(folder, kind).segment(image[None])

    expected = small_models.segment(segmentor, image[None])
    assert given.dtype == np.float32
    np.testing.assert_allclose(given, expected, atol=TOLERANCES[kind])
    assert np.ptp(expected) > 0.5  # there was something to differ in


@pytest.mark.parametrize("kind", KINDS)
def test_shapes_are_fixed_and_names_are_as_documented(folder, kind):
    interpreter = open_model(folder, kind).interpreter

    (taken,) = interpreter.get_input_details()
    (given,) = interpreter.get_output_details()

    assert interpreter.get_signature_list() == {
        "serving_default": {"inputs": ["image"], "outputs": ["probability_map"]}
    }
    assert taken["shape_signature"].tolist() == [1, 32, 32, 3]
    assert given["shape_signature"].tolist() == [1, 32, 32, 2]
    assert given["dtype"] == np.float32
    assert taken["dtype"] == (np.uint8 if kind == "int8" else np.float32)


@pytest.mark.parametrize("kind", KINDS)
def test_operators_are_builtin_without_variables(folder, kind):
    content = (folder / f"segan_{kind}.tflite").read_bytes()

    names = operators.list_operators(content)

    # Of float16 weights, one a tensor, and of int8 the last step.
    plain = [name for name in names if name != "DEQUANTIZE"]
    if kind == "int8":
        assert plain == [
            "QUANTIZE",
            "DEPTHWISE_CONV_2D",  # normalization
            "CONV_2D",  # with the batch normalization folded in
            "CONV_2D",  # of the image, a part of the last convolution
            "LEAKY_RELU",
            "RESIZE_BILINEAR",
            "CONV_2D",  # the other part
            "ADD",
            "LOGISTIC",
        ]
    else:
        assert plain == [
            "DEPTHWISE_CONV_2D",
            "CONV_2D",
            "LEAKY_RELU",
            "RESIZE_BILINEAR",
            "CONCATENATION",
            "CONV_2D",
            "LOGISTIC",
        ]


def test_int8_computes_in_integers_only(folder):
    nodes = open_model(folder, "int8").interpreter._get_ops_details()
    plain = [node for node in nodes if node["op_name"] != "DELEGATE"]

    kinds = {kind for node in plain[:-1] for kind in node["operand_types"]}

    assert kinds == {np.uint8, np.int8, np.int32}
    assert plain[-1]["op_name"] == "DEQUANTIZE"


def test_int8_takes_plain_pixels_even_if_calibrated_on_dark_images(
    segmentor, tmp_path
):
    dark = [x // 4 for x in small_models.draw_calibration_images()]

    path = export(
        segmentor,
        tmp_path / "dark.tflite",
        quantization="int8",
        calibration_images=dark,
    )

    interpreter = tflite_model.TFLiteModel(path).interpreter
    (taken,) = interpreter.get_input_details()
    assert taken["quantization"] == (pytest.approx(1), 0)


@pytest.mark.parametrize(("count", "copies"), [(99, 1), (60, 2), (0, 1)])
def test_int8_needs_enough_different_images(segmentor, tmp_path, count, copies):
    images = small_models.draw_calibration_images(count) * copies

    words = (
        r"--quantizations: int8 .* at least 100 different images of the "
        rf"training split, and there are {count}; .* "
        r"--quantizations=none,float16,dynamic\.$"
    )
    with pytest.raises(config.UserError, match=words):
        export(
            segmentor,
            tmp_path / "few.tflite",
            quantization="int8",
            calibration_images=images,
        )
    assert os.listdir(tmp_path) == []


def test_only_models_and_contracts_are_left(folder):
    assert sorted(os.listdir(folder)) == sorted(
        f"segan_{kind}.{ending}"
        for kind in KINDS
        for ending in ("json", "tflite")
    )


def test_other_users_can_read_the_model(folder):
    old_mask = os.umask(0)
    os.umask(old_mask)
    for name in ("segan_none.tflite", "segan_none.json"):
        mode = stat.S_IMODE((folder / name).stat().st_mode)
        assert mode == 0o666 & ~old_mask


def test_equal_models_are_equal_files(segmentor, folder, tmp_path):
    again = export(
        segmentor,
        tmp_path / "segan_none.tflite",
        labels=small_models.TWO_LABELS,
    )

    with open(again, "rb") as file:
        assert file.read() == (folder / "segan_none.tflite").read_bytes()


def write_with_state(segmentor, path, endpoints):
    """Replaces saved_model.write_archive by a model that counts its calls."""
    module = tf.Module()
    module.segmentor = segmentor
    module.calls = tf.Variable(0.0)
    ((name, (function, spec)),) = endpoints.items()

    @tf.function(input_signature=[spec])
    def count_and_call(x):
        module.calls.assign_add(1.0)
        return {key: y + 0 * module.calls for key, y in function(x).items()}

    tf.saved_model.save(module, path, signatures={name: count_and_call})


def test_model_that_keeps_variables_is_caught(segmentor, tmp_path, monkeypatch):
    monkeypatch.setattr(saved_model, "write_archive", write_with_state)

    words = "ASSIGN_VARIABLE, READ_VARIABLE, VAR_HANDLE"
    with pytest.raises(operators.ConversionError, match=words):
        export(segmentor, tmp_path / "model.tflite")
    assert os.listdir(tmp_path) == []
