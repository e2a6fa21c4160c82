"""Trains one run of the study, tests it and writes its record.

Usage: python benchmarks/critic/one_run.py REGIME ARM KIND SEED EPOCHS OUT
study.py starts it. A run that was stopped resumes at its last checkpoint.
"""

import json
import os
import pathlib
import shutil
import sys
from collections.abc import Iterator
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import arms
import numpy as np
from plan import QUALITY_RUNS, Run
from regimes import REGIMES, TEST_IDS
from shape_metrics import METRICS, measure

import segan_tf
from segan_tf import console, environment, files
from segan_tf import labels as labels_lib
from segan_tf.config import Config
from segan_tf.datasets import label_maps, loading, pairs
from segan_tf.inference.predictor import Predictor
from segan_tf.training import monitor


def make_config(run: Run, *, epochs: int, out: pathlib.Path) -> Config:
    """Makes the settings of a run."""
    row = REGIMES[run.regime]
    folder = out / "data" / run.folder
    return Config(
        **{
            **row.network,
            **row.labels,
            **arms.ARMS[run.arm].settings,
            "data_dir": str(folder),
            "test_list": str(folder / TEST_IDS),
            "model_dir": str(out / "runs" / run.name),
            "epochs": epochs,
            "seed": run.seed,
        }
    )


def find_test_pairs(
    config: Config,
) -> Iterator[tuple[pairs.Pair, labels_lib.Labels]]:
    """Yields the test pairs of a run, with how their maps mark labels."""
    labels = loading.load_labels(config)
    splits = loading.load_splits(config, labels, progress=console.no_bar)
    for pair in splits.test:
        yield pair, labels


def score(config: Config, *, is_thin: bool) -> dict[str, Any]:
    """Scores the test pairs at their own size: the metrics of each image."""
    predictor = Predictor(config.model_dir)
    rows = {}
    for pair, labels in find_test_pairs(config):
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
    arms.register()
    regime, arm, kind, seed, epochs, out = argv[1:]
    run = Run(regime, arm, kind, int(seed))
    config = make_config(run, epochs=int(epochs), out=pathlib.Path(out))
    try:
        results: dict[str, Any] = {"train": segan_tf.train(config)}
        results["images"] = score(config, is_thin=REGIMES[run.regime].is_thin)
    except monitor.Diverged as error:
        results = {"failed": str(error)}
    record = {
        "epochs": config.epochs,
        **environment.describe(["benchmarks/critic/one_run.py", *argv[1:]]),
        **results,
    }
    path = pathlib.Path(out) / "records" / f"{run.name}.json"
    path.parent.mkdir(exist_ok=True)
    files.write_text(str(path), json.dumps(record))
    if run not in QUALITY_RUNS:
        shutil.rmtree(config.model_dir)


if __name__ == "__main__":
    main(sys.argv)
