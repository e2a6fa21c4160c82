"""Shows what --mode=calibrate gains for users who all draw in one style.

Usage: python benchmarks/isic2017/calibrate_styles.py RUN DATA
RUN was trained without the 500 (styles_128_seed0 of run.sh). Of the 500, the
pairs of each annotation tool are split: 20, or 40, are given to calibrate, the
rest is scored with the present decision and with the fitted one. Five draws
each; prints a table and writes benchmarks/isic2017/calibrate_styles.json.
"""

import csv
import json
import os
import sys
import tempfile
from typing import Any

import numpy as np

import segan_tf
from segan_tf import files
from segan_tf.evaluation import bootstrap

STYLES = ("T1", "T2", "T3")
COUNTS = (20, 40)
DRAWS = 5
IMAGES = "ISIC-2017_Training_Data"
LABEL_MAPS = "ISIC-2017_Training_Part1_GroundTruth"
HERE = os.path.dirname(os.path.abspath(__file__))


def main(run: str, data: str) -> None:
    """Calibrates on a few pairs of each style, and scores the others."""
    rows = []
    for style in STYLES:
        ids = _ids_of(style, data)
        for count in COUNTS:
            for draw in range(DRAWS):
                order = np.random.default_rng(draw).permutation(len(ids))
                chosen = [ids[i] for i in order]
                row = _measure(run, data, chosen[:count], chosen[count:])
                rows.append({"style": style, "pairs": count, **row})
                print(json.dumps(rows[-1]), flush=True)
    text = json.dumps({"run": os.path.basename(run), "rows": rows}, indent=1)
    files.write_text(os.path.join(HERE, "calibrate_styles.json"), f"{text}\n")


def _ids_of(style: str, data: str) -> list[str]:
    """Lists the ids of the 500 whose label maps are of one style."""
    with open(os.path.join(data, "random_500_test.txt")) as file:
        tested = set(file.read().split())
    with open(os.path.join(data, "annotation_tools.csv"), newline="") as file:
        rows = list(csv.DictReader(file))
    return sorted(
        row["id"]
        for row in rows
        if row["id"] in tested and row["tools"] == style
    )


def _measure(
    run: str, data: str, few: list[str], others: list[str]
) -> dict[str, Any]:
    """Returns the Dice of the others before and after, and the gain."""
    with tempfile.TemporaryDirectory() as folder:
        decision = os.path.join(folder, "decision.json")
        found = segan_tf.calibrate(
            segan_tf.Config(
                model=run,
                data_dir=_link(data, few, os.path.join(folder, "few")),
                styles="none",
                decision=decision,
            )
        )
        settings: dict[str, Any] = {
            "model": run,
            "model_dir": os.path.join(folder, "reports"),
            "data_dir": _link(data, others, os.path.join(folder, "others")),
            "split": "all",
        }
        before = _score(**settings)
        after = (
            _score(**settings, decision=decision)
            if found.is_proven
            else (before)
        )
    gain, low, high = bootstrap.paired_bootstrap(after, before, seed=0)
    return {
        "decision": found.text if found.is_proven else "unchanged",
        "scored": len(others),
        "before": float(before.mean()),
        "after": float(after.mean()),
        "gain": gain,
        "low": low,
        "high": high,
    }


def _score(**settings: Any) -> np.ndarray:
    """Returns the Dice of every image, sorted by id."""
    report = segan_tf.evaluate(segan_tf.Config(**settings)).report_dir
    with open(os.path.join(report, "per_image.csv"), newline="") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: row["id"])
    return np.array([float(row["dice"]) for row in rows])


def _link(data: str, ids: list[str], folder: str) -> str:
    """Makes a folder of pairs by links; returns it."""
    for part, source, ending in (
        ("images", IMAGES, ".jpg"),
        ("label_maps", LABEL_MAPS, "_segmentation.png"),
    ):
        os.makedirs(os.path.join(folder, part))
        for name in ids:
            path = os.path.abspath(os.path.join(data, source, name + ending))
            os.symlink(path, os.path.join(folder, part, name + ending))
    return folder


if __name__ == "__main__":
    main(*sys.argv[1:])
