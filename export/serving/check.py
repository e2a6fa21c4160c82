"""Compares the label maps that a SavedModel serves with Keras."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from segan_tf import console, labels
from segan_tf.decision import DEFAULT, Decision, score_factors
from segan_tf.imaging import preprocessing
from segan_tf.inference import signatures

from . import graph, session


def check_label_maps(
    path: str,
    images: Sequence[np.ndarray],
    probability_maps: Sequence[np.ndarray],
    *,
    labels: labels.Labels,
    decision: Decision = DEFAULT,
) -> float:
    """Compares the label maps of `serving_default` with Keras.

    All images are sent in one batch, as PNG files. A decision is right or
    wrong, so a pixel is measured by how far Keras' probabilities are from the
    decision that was served: with one label, 0.5001 where the server finds no
    label is a difference of 0.0001.

    Args:
      path: the folder of the version.
      images: at least one, each uint8 [height, width, 3] RGB, of any sizes.
      probability_maps: Keras' for each, float32 [height, width, labels] in
        [0, 1].
      labels: of the segmentor's channels.
      decision: the threshold of each.

    Returns:
      The largest absolute difference: of the pixels as described, of the mean
      probabilities, and of the labels' fractions.

    Raises:
      OpError: the model cannot run from its graph alone.
    """
    image_bytes = [tf.io.encode_png(image).numpy() for image in images]
    with console.capture_output(), session.Session(path) as opened:
        answer = opened.run(
            signatures.DEFAULT,
            {signatures.IMAGE_BYTES: np.array(image_bytes, dtype=object)},
        )
    fractions = answer[signatures.LABEL_FRACTIONS]
    means = answer[signatures.MEAN_PROBABILITY].reshape(fractions.shape)
    differences = []
    for i, probability_map in enumerate(probability_maps):
        label_map = read_label_map(
            answer[signatures.LABEL_MAP_BYTES][i], labels=labels
        )
        inside = np.sum(probability_map * label_map, axis=(0, 1))
        area = np.sum(label_map, axis=(0, 1))
        differences += [
            _distance(
                probability_map,
                label_map,
                multiclass=labels.multiclass,
                thresholds=decision.thresholds_of(labels.count),
            ),
            np.abs(fractions[i] - np.mean(label_map, axis=(0, 1))).max(),
            np.abs(means[i] - inside / np.maximum(area, 1)).max(),
        ]
    # NumPy's maximum keeps NaN, which Python's can lose.
    return float(np.max(differences))


def read_label_map(content: bytes, *, labels: labels.Labels) -> np.ndarray:
    """Reads a served label map.

    Args:
      content: of a gray PNG file, see `graph.gray_weights`.
      labels: of the model.

    Returns:
      float32 [height, width, labels] in {0, 1}.
    """
    gray = tf.io.decode_png(content).numpy()
    weights = np.array(graph.gray_weights(labels), np.uint8)
    holds = gray == weights if labels.multiclass else gray & weights > 0
    return holds.astype(np.float32)


def _distance(
    probability_map: np.ndarray,
    label_map: np.ndarray,
    *,
    multiclass: bool,
    thresholds: Sequence[float],
) -> float:
    """Measures how far probabilities must change for a decision to be right."""
    if multiclass:
        # The likeliest falls and the chosen one rises, by as much each.
        probabilities, chosen = (
            np.concatenate([1 - np.sum(x, -1, keepdims=True), x], axis=-1)
            for x in (probability_map, label_map)
        )
        factors = np.array([1, *score_factors(thresholds)], np.float32)
        scores = probabilities * factors
        likeliest = np.argmax(scores, -1)
        lead = np.max(scores, -1) - np.sum(scores * chosen, -1)
        distances = lead / (factors[likeliest] + np.sum(factors * chosen, -1))
    else:
        wanted = preprocessing.decide_label_map(
            probability_map, multiclass=multiclass, thresholds=thresholds
        )
        differs = np.not_equal(wanted, label_map)
        distances = np.abs(probability_map - np.array(thresholds)) * differs
    return float(np.max(distances))
