"""Metrics of shape for one image, beside the product's own."""

import math

import numpy as np
from scipy import ndimage

from segan_tf.metrics import per_image

_DISTANCES = ("hausdorff95_px", "assd_px")
_LOW_IOU = 0.65  # of the ISIC challenge's thresholded Jaccard


METRICS = ("dice", "low", "hd95", "assd", "components", "cldice", "false")


def measure(
    predicted: np.ndarray, true: np.ndarray, *, is_thin: bool
) -> dict[str, float]:
    """Computes the means over the labels that the image has.

    Args:
      predicted: uint8 [height, width, labels] in {0, 1}.
      true: the same.
      is_thin: whether the labels have a centerline.

    Returns:
      ``dice``; ``low``, the share of labels below IoU 0.65; ``hd95`` and
      ``assd`` in pixels, the image's diagonal for a label that is missed
      altogether; ``components``, the absolute difference of the numbers of
      components; ``cldice``; and ``false``, the share of the labels that the
      image lacks of which a pixel is predicted. NaN where there is no such
      label.
    """
    present = true.any(axis=(0, 1))
    rows = [
        _measure_label(predicted[..., label] > 0, true[..., label] > 0, is_thin)
        for label in np.flatnonzero(present)
    ]
    found = {name: _mean([row[name] for row in rows]) for name in METRICS[:-1]}
    false = predicted[..., ~present].any(axis=(0, 1))
    return {**found, "false": _mean(false.astype(float).tolist())}


def count_components(label_map: np.ndarray) -> int:
    """Counts 8-connected components of bool [height, width]."""
    return int(ndimage.label(label_map, np.ones((3, 3)))[1])


def cldice(predicted: np.ndarray, true: np.ndarray) -> float:
    """Computes the centerline Dice (arXiv:2003.07311, equations 1 and 2).

    It is the harmonic mean of the share of the predicted skeleton that lies in
    the true map and the share of the true skeleton that lies in the predicted
    one.

    Args:
      predicted: bool [height, width].
      true: bool [height, width], not empty.

    Returns:
      0 where nothing is predicted.
    """
    if not predicted.any():
        return 0.0
    of_predicted, of_true = skeleton(predicted), skeleton(true)
    precision = float(true[of_predicted].mean())
    sensitivity = float(predicted[of_true].mean())
    total = precision + sensitivity
    return 2 * precision * sensitivity / total if total else 0.0


def skeleton(label_map: np.ndarray) -> np.ndarray:
    """Computes the morphological skeleton (Lantuejoul's formula).

    It is the union over n of the n times eroded map without its opening.

    Args:
      label_map: bool [height, width].
    """
    kept = np.zeros_like(label_map)
    eroded = label_map
    while eroded.any():
        kept |= eroded & ~ndimage.binary_opening(eroded)
        eroded = ndimage.binary_erosion(eroded)
    return kept


def _measure_label(
    predicted: np.ndarray, true: np.ndarray, is_thin: bool
) -> dict[str, float]:
    found = per_image.image_metrics(predicted, true)
    error = count_components(predicted) - count_components(true)
    if not predicted.any():
        found = {**found, **dict.fromkeys(_DISTANCES, math.hypot(*true.shape))}
    return {
        "dice": found["dice"],
        "low": float(found["iou"] < _LOW_IOU),
        "hd95": found["hausdorff95_px"],
        "assd": found["assd_px"],
        "components": abs(error),
        "cldice": cldice(predicted, true) if is_thin else math.nan,
    }


def _mean(values: list[float]) -> float:
    defined = [value for value in values if not math.isnan(value)]
    return float(np.mean(defined)) if defined else math.nan
