"""Finds images that show the same photograph.

Dermoscopy images look alike, so there are two steps: a perceptual hash proposes
pairs and their fine detail decides. The hash is a 16x16 gray thumbnail,
compared by normalized correlation. It is not rounded to bits: on ISIC 2017 a
64-bit difference hash or DCT hash either misses copies with other colors or
proposes tens of thousands of pairs.

On the 2150 images of ISIC 2017 (training and validation) the hash proposes
about 640 pairs and the detail keeps 16, all of them the same photograph by
eye, most with other colors or a shifted frame; the best of the others reaches
a similarity of 0.46. Rotated, mirrored and strongly cropped copies are not
found.
"""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image, ImageFilter

# Pixels a side.
THUMBNAIL_SIDE = 128
HASH_SIDE = 16
# Correlation of two hashes; the copies in ISIC 2017 reach 0.947 or more.
MIN_HASH_SIMILARITY = 0.92
# Correlation of the fine detail; see above.
MIN_DETAIL_SIMILARITY = 0.5
# Standard deviation of a blur, in thumbnail pixels. The fine detail is what it
# removes: hairs, pores and pigment network, but no vignette.
BLUR = 2
# How far a copy's frame may be shifted, in thumbnail pixels.
MAX_SHIFT = 8
# Hashes compared at a time: 1024 rows by 20,000 images take 80 MB.
ROWS_PER_BLOCK = 1024
_EPSILON = 1e-6


@dataclasses.dataclass(frozen=True)
class NearDuplicate:
    """Two images of a list that show the same photograph.

    Attributes:
      first: index of the earlier image.
      second: index of the later image.
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
        for first, second in propose(thumbnails)
        if (similarity := _compare(thumbnails[first], thumbnails[second]))
        >= MIN_DETAIL_SIMILARITY
    ]


def propose(thumbnails: Sequence[np.ndarray]) -> Iterator[tuple[int, int]]:
    """Proposes pairs of thumbnails by their hashes, the earlier one first."""
    if not len(thumbnails):
        return
    hashes = np.stack([_hash(thumbnail) for thumbnail in thumbnails])
    for start in range(0, len(hashes), ROWS_PER_BLOCK):
        rows = hashes[start : start + ROWS_PER_BLOCK]
        similar = rows @ hashes[start:].T >= MIN_HASH_SIMILARITY
        for first, second in (np.argwhere(similar) + start).tolist():
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
    reach = 2 * MAX_SHIFT + 1
    small_shifts = np.roll(correlation, MAX_SHIFT, axis=(0, 1))
    return float(small_shifts[:reach, :reach].max())


def _detail(thumbnail: np.ndarray) -> np.ndarray:
    """Returns what a blur removes, faded out toward the edges."""
    image = Image.fromarray(thumbnail)
    blurred = image.filter(ImageFilter.GaussianBlur(BLUR))
    detail = thumbnail.astype(np.float32) - np.asarray(blurred, np.float32)
    # The window hides the new edges of a shifted frame.
    fade = np.hanning(THUMBNAIL_SIDE).astype(np.float32)
    return _normalize((detail - detail.mean()) * np.outer(fade, fade))


def _normalize(values: np.ndarray) -> np.ndarray:
    """Scales values to mean 0 and length 1; a flat image becomes 0."""
    values = (values - values.mean()).astype(np.float32)
    return values / max(float(np.linalg.norm(values)), _EPSILON)
