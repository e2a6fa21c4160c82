"""Per-image metrics of binary label maps, by the rules of the ISIC challenge.

Most functions take one label of one image at the image's own size. In the
formulas X is the set of pixels of the predicted label map and Y that of the
true one; TP, FP, FN and TN are the numbers of pixels in both, in X only, in Y
only and in neither.
"""

import dataclasses
import math
from collections.abc import Iterable, Sequence

import numpy as np
from scipy import ndimage

# "Threshold Jaccard": the score of ISIC 2018 task 1 (and of the archive's
# scorer since) counts an image as failed, 0, below this Jaccard index.
JACCARD_THRESHOLD = 0.65

# The percentile of the robust Hausdorff distance, known as HD95.
HAUSDORFF_PERCENTILE = 95

# The keys of `image_metrics`, in the order in which reports show them.
NAMES = (
    "dice",
    "iou",
    "sensitivity",
    "specificity",
    "accuracy",
    "thresholded_jaccard",
    "hausdorff95_px",
    "assd_px",
)
DISTANCES = ("hausdorff95_px", "assd_px")
# The metrics that the ISIC challenge's rules define for every image.
OVERLAPS = tuple(name for name in NAMES if name not in DISTANCES)


@dataclasses.dataclass(frozen=True)
class Confusion:
    """Numbers of pixels by predicted and true label, of one or more images."""

    true_positives: int
    false_positives: int
    false_negatives: int
    true_negatives: int


def confusion(predicted: np.ndarray, true: np.ndarray) -> Confusion:
    """Counts an image's pixels by predicted and true label.

    Example: predicted [1 1 0 0] and true [1 0 1 0] give 1 pixel each.

    Args:
      predicted: bool or uint8 [h, w], 0 or 1.
      true: bool or uint8 [h, w], 0 or 1, of the same size.

    Raises:
      ValueError: the sizes differ, or a value is neither 0 nor 1.
    """
    predicted, true = _checked(predicted, true)
    both = int(np.count_nonzero(predicted & true))
    in_predicted = int(np.count_nonzero(predicted))
    in_true = int(np.count_nonzero(true))
    return Confusion(
        true_positives=both,
        false_positives=in_predicted - both,
        false_negatives=in_true - both,
        true_negatives=true.size - in_predicted - in_true + both,
    )


def dice(counts: Confusion) -> float:
    """Computes the Dice coefficient.

    Dice = 2 TP / (2 TP + FP + FN), and 1 when both label maps are empty.
    Example: TP 3, FP 1, FN 2 give 6 / (6 + 1 + 2) = 0.667.
    """
    wrong = counts.false_positives + counts.false_negatives
    twice = 2 * counts.true_positives
    return _ratio(twice, twice + wrong)


def iou(counts: Confusion) -> float:
    """Computes intersection over union, the Jaccard index J.

    IoU = TP / (TP + FP + FN), and 1 when both label maps are empty.
    Example: TP 3, FP 1, FN 2 give 3 / (3 + 1 + 2) = 0.5.
    """
    wrong = counts.false_positives + counts.false_negatives
    return _ratio(counts.true_positives, counts.true_positives + wrong)


def sensitivity(counts: Confusion) -> float:
    """Computes the share of the true foreground that is predicted.

    Sensitivity = TP / (TP + FN), and 1 when the true label map is empty.
    Example: TP 3, FN 2 give 3 / 5 = 0.6.
    """
    return _ratio(
        counts.true_positives, counts.true_positives + counts.false_negatives
    )


def specificity(counts: Confusion) -> float:
    """Computes the share of the true background that is not predicted.

    Specificity = TN / (TN + FP), and 1 when the true label map is full.
    Example: TN 9, FP 1 give 9 / 10 = 0.9.
    """
    return _ratio(
        counts.true_negatives, counts.true_negatives + counts.false_positives
    )


def accuracy(counts: Confusion) -> float:
    """Computes the share of all pixels that are right.

    Accuracy = (TP + TN) / (TP + FP + FN + TN), and 1 without any pixel.
    Example: TP 3, FP 1, FN 2, TN 9 give 12 / 15 = 0.8.
    """
    wrong = counts.false_positives + counts.false_negatives
    right = counts.true_positives + counts.true_negatives
    return _ratio(right, right + wrong)


def thresholded_jaccard(counts: Confusion) -> float:
    """Computes IoU, with 0 below the threshold.

    TJ = J if J >= 0.65, else 0 (the ISIC challenge's threshold Jaccard).
    Example: TP 13, FP 4, FN 3 give J = 13 / 20 = 0.65, which counts as 0.65;
    TP 12, FP 5, FN 3 give J = 12 / 20 = 0.6, which counts as 0.
    """
    jaccard = iou(counts)
    return jaccard if jaccard >= JACCARD_THRESHOLD else 0.0


def hausdorff95(predicted: np.ndarray, true: np.ndarray) -> float:
    """Computes the 95th percentile of the Hausdorff distance.

    HD95 = max(P95 {d(x, dY): x in dX}, P95 {d(y, dX): y in dY}), in pixels:
    dX and dY are the border pixels of the label maps (foreground with a
    neighbor in the background, or at the image's edge), d is the Euclidean
    distance to the nearest border pixel, and P95 the 95th percentile with
    linear interpolation. This is the greater of the two directed percentiles,
    as in MONAI and in DeepMind's surface-distance; MedPy's hd95 takes one
    percentile of both sets together instead, so its numbers differ.

    Example: X [1 0 0 0], Y [1 0 0 1]. From dX: {0}, P95 = 0. From dY: {0, 3},
    P95 = 0 + 0.95 * 3 = 2.85. HD95 = max(0, 2.85) = 2.85.

    Args:
      predicted: bool or uint8 [h, w], 0 or 1.
      true: bool or uint8 [h, w], 0 or 1, of the same size.

    Returns:
      0 when both are empty; NaN when one is, since no distance exists.

    Raises:
      ValueError: the sizes differ, or a value is neither 0 nor 1.
    """
    return _hausdorff95(*_surface_distances(*_checked(predicted, true)))


def assd(predicted: np.ndarray, true: np.ndarray) -> float:
    """Computes the average symmetric surface distance.

    ASSD = (sum {d(x, dY): x in dX} + sum {d(y, dX): y in dY})
           / (|dX| + |dY|), in pixels, in the symbols of `hausdorff95`: the
    mean distance from a border pixel of one label map to the other's border.

    Example: X [1 0 0 0], Y [1 0 0 1] give (0 + 0 + 3) / (1 + 2) = 1.
    Arguments, empty label maps and errors are those of `hausdorff95`.
    """
    return _assd(*_surface_distances(*_checked(predicted, true)))


def image_metrics(predicted: np.ndarray, true: np.ndarray) -> dict[str, float]:
    """Computes every metric of one label of an image.

    Example: predicted [1 1 0 0] against true [1 0 1 0] has TP = FP = FN =
    TN = 1, so dice 2 / 4, iou 1 / 3, the next three 1 / 2, and
    thresholded_jaccard 0.

    Args:
      predicted: bool or uint8 [h, w], 0 or 1.
      true: bool or uint8 [h, w], 0 or 1, of the same size.

    Returns:
      The metrics by the names in `NAMES`.

    Raises:
      ValueError: the sizes differ, or a value is neither 0 nor 1.
    """
    counts = confusion(predicted, true)
    distances = _surface_distances(*_checked(predicted, true))
    return {
        "dice": dice(counts),
        "iou": iou(counts),
        "sensitivity": sensitivity(counts),
        "specificity": specificity(counts),
        "accuracy": accuracy(counts),
        "thresholded_jaccard": thresholded_jaccard(counts),
        "hausdorff95_px": _hausdorff95(*distances),
        "assd_px": _assd(*distances),
    }


def label_metrics(
    predicted: np.ndarray, true: np.ndarray
) -> list[dict[str, float]]:
    """Computes every metric of each label of an image.

    A label that neither label map contains is right: Dice, IoU, sensitivity and
    specificity are 1. A label that is predicted but not true has Dice 0. Of
    several labels, one that is not in both label maps has no distance (NaN):
    zeros for labels that an image lacks would hide how far others are off.

    Args:
      predicted: bool or uint8 [h, w, labels], 0 or 1.
      true: bool or uint8 [h, w, labels], 0 or 1, of the same size.

    Returns:
      `image_metrics` of each label, in order.
    """
    of_labels = [
        image_metrics(predicted[..., label], true[..., label])
        for label in range(true.shape[-1])
    ]
    if len(of_labels) > 1:
        for label, row in enumerate(of_labels):
            if not (predicted[..., label].any() and true[..., label].any()):
                row.update(dict.fromkeys(DISTANCES, math.nan))
    return of_labels


def mean_over_labels(of_labels: Sequence[dict[str, float]]) -> dict[str, float]:
    """Averages each metric over labels of one image.

    Labels for which a metric is undefined (NaN) are left out; if it is
    undefined for all, or there is no label, so is the mean. Example: Dice 0.9
    and 0.6 give 0.75; distances 2 and NaN give 2.
    """
    means = {}
    for name in NAMES:
        values = np.array([row[name] for row in of_labels])
        values = values[~np.isnan(values)]
        means[name] = float(values.mean()) if values.size else math.nan
    return means


def confusion_matrix(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Counts an image's pixels by true and predicted label.

    Example: of the pixels 1 1 0 2 (true) predicted as 1 0 0 1, row 1 (true 1)
    counts 1 at 0 and 1 at 1, row 0 counts 1 at 0, row 2 counts 1 at 1.

    Args:
      predicted: uint8 [h, w, labels], 0 or 1, multiclass labels.
      true: uint8 [h, w, labels], 0 or 1, multiclass labels.

    Returns:
      int [labels + 1, labels + 1], rows true, columns predicted; 0 is the
      background.
    """
    count = true.shape[-1] + 1
    numbers = np.arange(1, count)
    places = (true @ numbers) * count + predicted @ numbers
    counts = np.bincount(places.ravel(), minlength=count**2)
    return counts.reshape(count, count)


def pooled(confusions: Iterable[Confusion]) -> dict[str, float]:
    """Computes Dice and IoU over the pixels of all images together.

    The formulas of `dice` and `iou` with TP, FP and FN summed over images,
    so large lesions weigh more: not comparable with means over images.
    Example: TP 3, FP 1, FN 0 and TP 1, FP 0, FN 3 give TP 4, FP 1, FN 3:
    dice 8 / 12 = 0.667 and iou 4 / 8 = 0.5.

    Raises:
      ValueError: there is no image.
    """
    rows = [dataclasses.astuple(counts) for counts in confusions]
    if not rows:
        raise ValueError("no images to pool")
    total = Confusion(*(sum(column) for column in zip(*rows, strict=True)))
    return {"dice": dice(total), "iou": iou(total)}


def _ratio(part: int, whole: int) -> float:
    # Python's division of integers is correctly rounded, so that 13 / 20 is
    # the very float 0.65 and meets the threshold.
    return part / whole if whole else 1.0


def _checked(
    predicted: np.ndarray, true: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    predicted, true = np.asarray(predicted), np.asarray(true)
    if predicted.shape != true.shape:
        raise ValueError(
            f"predicted label map {predicted.shape} and true label map "
            f"{true.shape} differ in size; compare at the image's own size"
        )
    return _binary(predicted), _binary(true)


def _binary(label_map: np.ndarray) -> np.ndarray:
    if label_map.ndim != 2:
        raise ValueError(
            f"a label map is [h, w], not {label_map.shape}; pass one label"
        )
    if label_map.dtype == np.bool_:
        return label_map
    if label_map.dtype != np.uint8 or label_map.max(initial=0) > 1:
        # 0/255 or probabilities would otherwise count as foreground at
        # every value but 0.
        raise ValueError(
            "a label map is bool or uint8 with values 0 and 1, not "
            f"{label_map.dtype} up to {label_map.max(initial=0)}"
        )
    return label_map.view(np.bool_)


def _surface_distances(
    predicted: np.ndarray, true: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the distances from dX to dY and from dY to dX."""
    if not predicted.any() or not true.any():
        # Infinitely far from nothing.
        return (
            np.full(np.count_nonzero(predicted), np.inf),
            np.full(np.count_nonzero(true), np.inf),
        )
    # Exact: every border pixel is in the bounding box of both label maps, and
    # outside it is background, as it is beyond the image's edge.
    union = predicted | true
    rows = np.flatnonzero(union.any(axis=1))
    columns = np.flatnonzero(union.any(axis=0))
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    border_of_predicted = _border(predicted[box])
    border_of_true = _border(true[box])
    return (
        ndimage.distance_transform_edt(~border_of_true)[border_of_predicted],
        ndimage.distance_transform_edt(~border_of_predicted)[border_of_true],
    )


def _border(label_map: np.ndarray) -> np.ndarray:
    return label_map & ~ndimage.binary_erosion(label_map)


def _hausdorff95(from_predicted: np.ndarray, from_true: np.ndarray) -> float:
    if not from_predicted.size or not from_true.size:
        return _without_border(from_predicted, from_true)
    return float(
        max(
            np.percentile(from_predicted, HAUSDORFF_PERCENTILE),
            np.percentile(from_true, HAUSDORFF_PERCENTILE),
        )
    )


def _assd(from_predicted: np.ndarray, from_true: np.ndarray) -> float:
    if not from_predicted.size or not from_true.size:
        return _without_border(from_predicted, from_true)
    return float(np.concatenate((from_predicted, from_true)).mean())


def _without_border(from_predicted: np.ndarray, from_true: np.ndarray) -> float:
    return np.nan if from_predicted.size or from_true.size else 0.0
