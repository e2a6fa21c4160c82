"""How well the expected Dice of images fits the true one."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from segan_tf import expected_dice
from segan_tf.evaluation import scores

_BINS = 10  # of equally many images
_SIZE_PX, _MARGIN_PX, _DOT_PX = 480, 48, 3
_GRID_PARTS = 5
_LINE, _GRID, _DOT = (0, 0, 0), (220, 220, 220), (0, 114, 178)


def is_known(rows: Sequence[scores.Row]) -> bool:
    """Returns whether the model knows the expected Dice of its maps."""
    return "expected_dice" in rows[0]


def summarize(rows: Sequence[scores.Row]) -> dict[str, Any]:
    """Compares the expected Dice of all images with the true one.

    Of several labels the true one is by the ISIC rule, as it is fitted.

    Args:
      rows: one per image, with expected_dice.

    Returns:
      The measures of `expected_dice.measure`, and bins: of about equally many
      images each, from low to high, image_count and the means of expected and
      dice.
    """
    expected, dice = _values(rows)
    order = np.argsort(expected, kind="stable")
    bins = [
        {
            "image_count": len(part),
            "expected": float(expected[part].mean()),
            "dice": float(dice[part].mean()),
        }
        for part in np.array_split(order, min(_BINS, len(order)))
    ]
    return {**expected_dice.measure(expected, dice), "bins": bins}


def draw_plot(rows: Sequence[scores.Row]) -> bytes:
    """Draws the true Dice of every image over the expected one, as PNG."""
    page = Image.new("RGB", (_SIZE_PX, _SIZE_PX), (255, 255, 255))
    draw = ImageDraw.Draw(page)
    for part in range(_GRID_PARTS + 1):
        share = part / _GRID_PARTS
        draw.line([_place(share, 0), _place(share, 1)], _GRID)
        draw.line([_place(0, share), _place(1, share)], _GRID)
        x, y = _place(share, share)
        draw.text((x, _SIZE_PX - _MARGIN_PX / 2), f"{share:.1f}", _LINE, None)
        draw.text((_MARGIN_PX / 3, y), f"{share:.1f}", _LINE, None)
    draw.line([_place(0, 0), _place(1, 1)], _LINE)
    draw.text((_SIZE_PX / 2, _SIZE_PX - 12), "expected Dice", _LINE, None)
    draw.text((4, 4), "true Dice", _LINE, None)
    for x, y in zip(*_values(rows), strict=True):
        across, down = _place(x, y)
        box = (across - _DOT_PX, down - _DOT_PX)
        draw.ellipse((*box, across + _DOT_PX, down + _DOT_PX), _DOT)
    stream = io.BytesIO()
    page.save(stream, "PNG")
    return stream.getvalue()


def format_line(found: Mapping[str, Any]) -> str:
    """Formats what `summarize` returned for the terminal."""
    return (
        f"expected dice: off by {found['mean_absolute_error']:.4f} (one number "
        f"for all: {found['baseline_error']:.4f}), rank correlation "
        f"{found['rank_correlation']:.2f}, finds "
        f"{100 * found['found_of_worst']:.0f} % of the worst tenth"
    )


def _values(rows: Sequence[scores.Row]) -> tuple[np.ndarray, np.ndarray]:
    name = "isic_dice" if "isic_dice" in rows[0] else "dice"
    return (
        np.array([row["expected_dice"] for row in rows], np.float64),
        np.array([row[name] for row in rows], np.float64),
    )


def _place(x: float, y: float) -> tuple[float, float]:
    inside = _SIZE_PX - 2 * _MARGIN_PX
    return _MARGIN_PX + x * inside, _SIZE_PX - _MARGIN_PX - y * inside
