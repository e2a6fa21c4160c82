"""Measures how far two label maps of one lesion agree.

Some lesions are in ISIC 2017 twice, as near duplicates of one photograph with
a label map each. Usage: python benchmarks/isic2017/twice.py DATA
"""

import sys

import numpy as np

from segan_tf import labels
from segan_tf.datasets import label_maps, near_duplicates, pairs
from segan_tf.metrics import per_image


def main(data: str) -> None:
    """Prints Dice and IoU of each pair of near duplicates, and their means."""
    found = pairs.find_pairs(data, labels.LESION).pairs
    read = [label_maps.read_pair(pair, labels.LESION) for pair in found]
    thumbnails = [near_duplicates.make_thumbnail(image) for image, _ in read]
    dices, ious = [], []
    for copy in near_duplicates.find_near_duplicates(thumbnails):
        first, second = read[copy.first][1], read[copy.second][1]
        counts = per_image.confusion(first[..., 0], second[..., 0])
        dices.append(per_image.dice(counts))
        ious.append(per_image.iou(counts))
        names = f"{found[copy.first].id} {found[copy.second].id}"
        print(f"{names}: Dice {dices[-1]:.4f}, IoU {ious[-1]:.4f}")
    print(f"mean: Dice {np.mean(dices):.4f}, IoU {np.mean(ious):.4f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
