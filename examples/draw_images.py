"""Draws a few lesions that no training has seen: python draw_images.py FOLDER.

They are of the generator's series 1; training draws series 0 by default.
"""

import os
import sys

from segan_tf.imaging import images
from segan_tf.synthetic import lesions


def main(folder: str, count: int = 8) -> None:
    """Writes ``count`` images as PNG files into a folder."""
    os.makedirs(folder, exist_ok=True)
    for index in range(count):
        image = lesions.draw_lesion(index, seed=1).image
        images.write_png(os.path.join(folder, f"new_{index}.png"), image)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python draw_images.py FOLDER")
    main(sys.argv[1])
