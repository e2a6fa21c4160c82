"""Draws a few lesions that no training has seen: python draw_pictures.py DIR.

The generator's series 1 is not the one that training draws from by default.
"""

import os
import sys

from segan_tf.imaging import images
from segan_tf.synthetic import lesions


def main(folder: str, count: int = 8) -> None:
    """Writes ``count`` images as PNG files into a folder."""
    os.makedirs(folder, exist_ok=True)
    for index in range(count):
        picture = lesions.draw_lesion(index, seed=1).image
        images.write_png(os.path.join(folder, f"new_{index}.png"), picture)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python draw_pictures.py FOLDER")
    main(sys.argv[1])
