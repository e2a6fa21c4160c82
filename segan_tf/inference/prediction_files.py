"""The image files of a prediction: label maps, overlays and legends."""

import os
import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from segan_tf import labels as labels_lib
from segan_tf import run_lock
from segan_tf.errors import UserError
from segan_tf.imaging import contact_sheet, images, overlays

if TYPE_CHECKING:
    from segan_tf.inference.predictor import Predictor

_STYLE_OVERLAY = "styles_overlay"
_LEGEND_TILE_PX = 300  # as in the gallery, so that the text has its size


def label_map_parts(labels: labels_lib.Labels) -> tuple[str, ...]:
    """Returns what follows the id in the names of an image's label maps."""
    if labels.count == 1 or labels.multiclass:
        return ("label_map",)
    return labels.slugs


def write_label_map(
    stem: str, label_map: np.ndarray, *, labels: labels_lib.Labels
) -> None:
    """Writes a label map as one PNG file, or one per multilabel label.

    Args:
      stem: of the files' paths.
      label_map: uint8 [height, width, labels] in {0, 1}.
      labels: of the channels.
    """
    paths = [f"{stem}_{part}.png" for part in label_map_parts(labels)]
    if labels.count > 1 and labels.multiclass:
        numbers = label_map @ np.arange(1, labels.count + 1, dtype=np.uint8)
        images.write_index_png(paths[0], numbers, labels.colors)
        return
    for label, path in enumerate(paths):
        images.write_png(path, label_map[..., label] * 255)


def write_overlay(
    path: str,
    image: np.ndarray,
    label_map: np.ndarray,
    *,
    labels: labels_lib.Labels,
) -> None:
    """Writes an image with a label map drawn over it."""
    if labels.count == 1:
        overlay = overlays.overlay(image, label_map[..., 0])
    else:
        overlay = overlays.overlay_labels(image, label_map, labels.colors)
    images.write_png(path, overlay)


def write_styles(
    predictor: "Predictor",
    image: np.ndarray,
    *,
    stem: str,
    styles: Sequence[str],
) -> None:
    """Writes the label map in each style, and an overlay of all outlines."""
    label_maps = []
    for style in styles:
        label_map = predictor.label_map(image, style=style)
        write_label_map(
            f"{stem}_{style}",
            label_map,
            labels=predictor.labels,
        )
        label_maps.append(label_map)
    _write_outlines(f"{stem}_{_STYLE_OVERLAY}.png", image, label_maps)


def _write_outlines(
    path: str, image: np.ndarray, label_maps: Sequence[np.ndarray]
) -> None:
    """Writes an image with the outlines of label maps, a color for each."""
    colors = [
        color
        for color, label_map in zip(
            labels_lib.colors(len(label_maps)), label_maps, strict=True
        )
        for _ in range(label_map.shape[-1])
    ]
    images.write_png(
        path,
        overlays.overlay_labels(
            image, np.concatenate(label_maps, axis=-1), colors, filled=False
        ),
    )


def write_legend(path: str, names: Sequence[str]) -> None:
    """Writes the names of labels or styles in their colors."""
    legend = contact_sheet.sheet(
        [],
        columns=1,
        tile_px=_LEGEND_TILE_PX,
        title="",
        legend=tuple(zip(names, labels_lib.colors(len(names)), strict=True)),
    )
    images.write_png(path, np.array(legend))


def output_parts(labels: labels_lib.Labels, styles: Sequence[str]) -> list[str]:
    """Returns what follows the id in the names of an image's files."""
    parts = [*label_map_parts(labels), "overlay"]
    if styles:
        parts.append(_STYLE_OVERLAY)
    for style in styles:
        parts += [f"{style}_{part}" for part in label_map_parts(labels)]
    return parts


def check_distinct(
    paths: Sequence[str], parts: Sequence[str], *, ignore_case: bool = False
) -> None:
    """Checks that no two images write the same file.

    Raises:
      UserError: two do; names them and the file.
    """
    by_file: dict[str, str] = {}
    for path in paths:
        for part in parts:
            name = f"{images.image_id(path)}_{part}.png"
            key = name
            if ignore_case:
                key = unicodedata.normalize("NFC", name).casefold()
            other = by_file.setdefault(key, path)
            if other != path:
                raise UserError(
                    f"--input: {other} and {path} would write the same {name}; "
                    "rename one."
                )


def ignores_case(folder: str) -> bool:
    """Returns whether a folder that is locked takes "A" and "a" for one."""
    return os.path.exists(os.path.join(folder, run_lock.FILE_NAME.upper()))
