"""The resizing and deciding of preprocessing.py, in NumPy.

Predicting with a TFLite model needs no TensorFlow: importing it takes seconds
and half a gigabyte. Sums are in the order of TensorFlow's kernels, so that on
x86-64 the results are equal to the last bit, which the tests state.
"""

import functools
from collections.abc import Sequence

import numpy as np

from segan_tf.decision import THRESHOLD, score_factors

# Values that are resized together: few enough for the processor's caches.
_BLOCK = 1 << 17
# Spans up to which it is faster to add a row of each span at a time.
_SHORT_SPAN = 8


def resize_image(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resizes an image bilinearly, with antialiasing when it shrinks.

    Args:
      image: uint8 or float32 [height, width, channels].
      height: of the result, in pixels.
      width: of the result, in pixels.

    Returns:
      float32 [height, width, channels], in the range of the image, not rounded.
    """
    return _resize_columns(_resize_rows(image, height), width)


def _resize_rows(image: np.ndarray, count: int) -> np.ndarray:
    """Resizes the first axis of [rows, columns, channels].

    Each sum goes from the first row of its span to the last.
    """
    starts, weights = _triangles(len(image), count)
    lines = image.reshape(len(image), -1)
    out = np.empty((count, lines.shape[1]), np.float32)
    longest = weights.shape[1]
    if longest <= _SHORT_SPAN:
        np.multiply(_rows_at(lines, starts), weights[:, 0, None], out=out)
        term = np.empty_like(out)
        for step in range(1, longest):
            pixels = _rows_at(lines, starts + step)
            out += np.multiply(pixels, weights[:, step, None], out=term)
    else:
        terms = np.empty((longest, lines.shape[1]), np.float32)
        for row, (start, weight) in enumerate(
            zip(starts, weights, strict=True)
        ):
            pixels = lines[start : start + longest]
            used = terms[: len(pixels)]
            np.multiply(pixels, weight[: len(pixels), None], out=used)
            # Over the first axis NumPy adds one row after the other.
            np.add.reduce(used, axis=0, out=out[row])
    return out.reshape(count, *image.shape[1:])


def _rows_at(array: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Takes rows; a place beyond the last is the last."""
    return array.take(places, axis=0, mode="clip")


def _resize_columns(image: np.ndarray, count: int) -> np.ndarray:
    """Resizes the second axis of float32 [rows, columns, channels]."""
    rows, columns, channels = image.shape
    if _triangles(columns, count)[1].shape[1] > _SHORT_SPAN:
        turned = np.ascontiguousarray(image.swapaxes(0, 1))
        return np.ascontiguousarray(_resize_rows(turned, count).swapaxes(0, 1))
    lines = image.reshape(rows, -1)
    (values, weight), *others = _column_steps(columns, count, channels)
    # Without a check of each place, which "clip" leaves out, it is faster.
    out = lines.take(values, axis=1, mode="clip")
    out *= weight
    pixels = np.empty_like(out)
    for values, weight in others:
        lines.take(values, axis=1, mode="clip", out=pixels)
        pixels *= weight
        out += pixels
    return out.reshape(rows, count, channels)


@functools.lru_cache(maxsize=64)
def _column_steps(
    columns: int, count: int, channels: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Returns, for each step in a span, which values it takes and weights."""
    starts, weights = _triangles(columns, count)
    steps = []
    for step, weight in enumerate(weights.T):
        places = np.minimum(starts + step, columns - 1) * channels
        values = (places[:, None] + np.arange(channels)).ravel()
        steps.append((values, np.repeat(weight, channels)))
    return steps


@functools.lru_cache(maxsize=64)
def _triangles(size: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Computes the weights of a triangle filter.

    As ScaleAndTranslate of TensorFlow computes them, in float32.

    Args:
      size: of the axis, in pixels.
      count: of the resized axis, in pixels.

    Returns:
      The first pixel of each span, int [count], and the weights from there,
      float32 [count, longest span].
    """
    inverse = np.float32(1) / (np.float32(count) / np.float32(size))
    radius = max(inverse, np.float32(1))
    centers = (np.arange(count, dtype=np.float32) + np.float32(0.5)) * inverse
    half = np.float32(0.5)
    starts = np.ceil(centers - radius - half).astype(int).clip(min=0)
    ends = np.floor(centers + radius - half).astype(int).clip(max=size - 1) + 1
    pixels = starts[:, None] + np.arange((ends - starts).max())
    distances = np.abs(pixels.astype(np.float32) + half - centers[:, None]) * (
        np.float32(1) / radius
    )
    weights = np.maximum(np.float32(1) - distances, np.float32(0))
    weights[pixels >= ends[:, None]] = 0
    totals = np.zeros(count, np.float32)
    for column in weights.T:
        totals += column
    return starts, weights * (np.float32(1) / totals)[:, None]


def resize_probability_map(
    probability_map: np.ndarray, height: int, width: int
) -> np.ndarray:
    """Resizes a probability map bilinearly, so that it stays within [0, 1].

    Args:
      probability_map: float32 [height, width, labels] in [0, 1].
      height: of the result, in pixels.
      width: of the result, in pixels.

    Returns:
      float32 [height, width, labels] in [0, 1].
    """
    left, right, share = _neighbors(probability_map.shape[1], width)
    first = probability_map.take(left, axis=1, mode="clip")
    # Between neighbors in a row, then between rows, as ResizeBilinear.
    wide = probability_map.take(right, axis=1, mode="clip")
    wide -= first
    wide *= share[:, None]
    wide += first
    top, bottom, share = _neighbors(len(probability_map), height)
    share = share[:, None, None]
    out = np.empty((height, *wide.shape[1:]), np.float32)
    size = max(1, _BLOCK // wide[0].size)
    for start in range(0, height, size):
        rows = slice(start, start + size)
        upper = _rows_at(wide, top[rows])
        np.subtract(_rows_at(wide, bottom[rows]), upper, out=out[rows])
        out[rows] *= share[rows]
        out[rows] += upper
    return out


@functools.lru_cache(maxsize=64)
def _neighbors(
    size: int, count: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Finds the two pixels that each resized one lies between, and where."""
    scale = np.float32(size) / np.float32(count)
    half = np.float32(0.5)
    places = (np.arange(count, dtype=np.float32) + half) * scale - half
    below = np.floor(places)
    first = below.astype(int).clip(min=0)
    second = np.ceil(places).astype(int).clip(max=size - 1)
    return first, second, places - below


def decide_label_map(
    probability_map: np.ndarray,
    *,
    multiclass: bool,
    thresholds: Sequence[float] = (),
) -> np.ndarray:
    """Turns probabilities into labels, as `preprocessing.decide_label_map`.

    Args:
      probability_map: float32 [..., labels] in [0, 1].
      multiclass: at most one label at a pixel.
      thresholds: one for each label, in (0, 1); 0.5 each by default.

    Returns:
      uint8 of the same shape, in {0, 1}.

    Raises:
      ValueError: there is not one threshold for each label.
    """
    count = probability_map.shape[-1]
    limits = tuple(thresholds) or (THRESHOLD,) * count
    if len(limits) != count:
        raise ValueError(f"{len(limits)} thresholds for {count} labels")
    if not multiclass or count == 1:
        above = probability_map > np.array(limits, np.float32)
        return above.view(np.uint8)
    scores = np.empty((*probability_map.shape[:-1], count + 1), np.float32)
    np.subtract(1, probability_map.sum(axis=-1), out=scores[..., 0])
    factors = np.array(score_factors(limits), np.float32)
    np.multiply(probability_map, factors, out=scores[..., 1:])
    numbers = np.arange(1, count + 1)
    return (scores.argmax(axis=-1)[..., None] == numbers).view(np.uint8)
