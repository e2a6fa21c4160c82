"""Dark discs on noise: pairs to train on that cost nothing to draw."""

import os

import numpy as np
from PIL import Image

from segan_tf.input import cached_dataset


def draw_blob(seed: int, *, size: int) -> np.ndarray:
    """Draws a disc: uint8 [size, size, 4], RGB and a label in {0, 1}."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:size, :size]
    row, column = size * rng.uniform(0.3, 0.7, 2)
    radius = size * rng.uniform(0.15, 0.35)
    disc = (rows - row) ** 2 + (columns - column) ** 2 < radius**2
    noise = rng.integers(-20, 20, (size, size, 3))
    image = np.where(disc[..., None], 90, 200) + noise
    return np.dstack([image, disc]).astype(np.uint8)


def make_records(count: int, *, size: int = 64) -> cached_dataset.CachedDataset:
    """Makes records of so many blobs, at twice an image_size of 32."""
    blobs = [draw_blob(seed, size=size) for seed in range(count)]
    return cached_dataset.CachedDataset(
        count, (size, size, 4), blobs.__getitem__, {}
    )


def write_pairs(folder: str, count: int, *, size: int = 64) -> None:
    """Writes blobs as a folder of images/ and label_maps/."""
    for name in ("images", "label_maps"):
        os.makedirs(os.path.join(folder, name))
    for seed in range(count):
        blob = draw_blob(seed, size=size)
        for name, plane in (
            ("images", blob[..., :3]),
            ("label_maps", 255 * blob[..., 3]),
        ):
            path = os.path.join(folder, name, f"blob_{seed:03}.png")
            Image.fromarray(plane).save(path)
