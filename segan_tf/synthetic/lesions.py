"""Drawn dermoscopy-like images with exact label maps: the embedded data.

With them the program trains, evaluates and exports without a data set. Every
drawing follows from its seed and index alone.
"""

import dataclasses
import io
import json
import os
import re
from collections.abc import Callable, Iterable

import numpy as np
from PIL import Image

from segan_tf import config
from segan_tf import labels as labels_lib
from segan_tf.imaging import images
from segan_tf.synthetic import artifacts, canvas, skin

LABEL_NAMES = ("lesion", "hair", "ruler mark")

# Raise it when any drawing changes: folders drawn before are then redrawn.
GENERATOR_VERSION = 1

_JPEG_QUALITY = 92
_RECORD = "drawn.json"
# With the beginnings of files that a killed drawing leaves behind.
_OWN_FILES = re.compile(
    r"drawn_\d{4,}(_[a-z_]+)?\.(jpg|png)(\.\d+\.\d+\.partial)?"
)


@dataclasses.dataclass(frozen=True)
class Drawing:
    """One drawn image.

    Attributes:
      image: uint8 [height, width, 3] RGB.
      label_maps: uint8 [height, width, 3] in {0, 1}, one layer a name in
        LABEL_NAMES. A hair or a ruler over the lesion leaves it lesion;
        what the black frame hides has no label.
    """

    image: np.ndarray
    label_maps: np.ndarray


def draw_lesion(
    index: int, seed: int, *, size: tuple[int, int] | None = None
) -> Drawing:
    """Draws image number `index` of the series `seed`.

    Args:
      index: number of the image, from 0.
      seed: number of the series, from 0.
      size: (height, width) in pixels; None gives each image its own.

    Raises:
      ValueError: a side of `size` is below images.MIN_SIDE.
    """
    rng = np.random.default_rng([seed, index])
    own_size = int(rng.integers(160, 281)), int(rng.integers(200, 321))
    height, width = size or own_size
    if min(height, width) < images.MIN_SIDE:
        raise ValueError(
            f"size {size} is too small to draw; use {images.MIN_SIDE} or more"
            " pixels a side"
        )
    frame = canvas.Frame(height, width)
    outline = skin.draw_outline(rng, frame)
    image = skin.paint(rng, frame, outline)
    image = artifacts.add_sticker(rng, frame, image, outline.inside)
    image, hair = artifacts.add_hairs(rng, frame, image)
    image, ruler = artifacts.add_ruler(rng, frame, image)
    image = artifacts.add_bubbles(rng, frame, image)
    image, visible = artifacts.add_light(rng, frame, image)
    label_maps = np.stack([outline.inside, hair, ruler], -1)
    label_maps &= visible[..., None]
    return Drawing(artifacts.expose(rng, image), label_maps.astype(np.uint8))


def draw_folder(
    directory: str,
    *,
    count: int,
    seed: int,
    labels: labels_lib.Labels = labels_lib.LESION,
    progress: Callable[..., Iterable] = lambda items, **_: items,
) -> None:
    """Draws `count` pairs into `directory`/images and `directory`/label_maps.

    Label maps hold 0 and 255 for one label and the labels' numbers for
    several multiclass ones, a hair or a ruler mark hiding the lesion below it;
    several multilabel ones have a file each, `<id>_<name>.png`.

    A folder that holds exactly this drawing already is left as it is; one that
    was interrupted, or drawn with other numbers, is drawn again. Files that
    are not drawn_<number>.jpg or .png are never touched.

    Args:
      directory: made if missing.
      count: number of pairs, at least 1.
      seed: number of the series, from 0.
      labels: with names of LABEL_NAMES.
      progress: wraps an iterable to show how far it is, as tqdm does.

    Raises:
      UserError: count is below 1, a label is not drawn, or the folder
        cannot be written.
    """
    if count < 1:
        raise config.UserError(
            f"--num_drawn ({count}) must be at least 1; try 400"
        )
    for label in labels.names:
        if label not in LABEL_NAMES:
            raise config.UserError(
                f"--label_names ({label}): drawn lesions have the labels "
                f"{', '.join(LABEL_NAMES)}."
            )
    names = [f"drawn_{index:04d}" for index in range(count)]
    endings = [""]
    if labels.count > 1 and not labels.multiclass:
        endings = [f"_{slug}" for slug in labels.slugs]
    expected = {
        os.path.join(directory, "images"): {f"{name}.jpg" for name in names},
        os.path.join(directory, "label_maps"): {
            f"{name}{ending}.png" for name in names for ending in endings
        },
    }
    record = {"count": count, "seed": seed, "version": GENERATOR_VERSION}
    if labels != labels_lib.LESION:
        record["labels"] = [labels.label_kind, *labels.names]
    record_path = os.path.join(directory, _RECORD)
    try:
        if _is_drawn(expected, record_path, record):
            return
        _clear(expected, record_path)
    except OSError as error:
        raise config.UserError(
            f"{directory} cannot take the drawn lesions ({error.strerror});"
            " check the folder and its permissions, or choose another"
        ) from error
    for index in progress(range(count), desc="drawing", unit="pair"):
        _write_pair(directory, names[index], draw_lesion(index, seed), labels)
    images.write_bytes(record_path, json.dumps(record).encode())


def _is_drawn(expected, record_path, record) -> bool:
    """Returns whether the folders hold exactly the drawings on record."""
    if any(_own_files(folder) != files for folder, files in expected.items()):
        return False
    try:
        with open(record_path, encoding="utf-8") as file:
            return json.load(file) == record
    except (FileNotFoundError, ValueError):
        return False


def _clear(expected, record_path) -> None:
    """Makes the folders and removes what does not belong in them.

    The record goes first and comes back last: without it, a drawing that was
    killed half-way is known to be unfinished.
    """
    if os.path.exists(record_path):
        os.remove(record_path)
    for folder, files in expected.items():
        os.makedirs(folder, exist_ok=True)
        for stale in _own_files(folder) - files:
            os.remove(os.path.join(folder, stale))


def _own_files(folder: str) -> set[str]:
    if not os.path.isdir(folder):
        return set()
    return {name for name in os.listdir(folder) if _OWN_FILES.fullmatch(name)}


def _write_pair(
    directory: str, name: str, drawing: Drawing, labels: labels_lib.Labels
) -> None:
    stream = io.BytesIO()
    picture = Image.fromarray(drawing.image)
    picture.save(stream, format="JPEG", quality=_JPEG_QUALITY)
    images.write_bytes(
        os.path.join(directory, "images", name + ".jpg"), stream.getvalue()
    )
    stem = os.path.join(directory, "label_maps", name)
    maps = [
        drawing.label_maps[..., LABEL_NAMES.index(label)]
        for label in labels.names
    ]
    if labels.count == 1:
        images.write_png(f"{stem}.png", maps[0] * 255)
    elif labels.multiclass:
        numbers = np.zeros_like(maps[0])
        for number, label_map in enumerate(maps, start=1):
            numbers[label_map > 0] = number
        images.write_png(f"{stem}.png", numbers)
    else:
        for slug, label_map in zip(labels.slugs, maps, strict=True):
            images.write_png(f"{stem}_{slug}.png", label_map * 255)
