"""Packs a trained and exported run as the released model.

Usage: python benchmarks/isic2017/release.py NUMBER MODEL_DIR EXPORT_DIR
Writes segan_tf/models/pretrained/NUMBER/: weights, TFLite models, decision.json
if the run was calibrated, and release.json.
"""

import os
import shutil
import sys

from segan_tf import config, decision, records, run_dir
from segan_tf.models import pretrained, restore

NAME = "EfficientNet-Lite1 SegAN with styles, ISIC 2017 Part 1 training images"
TFLITE = ("int8",)  # the others can be converted without images
# What run.sh exports the released run on.
PARITY_SOURCE = "ISIC 2017, none that it was trained on"
SHOWN = (
    "image_size",
    "epochs",
    "learning_rate",
    "seed",
)  # of a run, in the card


def read_history(model_dir: str) -> list[dict]:
    """Reads how a run was made, and before it the runs it started from."""
    record = records.read(os.path.join(model_dir, "flags.json"))
    flags = record.pop("flags")
    start = flags["start_from"]
    before = []
    if start and not config.is_released(start):
        before = read_history(start)
    run = {
        "run": os.path.basename(model_dir),
        **record,
        **{setting: flags[setting] for setting in SHOWN},
        **run_dir.read_training(model_dir),
    }
    return [*before, run]


def read_parity(export_dir: str) -> dict:
    """Reads how the exported models compare with Keras."""
    record = records.read(os.path.join(export_dir, "parity.json"))
    rows = {"keras": record["keras"], **record["artifacts"]}
    return {
        "images": record["images"],
        "source": PARITY_SOURCE,
        "dice": {name: rows[name]["dice"] for name in ("keras", *TFLITE)},
    }


def main(number: str, model_dir: str, export_dir: str) -> None:
    """Writes the release."""
    run = run_dir.read_flags(model_dir)
    restored = restore.load(run)
    tflite = {}
    for quantization in TFLITE:
        path = os.path.join(export_dir, f"segan_{quantization}.tflite")
        with open(path, "rb") as file:
            tflite[quantization] = file.read()
    release = pretrained.Release(os.path.join(pretrained.FOLDER, number))
    pretrained.write(
        restored,
        config=run,
        labels=run_dir.read_labels(run),
        name=NAME,
        tflite=tflite,
        parity=read_parity(export_dir),
        made_by={"step": restored.step, "runs": read_history(model_dir)},
        folder=release.folder,
    )
    decision_path = decision.path_in(model_dir)
    if os.path.exists(decision_path):
        shutil.copy(decision_path, release.folder)
    print(release.describe())


if __name__ == "__main__":
    main(*sys.argv[1:])
