"""Trains one run of the study, tests it and writes its record.

Usage: python benchmarks/critic/one_run.py REGIME ARM KIND SEED EPOCHS OUT
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
from plan import Run
from regimes import REGIMES, TEST_IDS
from shape_metrics import METRICS, measure

import segan_tf
from segan_tf import console, environment, files
from segan_tf.config import Config
from segan_tf.datasets import label_maps, loading
from segan_tf.inference.predictor import Predictor

# quality.py asks them how right their label maps are.
KEPT_RUNS = re.compile("^isic_1500-.*-steps-seed0$")


def make_config(run: Run, *, epochs: int, out: pathlib.Path) -> Config:
    """Makes the settings of a run."""
    row = REGIMES[run.regime]
    folder = out / "data" / run.folder
    return Config(
        **{
            **row.network,
            **row.labels,
            **ARMS[run.arm].settings,
            "data_dir": str(folder),
            "test_list": str(folder / TEST_IDS),
            "model_dir": str(out / "runs" / run.name),
            "epochs": epochs,
            "seed": run.seed,
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
    regime, arm, kind, seed, epochs, out = argv[1:]
    run = Run(regime, arm, kind, int(seed))
    config = make_config(run, epochs=int(epochs), out=pathlib.Path(out))
    summary = segan_tf.train(config)
    record = {
        "epochs": config.epochs,
        "train": summary,
        **environment.describe(["benchmarks/critic/one_run.py", *argv[1:]]),
        "images": score(config, is_thin=REGIMES[regime].is_thin),
    }
    path = pathlib.Path(out) / "records" / f"{run.name}.json"
    path.parent.mkdir(exist_ok=True)
    files.write_text(str(path), json.dumps(record))
    if not KEPT_RUNS.search(run.name):
        shutil.rmtree(config.model_dir)


if __name__ == "__main__":
    main(sys.argv)
