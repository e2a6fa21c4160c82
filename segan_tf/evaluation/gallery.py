"""A gallery of the images with the best, median and worst Dice."""

import io
import math
from collections.abc import Callable, Sequence

import numpy as np

from segan_tf import console
from segan_tf import labels as labels_lib
from segan_tf.errors import UserError
from segan_tf.evaluation import scores
from segan_tf.imaging import contact_sheet, overlays

# From an id to its image uint8 [h, w, 3] and its predicted and true label
# maps uint8 [h, w, labels].
Loader = Callable[[str], tuple[np.ndarray, np.ndarray, np.ndarray]]

# Tiles in a row and their side: 1,600 pixels, a screen's width.
_COLUMNS = 5
_TILE_PX = 300
# Several labels take two tiles an image, the true and the predicted ones.
_PAIRS = 3


def build_gallery(
    rows: Sequence[scores.Row],
    *,
    title: str,
    labels: labels_lib.Labels,
    load: Loader,
) -> bytes:
    """Draws the best, the median and the worst images by Dice.

    One label is drawn true and predicted in one image; several in two images,
    in the labels' colors.

    Args:
      rows: one per image, see `scores.Score`.
      title: of the gallery.
      labels: of the model.
      load: called with the ids that are shown, one after the other.

    Returns:
      A PNG file.
    """
    several = labels.count > 1
    groups = choose_images(rows, most=_PAIRS if several else _COLUMNS)
    tiles = [
        tile
        for _, group in groups
        for row in group
        for tile in _tiles(row, labels, load=load)
    ]
    page = contact_sheet.sheet(
        tiles,
        columns=len(groups[0][1]) * (2 if several else 1),
        tile_px=_TILE_PX,
        title=title,
        legend=tuple(zip(labels.names, labels.colors, strict=True))
        if several
        else overlays.LEGEND,
        row_titles=[name for name, _ in groups],
    )
    png = io.BytesIO()
    page.save(png, format="PNG")
    return png.getvalue()


def choose_images(
    rows: Sequence[scores.Row], *, most: int
) -> list[tuple[str, list[scores.Row]]]:
    """Chooses the images of a gallery, none of them twice.

    Args:
      rows: one per image, with its id and dice.
      most: at most so many images in a group.

    Returns:
      (title, rows) of the best, the median and the worst images; of too few
      images, one group of all.
    """
    best_first = sorted(rows, key=lambda row: (-_dice(row), row["id"]))
    count = len(best_first)
    each = min(most, count // 3)
    if not each:
        return [("All, best Dice first", best_first)]
    middle = (count - each) // 2
    return [
        (f"Best {each} by Dice", best_first[:each]),
        (f"Median {each}", best_first[middle : middle + each]),
        (f"Worst {each}, the worst first", best_first[-each:][::-1]),
    ]


def _dice(row: scores.Row) -> float:
    """Returns an image's Dice, by the ISIC rule if it has no label."""
    return row["isic_dice"] if math.isnan(row["dice"]) else row["dice"]


def _tiles(
    row: scores.Row, labels: labels_lib.Labels, *, load: Loader
) -> list[tuple[np.ndarray, str]]:
    """Draws the tiles of an image, with their captions."""
    name = console.printable(row["id"], keep="")
    try:
        image, predicted, true = load(row["id"])
    except UserError as error:  # it was there when it was scored
        blank = np.full((_TILE_PX, _TILE_PX, 3), 255, np.uint8)
        console.say(f"warning: the gallery lacks {name}: {error}")
        caption = f"{name}\ncannot be read any more"
        return [(blank, caption)] * (1 if labels.count == 1 else 2)
    scored = f"Dice {row['dice']:.3f}   IoU {row['iou']:.3f}"
    if math.isnan(row["dice"]):
        scored = f"no label is true; ISIC Dice {_dice(row):.3f}"
    if row.get("style"):
        scored += f"   told {row['style']}: {row['told_dice']:.3f}"
    if labels.count == 1:
        tile = overlays.tile(
            image, predicted[..., 0], true[..., 0], tile_px=_TILE_PX
        )
        return [(tile, f"{name}\n{scored}")]
    of_true, of_predicted = (
        overlays.tile_labels(image, label_map, labels.colors, tile_px=_TILE_PX)
        for label_map in (true, predicted)
    )
    return [
        (of_true, f"{name}\ntrue"),
        (of_predicted, f"{name}, predicted\n{scored}"),
    ]
