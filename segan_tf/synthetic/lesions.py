"""Synthetic dermoscopy images with exact label maps.

With them the program trains, evaluates and exports without a data set. Every
drawing depends on its seed and index alone.
"""

import dataclasses
import io
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from segan_tf import config, files
from segan_tf import labels as labels_lib
from segan_tf.imaging import images, size_limits
from segan_tf.synthetic import artifacts, canvas, skin

LABEL_NAMES = ("lesion", "hair", "ruler mark")

# Raise it when any drawing changes: folders of older drawings are then redrawn.
GENERATOR_VERSION = 1

_JPEG_QUALITY = 92
_RECORD = "drawn.json"
# Also the partial files that an interrupted drawing left.
_OWN_FILES = re.compile(
    r"drawn_\d{4,}(_[a-z_]+)?\.(jpg|png)(\.\d+\.\d+\.partial)?"
)


@dataclasses.dataclass(frozen=True)
class Drawing:
    """A drawn image.

    Attributes:
      image: uint8 [height, width, 3] RGB.
      label_maps: uint8 [height, width, 3] in {0, 1}, a channel for each of
        LABEL_NAMES. Pixels of the lesion under a hair or a ruler stay lesion;
        pixels behind the black frame have no label.
    """

    image: np.ndarray
    label_maps: np.ndarray


def draw_lesion(
    index: int, seed: int, *, size: tuple[int, int] | None = None
) -> Drawing:
    """Draws an image of a series.

    Args:
      index: number of the image, from 0.
      seed: number of the series, from 0.
      size: (height, width) in pixels; None gives each image a size of its own.

    Raises:
      ValueError: a side of `size` is below size_limits.MIN_SIDE.
    """
    rng = np.random.default_rng([seed, index])
    own_size = int(rng.integers(160, 281)), int(rng.integers(200, 321))
    height, width = size or own_size
    if min(height, width) < size_limits.MIN_SIDE:
        raise ValueError(
            f"size {size} is too small to draw; use {size_limits.MIN_SIDE} or "
            "more pixels a side"
        )
    frame = canvas.Frame(height, width)
    outline = skin.draw_outline(rng, frame)
    image = skin.paint(rng, frame, outline)
    image = artifacts.add_sticker(rng, frame, image, lesion=outline.inside)
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
    progress: Callable[..., Iterable[int]] = lambda items, **_: items,
) -> None:
    """Draws pairs into `directory`/images and `directory`/label_maps.

    Label maps hold 0 and 255 for one label. For several multiclass labels they
    hold the labels' numbers, where a hair or a ruler mark hides the lesion
    below it. Several multilabel ones have a file each, `<id>_<name>.png`.

    A folder that holds exactly this drawing is left unchanged; one that was
    interrupted, or drawn with other arguments, is drawn again. Files other
    than drawn_<number>.jpg and .png are never touched.

    Args:
      directory: created if missing.
      count: number of pairs, at least 1.
      seed: number of the series, from 0.
      labels: with names of LABEL_NAMES.
      progress: wraps an iterable to show its progress, like tqdm.

    Raises:
      UserError: count is below 1, a label cannot be drawn, or the folder
        cannot be written.
    """
    _check_arguments(count, labels)
    names = [f"drawn_{index:04d}" for index in range(count)]
    expected = _expected_files(directory, names, labels)
    record: dict[str, Any] = {
        "count": count,
        "seed": seed,
        "version": GENERATOR_VERSION,
    }
    if labels != labels_lib.LESION:
        record["labels"] = [labels.label_kind, *labels.names]
    record_path = os.path.join(directory, _RECORD)
    try:
        if _is_drawn(expected, record_path, record):
            return
        _clear(expected, record_path)
    except OSError as error:
        raise config.UserError(
            f"{directory} cannot hold the drawn lesions ({error.strerror}); "
            "check the folder and its permissions, or choose another "
            "--model_dir."
        ) from error
    for index in progress(range(count), desc="drawing", unit="pair"):
        _write_pair(
            directory, names[index], draw_lesion(index, seed), labels=labels
        )
    with files.reported_write_errors(record_path):
        files.write_text(record_path, json.dumps(record))


def _check_arguments(count: int, labels: labels_lib.Labels) -> None:
    if count < 1:
        raise config.UserError(
            f"--num_drawn ({count}) must be at least 1; try 400."
        )
    for label in labels.names:
        if label not in LABEL_NAMES:
            raise config.UserError(
                f"--label_names ({label}): drawn lesions have the labels "
                f"{', '.join(LABEL_NAMES)}."
            )


def _expected_files(
    directory: str, names: Sequence[str], labels: labels_lib.Labels
) -> dict[str, set[str]]:
    """Returns the names of the files in each folder of a drawing."""
    endings = [""]
    if labels.count > 1 and not labels.multiclass:
        endings = [f"_{slug}" for slug in labels.slugs]
    return {
        os.path.join(directory, "images"): {f"{name}.jpg" for name in names},
        os.path.join(directory, "label_maps"): {
            f"{name}{ending}.png" for name in names for ending in endings
        },
    }


def _is_drawn(
    expected: Mapping[str, set[str]],
    record_path: str,
    record: Mapping[str, Any],
) -> bool:
    """Returns whether the folders hold exactly the drawing of a record."""
    if any(_own_files(folder) != names for folder, names in expected.items()):
        return False
    try:
        with open(record_path, encoding="utf-8") as file:
            return json.load(file) == record
    except (FileNotFoundError, ValueError):
        return False


def _clear(expected: Mapping[str, set[str]], record_path: str) -> None:
    """Makes the folders and removes drawings that do not belong in them.

    The record is removed first and written last, so that an interrupted drawing
    is known to be incomplete.
    """
    if os.path.exists(record_path):
        os.remove(record_path)
    for folder, names in expected.items():
        os.makedirs(folder, exist_ok=True)
        for stale in _own_files(folder) - names:
            os.remove(os.path.join(folder, stale))


def _own_files(folder: str) -> set[str]:
    if not os.path.isdir(folder):
        return set()
    return {name for name in os.listdir(folder) if _OWN_FILES.fullmatch(name)}


def _write_pair(
    directory: str, name: str, drawing: Drawing, *, labels: labels_lib.Labels
) -> None:
    stream = io.BytesIO()
    Image.fromarray(drawing.image).save(
        stream, format="JPEG", quality=_JPEG_QUALITY
    )
    image_path = os.path.join(directory, "images", name + ".jpg")
    stem = os.path.join(directory, "label_maps", name)
    maps = [
        drawing.label_maps[..., LABEL_NAMES.index(label)]
        for label in labels.names
    ]
    with files.reported_write_errors(directory):
        files.write_bytes(image_path, stream.getvalue())
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
