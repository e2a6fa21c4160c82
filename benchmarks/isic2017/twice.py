"""Says how far two label maps of one lesion agree.

Some lesions stand in ISIC 2017 twice, as near copies of one photograph with a
label map each. Usage: python benchmarks/isic2017/twice.py DATA
"""

import sys

import numpy as np

from segan_tf import labels
from segan_tf.data import label_maps, near_copies, pairs
from segan_tf.evaluation import metrics


def main(data: str) -> None:
    found = pairs.find_pairs(data, labels.LESION).pairs
    read = [label_maps.read_pair(pair, labels.LESION) for pair in found]
    thumbnails = [near_copies.make_thumbnail(image) for image, _ in read]
    dices, ious = [], []
    for copy in near_copies.find_near_copies(thumbnails):
        first, second = read[copy.first][1], read[copy.second][1]
        counts = metrics.confusion(first[..., 0], second[..., 0])
        dices.append(metrics.dice(counts))
        ious.append(metrics.iou(counts))
        names = f"{found[copy.first].id} {found[copy.second].id}"
        print(f"{names}: Dice {dices[-1]:.4f}, IoU {ious[-1]:.4f}")
    print(f"mean: Dice {np.mean(dices):.4f}, IoU {np.mean(ious):.4f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
