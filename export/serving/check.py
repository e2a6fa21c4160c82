"""Proves that the served label maps are those that Keras decides on."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from segan_tf import console, labels
from segan_tf.imaging import preprocessing

from . import c_loader, graph, saved_model


def check_label_maps(
    path: str,
    images: Sequence[np.ndarray],
    probability_maps: Sequence[np.ndarray],
    *,
    labels: labels.Labels,
) -> float:
    """Compares `serving_default`, run by the C++ loader, with Keras.

    All images go in one batch, as PNG files. A label map cannot differ a
    little, so a pixel counts by how far Keras' probabilities are from the
    decision that was served: with one label, 0.5001 where the server says no
    label counts 0.0001.

    Args:
      path: the folder of the version.
      images: at least one, each uint8 [height, width, 3] RGB, of any sizes.
      probability_maps: what Keras finds in each, float32 [height, width,
        labels] in [0, 1].
      labels: of the segmentor's channels.

    Returns:
      The largest absolute difference: of the pixels' probabilities, as told,
      of the mean probabilities, and of the label maps' shares.

    Raises:
      CSessionError: the loader cannot load or run it.
    """
    pictures = [tf.io.encode_png(image).numpy() for image in images]
    with console.capture_output(), c_loader.CSession(path) as session:
        answer = session.run(
            saved_model.SIGNATURE,
            {graph.IMAGE_BYTES: np.array(pictures, dtype=object)},
        )
    fractions = answer[graph.LABEL_FRACTIONS]
    means = answer[graph.MEAN_PROBABILITY].reshape(fractions.shape)
    differences = []
    for i, probability_map in enumerate(probability_maps):
        label_map = read_label_map(
            answer[graph.LABEL_MAP_BYTES][i], labels=labels
        )
        inside = np.sum(probability_map * label_map, axis=(0, 1))
        area = np.sum(label_map, axis=(0, 1))
        differences += [
            _distance(probability_map, label_map, labels.multiclass),
            np.abs(fractions[i] - np.mean(label_map, axis=(0, 1))).max(),
            np.abs(means[i] - inside / np.maximum(area, 1)).max(),
        ]
    # NumPy's maximum keeps NaN, which Python's can lose.
    return float(np.max(differences))


def read_label_map(content: bytes, *, labels: labels.Labels) -> np.ndarray:
    """Reads a served label map.

    Args:
      content: of a gray PNG file, see `graph.gray_weights`.
      labels: that it shows.

    Returns:
      float32 [height, width, labels] in {0, 1}.
    """
    gray = tf.io.decode_png(content).numpy()
    weights = np.uint8(graph.gray_weights(labels))
    if labels.multiclass:
        return np.float32(gray == weights)
    return np.float32(gray & weights > 0)


def _distance(
    probability_map: np.ndarray, label_map: np.ndarray, multiclass: bool
) -> float:
    """Measures how far probabilities have to move for a decision to hold."""
    if multiclass:
        # The winner down and the chosen one up, so half the way each.
        scores, chosen = (
            np.concatenate([1 - np.sum(x, -1, keepdims=True), x], axis=-1)
            for x in (probability_map, label_map)
        )
        distances = (np.max(scores, -1) - np.sum(scores * chosen, -1)) / 2
    else:
        wanted = preprocessing.decide_label_map(
            probability_map, multiclass=multiclass
        )
        differs = np.not_equal(wanted, label_map)
        distances = np.abs(probability_map - preprocessing.THRESHOLD) * differs
    return float(np.max(distances))
