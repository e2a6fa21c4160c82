"""Tests of running a SavedModel from its graph alone."""

import os
import shutil

import c_loader
import numpy as np
import pytest
import small_models
import tensorflow as tf

from export.serving import saved_model, session
from segan_tf import labels
from segan_tf.inference import predictor


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """Exports a version of a small model."""
    return saved_model.export_saved_model(
        small_models.build_segmentor(),
        str(tmp_path_factory.mktemp("served")),
        version=1,
        labels=labels.LESION,
    )


@pytest.mark.parametrize("name", ["lr[0.1] *?", "l\udce9sion"])
def test_folders_with_pattern_characters_are_written_and_read(name, tmp_path):
    folder = tmp_path / name
    folder.mkdir()
    path = saved_model.export_saved_model(
        small_models.build_segmentor(),
        str(folder),
        version=1,
        labels=labels.LESION,
    )
    (image,) = small_models.draw_images((32, 32))

    with session.Session(path) as opened:
        answer = opened.run("probabilities", {"images": image[None]})
    predicted = predictor.Predictor(path).probability_map(image)

    np.testing.assert_allclose(
        answer["probability_map"][0], predicted, atol=1e-5
    )
    assert os.listdir(folder / "saved_model") == ["1"]


def test_signatures_are_those_that_clients_may_call(path):
    with session.Session(path) as opened:
        assert list(opened.signatures) == ["probabilities", "serving_default"]
        inputs = opened.signatures["serving_default"].inputs
    assert list(inputs) == ["image_bytes"]


def test_answers_are_those_of_the_c_api(path):
    (image,) = small_models.draw_images((50, 40))
    images = np.array([tf.io.encode_png(image).numpy()], dtype=object)

    with session.Session(path) as opened, c_loader.CSession(path) as in_c:
        for name, inputs in (
            ("probabilities", {"images": image[None]}),
            ("serving_default", {"image_bytes": images}),
        ):
            answer = opened.run(name, inputs)
            expected = in_c.run(name, inputs)
            assert set(answer) == set(expected)
            for key, value in expected.items():
                assert answer[key].dtype == value.dtype
                np.testing.assert_array_equal(answer[key], value)


def test_failed_run_is_an_error_and_the_next_one_is_answered(path):
    (image,) = small_models.draw_images((32, 32))
    with session.Session(path) as opened:
        with pytest.raises((ValueError, tf.errors.OpError), match=r"\(1, 32\)"):
            opened.run("probabilities", {"images": image[:1, :, 0]})

        answer = opened.run("probabilities", {"images": image[None]})
    assert answer["probability_map"].shape == (1, 32, 32, 1)


def test_unknown_names_are_errors(path):
    with session.Session(path) as opened:
        with pytest.raises(KeyError, match="none"):
            opened.run("none", {})
        with pytest.raises(KeyError, match="image"):
            opened.run("probabilities", {"image": np.zeros((1, 8, 8, 3), "u1")})


def test_missing_folder_is_an_error(tmp_path):
    with pytest.raises(OSError, match="nowhere"):
        session.Session(tmp_path / "nowhere")


def test_missing_weights_are_an_error(path, tmp_path):
    broken = shutil.copytree(path, tmp_path / "broken")
    shutil.rmtree(broken / "variables")

    with pytest.raises((ValueError, tf.errors.OpError), match="variables"):
        session.Session(broken)
