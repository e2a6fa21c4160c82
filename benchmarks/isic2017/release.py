"""Packs a trained and exported run as the released model.

Usage: python benchmarks/isic2017/release.py MODEL_DIR EXPORT_DIR
Writes segan_tf/models/pretrained/: weights, TFLite models and release.json.
"""

import os
import sys

from segan_tf import config, records, run_dir
from segan_tf.models import pretrained, restore

NAME = "EfficientNet-Lite0 SegAN, ISIC 2017 Part 1 training images"
# What run.sh exports the released run on.
PARITY_SOURCE = "the official validation split of ISIC 2017"


def read_history(model_dir: str) -> list[dict]:
    """Reads how a run was made, and before it the runs it started from."""
    record = records.read(os.path.join(model_dir, "flags.json"))
    start = record.pop("flags")["start_from"]
    before = []
    if start not in ("", config.PRETRAINED):
        before = read_history(start)
    return [*before, {**record, **run_dir.read_training(model_dir)}]


def read_parity(export_dir: str) -> dict:
    """Reads how the exported models compare with Keras."""
    record = records.read(os.path.join(export_dir, "parity.json"))
    rows = {"keras": record["keras"], **record["artifacts"]}
    names = ("keras", *pretrained.QUANTIZATIONS)
    return {
        "images": record["images"],
        "source": PARITY_SOURCE,
        "dice": {name: rows[name]["dice"] for name in names},
    }


def main(model_dir: str, export_dir: str) -> None:
    """Writes the release."""
    run = run_dir.read_flags(model_dir)
    segmentor, step = restore.load_segmentor(run)
    tflite = {}
    for quantization in pretrained.QUANTIZATIONS:
        path = os.path.join(export_dir, f"segan_{quantization}.tflite")
        with open(path, "rb") as file:
            tflite[quantization] = file.read()
    pretrained.write(
        segmentor,
        config=run,
        labels=run_dir.read_labels(run),
        name=NAME,
        tflite=tflite,
        parity=read_parity(export_dir),
        made_by={"step": step, "runs": read_history(model_dir)},
    )
    print(pretrained.describe())


if __name__ == "__main__":
    main(*sys.argv[1:])
