"""Finds images that show the same photograph twice.

Two steps, as dermoscopy images look alike: a perceptual hash proposes, the
fine detail decides. The hash is a 16x16 gray thumbnail, compared by normalized
correlation. It is kept as numbers, not rounded to bits: on ISIC 2017 a 64-bit
difference hash or DCT hash either misses copies with other colors or
proposes tens of thousands of pairs.

On the 2150 images of ISIC 2017 (training and validation) the hash proposes
about 640 pairs and the detail keeps 16, all of them the same photograph by
eye, most with other colors or a shifted frame; the best of the others reaches
a similarity of 0.46. Turned, mirrored and strongly cropped copies are not
found.
"""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image, ImageFilter

# Pixels a side.
THUMBNAIL_SIDE = 128
HASH_SIDE = 16
# Correlation of two hashes; the copies among ISIC 2017 reach 0.947 or more.
LEAST_HASH = 0.92
# Correlation of the fine detail; see above.
LEAST_DETAIL = 0.5
# Standard deviation, in thumbnail pixels, of the blur that the fine detail is
# left over from: hairs, pores and pigment network, but no vignette.
BLUR = 2
# Thumbnail pixels that a copy's frame may be shifted by.
LARGEST_SHIFT = 8
# Hashes compared at once: 1024 rows by 20,000 images take 80 MB.
ROWS_AT_ONCE = 1024
_NOT_ZERO = 1e-6


@dataclasses.dataclass(frozen=True)
class NearDuplicate:
    """Two images, by their place in the list, and how alike they are.

    Attributes:
      first: the earlier image's place.
      second: the later image's place.
      similarity: correlation of their fine detail, 0.5 to 1.
    """

    first: int
    second: int
    similarity: float


def make_thumbnail(image: np.ndarray) -> np.ndarray:
    """Shrinks uint8 [height, width, 3] to gray uint8 [128, 128]."""
    gray = Image.fromarray(image).convert("L")
    side = (THUMBNAIL_SIDE, THUMBNAIL_SIDE)
    return np.array(gray.resize(side, Image.Resampling.BOX))


def find_near_duplicates(
    thumbnails: Sequence[np.ndarray],
) -> list[NearDuplicate]:
    """Finds the pairs of thumbnails that show the same photograph."""
    return [
        NearDuplicate(first, second, similarity)
        for first, second in _alike(thumbnails)
        if (similarity := _compare(thumbnails[first], thumbnails[second]))
        >= LEAST_DETAIL
    ]


def _alike(thumbnails: Sequence[np.ndarray]) -> Iterator[tuple[int, int]]:
    """Proposes pairs by their hashes, the earlier image first."""
    if not len(thumbnails):
        return
    hashes = np.stack([_hash(thumbnail) for thumbnail in thumbnails])
    for start in range(0, len(hashes), ROWS_AT_ONCE):
        rows = hashes[start : start + ROWS_AT_ONCE]
        alike = np.argwhere(rows @ hashes[start:].T >= LEAST_HASH) + start
        for first, second in alike.tolist():
            if first < second:
                yield first, second


def _hash(thumbnail: np.ndarray) -> np.ndarray:
    """Returns the 16x16 block means, as a vector of mean 0 and length 1."""
    block = THUMBNAIL_SIDE // HASH_SIDE
    blocks = thumbnail.reshape(HASH_SIDE, block, HASH_SIDE, block)
    return _normalize(blocks.mean(axis=(1, 3))).ravel()


def _compare(first: np.ndarray, second: np.ndarray) -> float:
    """Correlates the fine detail of two thumbnails over all small shifts."""
    spectrum = np.fft.rfft2(_detail(first))
    spectrum *= np.conj(np.fft.rfft2(_detail(second)))
    correlation = np.fft.irfft2(spectrum, s=first.shape)
    reach = 2 * LARGEST_SHIFT + 1
    small_shifts = np.roll(correlation, LARGEST_SHIFT, axis=(0, 1))
    return float(small_shifts[:reach, :reach].max())


def _detail(thumbnail: np.ndarray) -> np.ndarray:
    """Returns what a blur takes away, faded out towards the edges."""
    image = Image.fromarray(thumbnail)
    blurred = image.filter(ImageFilter.GaussianBlur(BLUR))
    detail = thumbnail.astype(np.float32) - np.asarray(blurred, np.float32)
    # The window keeps a shifted frame's new edge from counting.
    fade = np.hanning(THUMBNAIL_SIDE).astype(np.float32)
    return _normalize((detail - detail.mean()) * np.outer(fade, fade))


def _normalize(values: np.ndarray) -> np.ndarray:
    """Brings values to mean 0 and length 1; a flat image becomes 0."""
    values = (values - values.mean()).astype(np.float32)
    return values / max(float(np.linalg.norm(values)), _NOT_ZERO)
