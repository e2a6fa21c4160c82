"""Measures how much several outlines of one image agree.

A server's graph does the same, see export/serving/expectation.py, and so does
the web page.
"""

import itertools
import math
from collections.abc import Sequence

import numpy as np

from segan_tf.imaging import numpy_preprocessing

MAX_PIXELS = 1 << 16  # of an image that are compared

# Factor of the odds of the thresholds around the decision's own: of 0.5 they
# are 0.1 and 0.9. Of the factors tried (2.3, 4, 9) it ranks images best.
ODDS = 9.0


def thin_out(array: np.ndarray) -> np.ndarray:
    """Takes every n-th row and column, so that MAX_PIXELS are left at most.

    Args:
      array: [height, width, channels].
    """
    height, width, _ = array.shape
    step = math.ceil(math.sqrt(height * width / MAX_PIXELS))
    return np.ascontiguousarray(array[step // 2 :: step, step // 2 :: step])


def outlines(
    probability_map: np.ndarray,
    *,
    multiclass: bool,
    thresholds: Sequence[float],
) -> list[np.ndarray]:
    """Decides at the thresholds, and at lower and higher ones.

    Args:
      probability_map: float32 [height, width, labels] in [0, 1].
      multiclass: at most one label at a pixel.
      thresholds: one for each label.

    Returns:
      Three label maps, bool [height, width, labels], thinned out.
    """
    small = thin_out(probability_map)
    return [
        numpy_preprocessing.decide_label_map(
            small,
            multiclass=multiclass,
            thresholds=[t * odds / (t * odds + 1 - t) for t in thresholds],
        ).view(bool)
        for odds in (1 / ODDS, 1.0, ODDS)
    ]


def mean_pairwise_dice(label_maps: Sequence[np.ndarray]) -> float:
    """Computes the mean Dice of all pairs of label maps.

    Of several labels it is the mean over those that any map has. Where no map
    has a label, there is nothing to agree on, and the result is 0. Example:
    maps of 1, 2 and 4 pixels, each inside the next, give the mean of 2 / 3,
    2 / 5 and 4 / 6.

    Args:
      label_maps: at least two, bool [height, width, labels].
    """
    by_label = [np.ascontiguousarray(np.moveaxis(m, -1, 0)) for m in label_maps]
    areas = np.array([[np.count_nonzero(one) for one in m] for m in by_label])
    used = np.flatnonzero(areas.any(axis=0))
    if not used.size:
        return 0.0
    values = []
    for i, j in itertools.combinations(range(len(by_label)), 2):
        for label in used:
            each = areas[i, label] + areas[j, label]
            both = np.count_nonzero(by_label[i][label] & by_label[j][label])
            values.append(2 * both / each if each else 1.0)
    return float(np.mean(values))
