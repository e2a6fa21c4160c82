"""Draws photographs as of a phone around the lesions of dermoscopy images.

Usage: python benchmarks/isic2017/draw_photographs.py DATA OUTPUT
Each official validation image of ISIC 2017 whose lesion is away from the
border and that has no dark corners is made 1.3 to 2.6 times smaller and set
somewhere on grainy skin of its own median color; then light from one side, a
color cast, gamma and blur. Writes OUTPUT/images and OUTPUT/label_maps. No
photograph of a phone was seen for it, and the drawings are easier.
"""

import glob
import math
import os
import sys

import numpy as np
from PIL import Image, ImageFilter

SIDE = 256
MARGIN = 6  # pixels without lesion along the border
CORNER, DARK = 16, 0.75  # a corner darker than this share of the mean is dark


def is_fit(image: np.ndarray, inside: np.ndarray) -> bool:
    """Tells whether an image can be set into skin without a seam.

    Args:
      image: float64 [256, 256, 3] in 0..255.
      inside: bool [256, 256], the lesion.
    """
    border = inside.copy()
    border[MARGIN:-MARGIN, MARGIN:-MARGIN] = False
    gray = image.mean(-1)
    ends = (slice(None, CORNER), slice(-CORNER, None))
    corners = [gray[rows, columns].mean() for rows in ends for columns in ends]
    dark = min(corners) < DARK * gray.mean()
    return bool(inside.any() and not border.any() and not dark)


def draw_skin(color: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draws grain of one and a half pixels and shades of a fifth of a side."""
    grain = rng.normal(128, 40, (SIDE, SIDE)).clip(0, 255).astype(np.uint8)
    blurred = Image.fromarray(grain).filter(ImageFilter.GaussianBlur(1.5))
    shades = Image.fromarray(rng.integers(0, 255, (5, 5)).astype(np.uint8))
    shades = shades.resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    grain, shade = (np.asarray(x, float) - 128 for x in (blurred, shades))
    return color + (grain + 0.12 * shade)[..., None]


def set_into(
    skin: np.ndarray,
    image: np.ndarray,
    inside: np.ndarray,
    *,
    top: int,
    left: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Sets a smaller image into skin, blending a tenth of it at its border."""
    side = len(image)
    along = np.minimum(np.arange(side), np.arange(side)[::-1])
    depth = np.minimum(along[:, None], along)
    share = np.minimum(1, depth / max(3, side // 10))[..., None]
    part = np.s_[top : top + side, left : left + side]
    label_map = np.zeros((SIDE, SIDE), bool)
    label_map[part] = inside
    result = skin.copy()
    result[part] = result[part] * (1 - share) + image * share
    return result, label_map


def light(image: np.ndarray, rng: np.random.Generator) -> Image.Image:
    """Changes light, color, gamma and sharpness as of a room and a phone."""
    direction = rng.uniform(0, 2 * math.pi)
    y, x = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
    slope = x * math.cos(direction) + y * math.sin(direction)
    image = image * (1 + rng.uniform(0.1, 0.45) * slope)[..., None]
    image *= [rng.uniform(0.95, 1.15), 1, rng.uniform(0.75, 1.05)]
    image = 255 * (image.clip(0, 255) / 255) ** rng.uniform(0.75, 1.3)
    drawn = Image.fromarray(image.clip(0, 255).astype(np.uint8))
    return drawn.filter(ImageFilter.GaussianBlur(rng.uniform(0, 1.2)))


def draw(
    image: Image.Image, label_map: Image.Image, rng: np.random.Generator
) -> tuple[Image.Image, Image.Image] | None:
    """Draws a photograph and its label map, or None if the image is not fit."""
    image = image.convert("RGB").resize((SIDE, SIDE))
    label_map = label_map.convert("L").resize((SIDE, SIDE))
    colors, inside = np.asarray(image, float), np.asarray(label_map) > 127
    if not is_fit(colors, inside):
        return None
    side = int(SIDE / rng.uniform(1.3, 2.6))
    top, left = rng.integers(0, SIDE - side, 2)
    drawn, drawn_map = set_into(
        draw_skin(np.median(colors[~inside], axis=0), rng),
        np.asarray(image.resize((side, side)), float),
        np.asarray(label_map.resize((side, side))) > 127,
        top=top,
        left=left,
    )
    return light(drawn, rng), Image.fromarray(drawn_map)


def main(data: str, output: str) -> None:
    """Draws them all."""
    rng = np.random.default_rng(0)
    for folder in ("images", "label_maps"):
        os.makedirs(os.path.join(output, folder), exist_ok=True)
    maps = os.path.join(data, "ISIC-2017_Validation_Part1_GroundTruth")
    pattern = os.path.join(data, "ISIC-2017_Validation_Data", "*.jp*g")
    count = 0
    for path in sorted(glob.glob(pattern)):
        name = os.path.splitext(os.path.basename(path))[0]
        (map_path,) = glob.glob(os.path.join(maps, f"{name}*.png"))
        with Image.open(path) as image, Image.open(map_path) as label_map:
            drawn = draw(image, label_map, rng)
        if drawn:
            photograph, drawn_map = drawn
            photograph.save(f"{output}/images/{name}.jpg", quality=85)
            drawn_map.save(f"{output}/label_maps/{name}.png")
            count += 1
    print(f"{count} photographs in {output}")


if __name__ == "__main__":
    main(*sys.argv[1:])
