"""Tests of the metrics of batches of label maps."""

import numpy as np
import pytest
import tensorflow as tf

from segan_tf.metrics import batch


def label_map(*values):
    """Makes a label map of one row and one label: [1, 1, n, 1]."""
    return tf.reshape(tf.constant(values, tf.float32), (1, 1, -1, 1))


@pytest.mark.parametrize(
    ("predicted", "true", "expected"),
    [
        ([1, 1, 0, 0], [1, 0, 1, 0], 1 / (2 + 2 - 1)),
        ([0, 0, 0, 0], [0, 0, 0, 0], 1.0),
        ([0, 0, 0, 0], [1, 0, 0, 0], 0.0),
    ],
)
def test_hard_iou_of_worked_examples(predicted, true, expected):
    iou = batch.hard_iou(label_map(*predicted), label_map(*true))
    np.testing.assert_allclose(iou, [[expected]])


def test_label_maps_are_cast_to_float32():
    y_true, y_pred = batch.as_label_maps(
        np.uint8(label_map(1, 0)), np.float64(label_map(0.5, 0))
    )
    assert y_true.dtype == y_pred.dtype == tf.float32


@pytest.mark.parametrize(
    ("true_shape", "predicted_shape"),
    [
        ((2, 4, 4, 1), (2, 4, 4, 3)),
        ((2, 4, 4), (2, 4, 4, 1)),
        ((2, 4, 4), (2, 4, 4)),
    ],
)
def test_shapes_that_would_broadcast_are_an_error(true_shape, predicted_shape):
    with pytest.raises(ValueError, match=r"same shape \(batch, height, width"):
        batch.as_label_maps(np.zeros(true_shape), np.zeros(predicted_shape))
