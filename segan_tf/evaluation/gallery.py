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

# From an id to its image uint8 [h, w, 3], its predicted and its true label map
# and, where its style is known, the one predicted in it, uint8 [h, w, labels].
Loader = Callable[[str], tuple[np.ndarray, ...]]

# Tiles in a row and their side: 1,600 pixels, a screen's width.
_COLUMNS = 5
_TILE_PX = 300
# Several labels take two tiles an image, the true and the predicted ones, and
# with styles a third.
_COLUMNS_OF_LABELS = 6


def build_gallery(
    rows: Sequence[scores.Row],
    *,
    title: str,
    labels: labels_lib.Labels,
    load: Loader,
) -> bytes:
    """Draws the best, the median and the worst images by Dice.

    One label is drawn true and predicted in one image; several in an image
    each, in the labels' colors. What a model with styles predicts when it is
    told the style is drawn in addition.

    Args:
      rows: one per image, see `scores.Score`.
      title: of the gallery.
      labels: of the model.
      load: called with the ids that are shown, one after the other.

    Returns:
      A PNG file.
    """
    several, styled = labels.count > 1, "style" in rows[0]
    each, most = 1, _COLUMNS
    if several:
        each = 3 if styled else 2
        most = _COLUMNS_OF_LABELS // each
    groups = choose_images(rows, most=most)
    tiles = [
        tile
        for _, group in groups
        for row in group
        for tile in _tiles(row, labels, count=each, load=load)
    ]
    page = contact_sheet.sheet(
        tiles,
        columns=len(groups[0][1]) * each,
        tile_px=_TILE_PX,
        title=title,
        legend=_legend(labels, styled=styled),
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


def _legend(
    labels: labels_lib.Labels, *, styled: bool
) -> Sequence[tuple[str, overlays.Color]]:
    if labels.count > 1:
        return tuple(zip(labels.names, labels.colors, strict=True))
    return overlays.LEGEND_WITH_STYLES if styled else overlays.LEGEND


def _dice(row: scores.Row) -> float:
    """Returns an image's Dice, by the ISIC rule if it has no label."""
    return row["isic_dice"] if math.isnan(row["dice"]) else row["dice"]


def _tiles(
    row: scores.Row,
    labels: labels_lib.Labels,
    *,
    count: int,
    load: Loader,
) -> list[tuple[np.ndarray, str]]:
    """Draws so many tiles of an image, with their captions."""
    name = console.printable(row["id"], keep="")
    try:
        image, predicted, true, *told = load(row["id"])
    except UserError as error:  # it was there when it was scored
        blank = np.full((_TILE_PX, _TILE_PX, 3), 255, np.uint8)
        console.say(f"warning: the gallery lacks {name}: {error}")
        caption = f"{name}\ncannot be read any more"
        return [(blank, caption)] * count
    untold_line, told_line = _score_lines(row)
    if labels.count == 1:
        tile = overlays.tile(
            image,
            predicted[..., 0],
            true[..., 0],
            told=told[0][..., 0] if told else None,
            tile_px=_TILE_PX,
        )
        return [(tile, "\n".join(filter(None, (name, untold_line, told_line))))]
    shown = [
        (true, f"{name}\ntrue"),
        (predicted, f"{name}, predicted\n{untold_line}"),
        (
            told[0] if told else predicted,
            f"{name}, told the style\n{told_line}",
        ),
    ]
    return [
        (
            overlays.tile_labels(
                image, label_map, labels.colors, tile_px=_TILE_PX
            ),
            caption,
        )
        for label_map, caption in shown[:count]
    ]


def _score_lines(row: scores.Row) -> tuple[str, str]:
    """Formats the scores of an image, untold and told."""
    untold = f"Dice {row['dice']:.3f}   IoU {row['iou']:.3f}"
    if math.isnan(row["dice"]):
        untold = f"no label is true; ISIC Dice {_dice(row):.3f}"
    if "style" not in row:
        return untold, ""
    if not row["style"]:
        return untold, "its style is not known"
    told = f"Dice {row['told_dice']:.3f}   IoU {row['told_iou']:.3f}"
    if math.isnan(row["told_dice"]):
        told = f"ISIC Dice {row['told_isic_dice']:.3f}"
    return f"untold: {untold}", f"told {row['style']}: {told}"
