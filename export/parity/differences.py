"""Percentiles of absolute differences, over any number of pixels."""

import numpy as np

# The upper half of a float32's bits holds its exponent and 7 bits of its
# mantissa; as integers they have the order of the numbers.
_HALF = 16
_BINS = 1 << _HALF
_PRECISION = 2.0**-7


class Differences:
    """Counts absolute differences by size, label by label.

    A percentile, unlike the largest one, does not grow with the number of
    images. Memory does not grow either; a percentile is therefore rounded up
    by at most 0.8 %.
    """

    def __init__(self, num_labels: int) -> None:
        self._counts = np.zeros((num_labels, _BINS), np.int64)

    def add(self, differences: np.ndarray) -> None:
        """Adds float32 [..., labels], 0 or more."""
        bins = np.ascontiguousarray(differences).view(np.uint32) >> _HALF
        for label, counts in enumerate(self._counts):
            counts += np.bincount(bins[..., label].ravel(), minlength=_BINS)

    def percentile(self, share: float) -> list[float]:
        """Returns what that share of the differences is at most, by label.

        Args:
          share: in percent.

        Returns:
          A number for each label; not finite if too many differences are not.
        """
        totals = np.cumsum(self._counts, axis=1)
        wanted = np.rint(totals[:, -1:] * (share / 100))
        found = np.argmax(totals >= wanted, axis=1).astype(np.uint32)
        above = (found << _HALF).view(np.float32) * np.float32(1 + _PRECISION)
        return [float(number) for number in above]
