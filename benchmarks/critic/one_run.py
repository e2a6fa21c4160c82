"""Trains one run of the study, tests it and writes its record.

Usage: python benchmarks/critic/one_run.py REGIME ARM SEED EPOCHS OUT NAME
study.py starts it. A run that was stopped resumes at its last checkpoint.
"""

import json
import os
import pathlib
import re
import shutil
import sys
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
from arms import ARMS
from regimes import REGIMES, test_ids
from shape_metrics import METRICS, measure

import segan_tf
from segan_tf import console, environment, files
from segan_tf.config import Config
from segan_tf.datasets import label_maps, loading
from segan_tf.inference.predictor import Predictor

# quality.py asks them how right their label maps are.
KEPT_RUNS = re.compile("^isic_1500-.*-steps-seed0$")


def make_config(
    regime: str,
    arm: str,
    *,
    seed: int,
    epochs: int,
    out: pathlib.Path,
    name: str,
) -> Config:
    """Makes the settings of a run."""
    row = REGIMES[regime]
    folder = out / "data" / row.folder
    return Config(
        **{
            **row.network,
            **row.labels,
            **ARMS[arm].settings,
            "data_dir": str(folder),
            "test_list": test_ids(folder),
            "model_dir": str(out / "runs" / name),
            "epochs": epochs,
            "seed": seed,
        }
    )


def score(config: Config, *, is_thin: bool) -> dict[str, Any]:
    """Scores the test pairs at their own size: the metrics of each image."""
    predictor = Predictor(config.model_dir)
    rows = {}
    labels = loading.load_labels(config)
    splits = loading.load_splits(config, labels, progress=console.no_bar)
    for pair in splits.test:
        image, true = label_maps.read_pair(pair, labels)
        rows[pair.id] = measure(
            predictor.label_map(image), true, is_thin=is_thin
        )
    return {
        "ids": list(rows),
        **{
            name: [_rounded(row[name]) for row in rows.values()]
            for name in METRICS
        },
    }


def _rounded(value: float) -> float | None:
    return None if np.isnan(value) else round(value, 4)


def main(argv: list[str]) -> None:
    """Makes the run that the arguments name."""
    regime, arm, seed, epochs, out, name = argv[1:]
    config = make_config(
        regime,
        arm,
        seed=int(seed),
        epochs=int(epochs),
        out=pathlib.Path(out),
        name=name,
    )
    summary = segan_tf.train(config)
    record = {
        "regime": regime,
        "arm": arm,
        "seed": config.seed,
        "epochs": config.epochs,
        "train": summary,
        **environment.describe(["benchmarks/critic/one_run.py", *argv[1:]]),
        "images": score(config, is_thin=REGIMES[regime].is_thin),
    }
    path = pathlib.Path(out) / "records" / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    files.write_text(str(path), json.dumps(record))
    if not KEPT_RUNS.search(name):
        shutil.rmtree(config.model_dir)


if __name__ == "__main__":
    main(sys.argv)
