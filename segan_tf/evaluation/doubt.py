"""Fits the expected Dice of a model, and measures it on images left out."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from segan_tf import console, expected_dice, failures
from segan_tf import labels as labels_lib
from segan_tf.datasets import label_maps, pairs
from segan_tf.inference import agreement
from segan_tf.metrics import batch

if TYPE_CHECKING:
    from segan_tf.inference.predictor import Predictor


def fit_curves(
    predictor: "Predictor",
    chosen: Sequence[pairs.Pair],
    *,
    labels: labels_lib.Labels,
) -> tuple[dict[str, expected_dice.Curve], dict[str, dict[str, float]]]:
    """Fits a curve for each kind of agreement.

    Args:
      predictor: with `tta` if the model can flip.
      chosen: pairs that the model was not trained on. Those that cannot be
        read are left out.
      labels: of their label maps.

    Returns:
      The curves; and for each how well it predicts the Dice of each pair if it
      is fitted to all others, see `expected_dice.measure`.
    """
    rows: dict[str, list[tuple[float, float]]] = {}
    for pair in console.bar(chosen, desc="expected Dice", unit="image"):
        try:
            image, true = label_maps.read_pair(pair, labels)
            views = predictor.views(image)
        except Exception as error:
            if not failures.concerns_one_file(error):
                raise
            continue
        found = predictor.agreements(image, views)
        for kind, value in found.items():
            used = views if kind == expected_dice.VIEWS else views[:1]
            dice = _dice(predictor.decide(np.mean(used, axis=0)), true)
            rows.setdefault(kind, []).append((value, dice))
    curves, measured = {}, {}
    for kind, of_kind in rows.items():
        agreements, dice = np.array(of_kind).T
        curves[kind] = expected_dice.fit(agreements, dice)
        measured[kind] = expected_dice.measure(
            _left_out(agreements, dice), dice
        )
    return curves, measured


def _dice(label_map: np.ndarray, true: np.ndarray) -> float:
    """Computes the mean Dice over labels; one that neither has counts as 1."""
    small = (
        agreement.thin_out(one).astype(np.float32)[None]
        for one in (label_map, true)
    )
    return float(np.mean(batch.hard_dice(*small)))


def _left_out(agreements: np.ndarray, dice: np.ndarray) -> np.ndarray:
    """Returns the expected Dice of each image by a curve of all others."""
    every = np.arange(len(dice))
    return np.array(
        [
            expected_dice.fit(agreements[every != i], dice[every != i])(
                agreements[i]
            )
            for i in every
        ]
    )
