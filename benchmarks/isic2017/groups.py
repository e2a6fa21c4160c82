"""Shows how the score depends on the lesion's size and on the skin tone.

Usage: python benchmarks/isic2017/groups.py PER_IMAGE_CSV IMAGES LABEL_MAPS
Prints the two tables of docs/model_card.md. The tone is estimated as the
individual typology angle, atan((L - 50) / b) of CIELAB in degrees (Chardon et
al., 1991), at the median color of the pixels outside the lesion and the black
frame: a rough estimate, since light and camera change it too.
"""

import csv
import glob
import itertools
import math
import os
import sys

import numpy as np
from PIL import Image, ImageCms

from segan_tf.evaluation import bootstrap

SHARES = (0, 0.05, 0.1, 0.2, 0.4, 1)
TONES = (
    ("very light", 55, math.inf),
    ("light", 41, 55),
    ("intermediate", 28, 41),
    ("tan", 10, 28),
    ("brown or dark", -math.inf, 10),
)
FRAME = 30  # pixels up to this brightness count as black frame
TO_LAB = ImageCms.buildTransform(
    ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB"
)


def typology_angle(image: Image.Image, label_map: Image.Image) -> float:
    """Estimates the skin tone around the lesion, in degrees."""
    colors = np.array(image)
    skin = colors[(np.array(label_map) == 0) & (colors.max(-1) > FRAME)]
    if not skin.size:
        return math.nan
    median = np.median(skin, axis=0).astype(np.uint8)[None, None]
    lab = ImageCms.applyTransform(Image.fromarray(median), TO_LAB)
    lightness, _, b = np.array(lab)[0, 0]
    # Pillow holds L as 0..255 and b as a signed byte.
    return math.degrees(
        math.atan2(lightness / 2.55 - 50, float(np.int8(b)) or 1e-6)
    )


def print_table(title: str, groups: dict[str, list[dict]]) -> None:
    """Prints Dice and IoU of each group of images as a Markdown table."""
    print(f"\n| {title} | images | Dice | 95 % interval | IoU |")
    print("|---|---|---|---|---|")
    for name, rows in groups.items():
        if not rows:
            continue
        dice, iou = (
            [float(row[metric]) for row in rows] for metric in ("dice", "iou")
        )
        low, high = bootstrap.bootstrap_interval(dice, seed=0)
        print(
            f"| {name} | {len(rows)} | {np.mean(dice):.4f} | {low:.3f} to "
            f"{high:.3f} | {np.mean(iou):.4f} |"
        )


def main(per_image: str, images: str, label_maps: str) -> None:
    """Prints the scores by size of the lesion and by skin tone."""
    with open(per_image, encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    by_share = {}
    for low, high in itertools.pairwise(SHARES):
        by_share[f"{low:.0%} to {high:.0%}"] = [
            row
            for row in rows
            if low < float(row["lesion_fraction_true"]) <= high
        ]
    by_tone: dict[str, list[dict]] = {name: [] for name, _, _ in TONES}
    for row in rows:
        (image,) = glob.glob(os.path.join(images, f"{row['id']}.jp*g"))
        (label_map,) = glob.glob(os.path.join(label_maps, f"{row['id']}*.png"))
        with Image.open(image) as i, Image.open(label_map) as m:
            angle = typology_angle(i.convert("RGB"), m.convert("L"))
        for name, low, high in TONES:
            if low < angle <= high:
                by_tone[name].append(row)
    print_table("lesion's share of the image", by_share)
    print_table("skin tone, estimated", by_tone)


if __name__ == "__main__":
    main(*sys.argv[1:])
