"""Draws docs/styles.png: two drawn lesions outlined in three styles.

Usage: python benchmarks/isic2017/draw_styles.py RUN
RUN was trained with annotation styles (styles_128_seed0 of run.sh).
"""

import os
import sys

import numpy as np

from segan_tf.imaging import contact_sheet, images, overlays
from segan_tf.inference.predictor import Predictor
from segan_tf.labels import COLORS
from segan_tf.synthetic import lesions

# T1 are loose polygons, T2 follow the visible border.
STYLES = {"T2": "tight (T2)", "mean": "the mean style", "T1": "loose (T1)"}
DRAWINGS = (6, 13)  # of a series that no training draws
SIZE = 400
PATH = os.path.join(os.path.dirname(__file__), "..", "..", "docs", "styles.png")


def main(run: str) -> None:
    """Outlines the drawings and writes them side by side."""
    predictor = Predictor(run)
    colors = COLORS[: len(STYLES)]
    tiles = []
    for index in DRAWINGS:
        image = lesions.draw_lesion(index, seed=1, size=(SIZE, SIZE)).image
        maps = [predictor.label_map(image, style=style) for style in STYLES]
        label_maps = np.concatenate(maps, axis=-1)
        drawn = overlays.overlay_labels(image, label_maps, colors, filled=False)
        shares = ", ".join(f"{m.mean():.1%}" for m in maps)
        tiles.append((drawn, f"area {shares}"))
    page = contact_sheet.sheet(
        tiles,
        columns=len(tiles),
        tile_px=SIZE,
        title="One model, three styles",
        legend=tuple(zip(STYLES.values(), colors, strict=True)),
    )
    images.write_png(PATH, np.array(page))


if __name__ == "__main__":
    main(*sys.argv[1:])
