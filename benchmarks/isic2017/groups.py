"""Groups evaluated images by lesion size, contrast and skin tone, for the card.

Tone and contrast are rough, since light and camera change them too: they
compare the median colors of the lesion's pixels and of those around it, without
the black frame.
"""

import csv
import glob
import itertools
import math
import os
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageCms

from segan_tf.evaluation import bootstrap

Row = dict[str, str]

IMAGES = "ISIC-2017_Training_Data"
LABEL_MAPS = "ISIC-2017_Training_Part1_GroundTruth"
SHARES = (0, 0.05, 0.1, 0.2, 0.4, 1)
CONTRASTS = (0, 10, 20, 30, math.inf)
# Individual typology angle in degrees (Chardon et al., 1991).
TONES = {
    "very light": (55, math.inf),
    "light": (41, 55),
    "intermediate": (28, 41),
    "tan": (10, 28),
    "brown or dark": (-math.inf, 10),
}
FRAME = 30  # pixels up to this brightness count as black frame
TO_LAB = ImageCms.buildTransform(
    ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB"
)


def read_rows(folder: str, data: str) -> list[Row]:
    """Reads per_image.csv of an evaluation and measures the images' colors.

    Args:
      folder: of the evaluation.
      data: folder of ISIC 2017.

    Returns:
      The columns of each image, with "tone" in degrees and "contrast" in units
      of CIELAB.
    """
    path = os.path.join(folder, "per_image.csv")
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [{**row, **_measure_colors(row["id"], data)} for row in rows]


def _measure_colors(name: str, data: str) -> Row:
    (image_path,) = glob.glob(os.path.join(data, IMAGES, f"{name}.jp*g"))
    (map_path,) = glob.glob(os.path.join(data, LABEL_MAPS, f"{name}*.png"))
    with Image.open(image_path) as image, Image.open(map_path) as label_map:
        colors, inside = np.array(image.convert("RGB")), np.array(label_map) > 0
    skin = colors[~inside & (colors.max(-1) > FRAME)]
    if not skin.size or not inside.any():
        return {"tone": "nan", "contrast": "nan"}
    lightness, a, b = _median_lab(skin)
    tone = math.degrees(math.atan2(lightness - 50, b or 1e-6))
    contrast = math.dist(_median_lab(colors[inside]), (lightness, a, b))
    return {"tone": str(tone), "contrast": str(contrast)}


def _median_lab(colors: np.ndarray) -> tuple[float, float, float]:
    """Returns CIELAB of the median of uint8 [pixels, 3]."""
    median = np.median(colors, axis=0).astype(np.uint8)[None, None]
    lab = ImageCms.applyTransform(Image.fromarray(median), TO_LAB)
    # Pillow holds L as 0..255, a and b as signed bytes.
    lightness, a, b = np.array(lab)[0, 0]
    return lightness / 2.55, float(np.int8(a)), float(np.int8(b))


def by_share(rows: Sequence[Row]) -> str:
    """Formats the table by the lesion's share of the image."""
    groups = _by_range(rows, "lesion_fraction_true", SHARES, "{:.0%}")
    return _table("lesion's share of the image", groups)


def by_contrast(rows: Sequence[Row]) -> str:
    """Formats the table by the contrast of lesion and skin."""
    groups = _by_range(rows, "contrast", CONTRASTS, "{:g}")
    return _table("contrast of lesion and skin", groups)


def by_tone(rows: Sequence[Row]) -> str:
    """Formats the table by the estimated skin tone."""
    groups = {
        name: [row for row in rows if low < float(row["tone"]) <= high]
        for name, (low, high) in TONES.items()
    }
    return _table("skin tone, estimated", groups)


def _by_range(
    rows: Sequence[Row], column: str, limits: Sequence[float], form: str
) -> dict[str, list[Row]]:
    groups = {}
    for low, high in itertools.pairwise(limits):
        name = f"{form.format(low)} to {form.format(high)}"
        if math.isinf(high):
            name = f"over {form.format(low)}"
        groups[name] = [row for row in rows if low < float(row[column]) <= high]
    return groups


def _table(title: str, groups: Mapping[str, Sequence[Row]]) -> str:
    lines = [
        f"| {title} | images | Dice, untold | 95 % interval | told | IoU, "
        "untold | told |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, rows in groups.items():
        if not rows:
            continue
        dice, told_dice, iou, told_iou = (
            [float(row[column]) for row in rows]
            for column in ("dice", "told_dice", "iou", "told_iou")
        )
        low, high = bootstrap.bootstrap_interval(dice, seed=0)
        lines.append(
            f"| {name} | {len(rows)} | {np.mean(dice):.4f} | {low:.3f} to "
            f"{high:.3f} | {np.mean(told_dice):.4f} | {np.mean(iou):.4f} | "
            f"{np.mean(told_iou):.4f} |"
        )
    return "\n".join(lines)
