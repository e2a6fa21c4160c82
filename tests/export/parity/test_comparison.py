"""Tests of comparing artifacts with Keras."""

import pathlib

import keras
import numpy as np
import pytest
import small_models
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from export.parity import comparison, parity_dataset, parity_stats
from export.serving import graph, saved_model
from segan_tf import labels

_write_archive = saved_model.write_archive


@pytest.fixture(scope="module")
def segmentor():
    return small_models.build_segmentor()


@pytest.fixture(scope="module")
def images():
    return small_models.draw_images((50, 40), (20, 70), (50, 40))


@pytest.fixture(scope="module")
def served(segmentor, tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("served"))
    return saved_model.export_saved_model(
        segmentor, folder, version=7, labels=labels.LESION
    )


def compare(segmentor, artifacts, pairs):
    """Compares on pairs."""
    ((reference, rows),), count = comparison.compare(
        [comparison.Reference(segmentor, artifacts)],
        parity_dataset.ParityDataset([], pairs, "a test"),
        labels=labels.LESION,
    )
    return reference, rows, count


def half_map(height, width, value):
    """Makes a probability map whose upper half has the value."""
    found = np.zeros((1, height, width, 1), np.float32)
    found[:, : height // 2] = value
    return found


def test_differences_and_scores_are_those_counted_by_hand(monkeypatch):
    # Keras says 0.9 above and 0 below, the true label map is the upper half.
    monkeypatch.setattr(comparison, "segment", lambda *_: half_map(32, 32, 0.9))
    image = np.zeros((32, 32, 3), np.uint8)
    true = half_map(32, 32, 1)[0].astype(np.uint8)
    everywhere = np.full((1, 32, 32, 1), 0.6, np.float32)
    artifacts = {
        "small": comparison.OpenedArtifact(
            lambda *_: half_map(32, 32, 0.8), False
        ),
        "own": comparison.OpenedArtifact(lambda *_: everywhere, True),
    }
    segmentor = small_models.build_segmentor()

    reference, rows, count = compare(segmentor, artifacts, [(image, true)] * 2)

    assert count == 2
    assert (reference["dice"], reference["iou"]) == (1, 1)
    scores = {"dice": 1, "iou": 1, "dice_to_keras": 1}
    # A percentile is rounded up by at most 1 / 128.
    difference = pytest.approx(0.9 - 0.8, rel=1 / 128)
    assert rows["small"] == {
        "difference": difference,
        "largest_difference": pytest.approx(0.9 - 0.8),
        **scores,
        "labels": {"lesion": {"difference": difference, **scores}},
    }
    # All pixels for half of them: 2 * 1/2 / (1 + 1/2).
    assert rows["own"]["largest_difference"] == pytest.approx(0.6)
    assert rows["own"]["labels"]["lesion"] == {
        "difference": pytest.approx(0.6, rel=1 / 128),
        "dice": pytest.approx(2 / 3),
        "iou": 1 / 2,
        "dice_to_keras": pytest.approx(2 / 3),
    }


def test_scores_of_a_label_are_over_the_images_that_have_it():
    stats = parity_stats.ParityStats(("lesion", "hair"))
    empty, full = np.zeros((2, 2, 2), np.uint8), np.ones((2, 2, 2), np.uint8)
    half = empty.copy()
    half[0, :, 0] = 1  # the upper half has the first label
    stats.add_scores(full, half)  # all pixels have both
    stats.add_scores(empty, empty)
    stats.add_parity(np.zeros((1, 2, 2, 2), np.float32), half, empty)

    found = stats.summary()

    # The first label 2 * 2 / (4 + 2) and 1, the second 0 and 1.
    assert found["dice"] == pytest.approx((2 / 3 + 1 + 0 + 1) / 4)
    assert found["labels"]["lesion"]["dice"] == pytest.approx(2 / 3)
    assert found["labels"]["hair"]["dice"] is None
    # In the first label half against nothing, in the second equal.
    assert found["dice_to_keras"] == (0 + 1) / 2
    assert found["labels"]["lesion"]["dice_to_keras"] == 0
    assert found["labels"]["hair"]["dice_to_keras"] is None


def test_without_true_label_maps_dice_is_unknown(segmentor, images):
    same = comparison.OpenedArtifact(
        lambda _, resized: comparison.segment(segmentor, resized), False
    )

    reference, rows, _ = compare(
        segmentor, {"same": same}, [(image, None) for image in images]
    )

    assert (reference["dice"], rows["same"]["iou"]) == (None, None)
    assert rows["same"]["largest_difference"] == 0
    assert rows["same"]["dice_to_keras"] == 1


def test_artifact_with_another_output_size_is_an_error(segmentor, images):
    wrong = comparison.OpenedArtifact(lambda *_: half_map(16, 16, 1), False)

    words = r"wrong: gives float32 \(1, 16, 16, 1\) where Keras gives float32"
    with pytest.raises(comparison.ParityError, match=words):
        compare(segmentor, {"wrong": wrong}, [(images[0], None)])


def test_nan_weights_do_not_agree(images, served):
    broken = small_models.build_segmentor()
    logits = broken.get_layer("logits")
    logits.set_weights([w * np.nan for w in logits.get_weights()])

    assert np.isnan(comparison.compare_batches(broken, served, images))


def test_batches_of_another_segmentor_differ(segmentor, images, served):
    other = small_models.build_segmentor(seed=2)

    assert comparison.compare_batches(segmentor, served, images) <= 1e-5
    assert comparison.compare_batches(other, served, images) > 0.01


def _without_resizing_back(segmentor, images, **_):
    small = tf.image.resize(images, (32, 32), antialias=True)
    normalized = (small / 255 - small_models.MEAN) / small_models.STD
    return {"probability_map": segmentor(normalized, training=False)}


def test_one_image_of_the_segmentors_size_also_checks_other_sizes(
    segmentor, tmp_path, monkeypatch
):
    monkeypatch.setattr(graph, "segment_images", _without_resizing_back)
    path = saved_model.export_saved_model(
        segmentor, str(tmp_path), version=1, labels=labels.LESION
    )

    words = r"gives float32 \(1, 32, 32"
    with pytest.raises(comparison.ParityError, match=words):
        comparison.compare_batches(
            segmentor, path, small_models.draw_images((32, 32))
        )


def write_without_restoring(segmentor, path, endpoints):
    """Writes a SavedModel without what restores its weights in C++."""
    _write_archive(segmentor, path, endpoints)
    file = pathlib.Path(path, "saved_model.pb")
    model = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    model.meta_graphs[0].ClearField("saver_def")
    file.write_bytes(model.SerializeToString())


def test_saved_model_that_only_python_can_run_is_caught(
    segmentor, tmp_path, images, monkeypatch
):
    monkeypatch.setattr(saved_model, "write_archive", write_without_restoring)
    path = saved_model.export_saved_model(
        segmentor, str(tmp_path), version=1, labels=labels.LESION
    )

    reloaded = tf.saved_model.load(path)
    answer = reloaded.signatures["probabilities"](
        images=tf.constant(images[0][None])
    )
    assert answer["probability_map"].shape == (1, 50, 40, 1)
    words = "Could not find variable"
    with pytest.raises(tf.errors.FailedPreconditionError, match=words):
        comparison.compare_batches(segmentor, path, images)


def save_with_tensorflow(segmentor, path, endpoints):
    """Writes a SavedModel with tf.saved_model.save."""
    functions = {
        name: tf.function(function, input_signature=[spec])
        for name, (function, spec) in endpoints.items()
    }
    tf.saved_model.save(segmentor, path, signatures=functions)


@pytest.mark.skipif(
    keras.__version__ < "3", reason="Keras 2 saves its variables for C++ too"
)
def test_saved_model_by_tensorflow_itself_is_caught(
    segmentor, tmp_path, images, monkeypatch
):
    monkeypatch.setattr(saved_model, "write_archive", save_with_tensorflow)
    path = saved_model.export_saved_model(
        segmentor, str(tmp_path), version=1, labels=labels.LESION
    )

    with pytest.raises(tf.errors.OpError, match="variable"):
        comparison.compare_batches(segmentor, path, images)


def test_comparison_without_images_is_an_error(segmentor, served):
    with pytest.raises(ValueError, match="at least one image"):
        comparison.compare_batches(segmentor, served, [])
