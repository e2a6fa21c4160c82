"""Tests of the SavedModel, loaded by the C++ loader of servers."""

import os
import stat

import c_loader
import numpy as np
import pytest
import small_models
import tensorflow as tf

from export.serving import saved_model
from segan_tf import config, labels
from segan_tf.models import segan as segmentors

_SIZE = 32
_LABELS = labels.Labels(("lesion", "ruler"))
_MEAN = np.float32([0.485, 0.456, 0.406])
_STD = np.float32([0.229, 0.224, 0.225])


def _build_segmentor():
    """Builds a segmentor whose weights and statistics are all drawn."""
    built = segmentors.build_segan(
        image_size=_SIZE, width=4, num_labels=_LABELS.count
    )
    small_models.draw_weights(built, scale=0.1)
    return built


def _draw_images(*shape):
    return np.random.default_rng(0).integers(
        0, 256, (*shape, 3), dtype=np.uint8
    )


def _segment_without_resizing(segmentor, images):
    normalized = (np.float32(images) / 255 - _MEAN) / _STD
    return segmentor(normalized, training=False).numpy()


@pytest.fixture(scope="module")
def segmentor():
    return _build_segmentor()


@pytest.fixture(scope="module")
def export_dir(segmentor, tmp_path_factory):
    path = tmp_path_factory.mktemp("export")
    saved_model.export_saved_model(
        segmentor, str(path), version=7, labels=_LABELS
    )
    return path


@pytest.fixture(scope="module")
def session(export_dir):
    with c_loader.CSession(export_dir / "saved_model" / "7") as session:
        yield session


def test_saved_model_takes_plain_rgb_at_the_segmentors_size(segmentor, session):
    images = _draw_images(2, _SIZE, _SIZE)

    answer = session.run("probabilities", {"images": images})

    expected = _segment_without_resizing(segmentor, images)
    np.testing.assert_allclose(answer["probability_map"], expected, atol=1e-5)


@pytest.mark.parametrize("size", [(50, 40), (20, 70)])
def test_saved_model_answers_at_the_images_size(segmentor, session, size):
    images = _draw_images(1, *size)

    answer = session.run("probabilities", {"images": images})

    small = tf.image.resize(images, (_SIZE, _SIZE), antialias=True)
    expected = tf.image.resize(
        _segment_without_resizing(segmentor, small), size
    )
    np.testing.assert_allclose(answer["probability_map"], expected, atol=1e-5)


def test_saved_model_answers_batches_as_it_answers_their_images(session):
    images = _draw_images(3, 24, 36)

    together = session.run("probabilities", {"images": images})

    assert together["probability_map"].shape == (3, 24, 36, _LABELS.count)
    for i in range(3):
        alone = session.run("probabilities", {"images": images[i : i + 1]})
        np.testing.assert_allclose(
            alone["probability_map"][0],
            together["probability_map"][i],
            atol=1e-6,
        )


def test_existing_version_is_an_error(segmentor, export_dir):
    path = export_dir / "saved_model" / "7"

    words = rf"--export_dir \({export_dir}\): .* {path}; .*another folder"
    with pytest.raises(config.UserError, match=words):
        saved_model.export_saved_model(
            segmentor, str(export_dir), version=7, labels=_LABELS
        )

    assert os.listdir(export_dir / "saved_model") == ["7"]


def test_servers_of_another_user_can_read_the_version(export_dir):
    old_mask = os.umask(0)
    os.umask(old_mask)

    version = stat.S_IMODE((export_dir / "saved_model" / "7").stat().st_mode)

    assert version == 0o777 & ~old_mask


def test_nothing_but_the_version_is_left(export_dir):
    assert os.listdir(export_dir) == ["saved_model"]
    assert os.listdir(export_dir / "saved_model") == ["7"]
