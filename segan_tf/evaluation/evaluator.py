"""Scores a model on a split, at the images' own size."""

import datetime
import os
import time

import numpy as np

from segan_tf import config, progress
from segan_tf.data import images, pairs, sources, splits
from segan_tf.evaluation import metrics, prediction, report
from segan_tf.training import run_dir


def evaluate(run: config.Config, *, new_data: bool, command: list[str]) -> int:
    """Scores the run's model and writes results.json, CSV and gallery.

    The report goes to ``<model_dir>/evaluation_<split>``.

    Args:
      run: the configuration of the run, with the flags given now.
      new_data: the pairs come from the flags rather than from the splits that
        the run recorded.
      command: recorded in results.json.

    Returns:
      Exit status 0.

    Raises:
      UserError: there is no model, no pair to score, or a pair is unreadable.
    """
    scored = _pairs_of_split(run, new_data=new_data)
    model = run.model or run.model_dir
    predictor = prediction.load_predictor(model)
    report_dir = os.path.join(run.model_dir, f"evaluation_{run.split}")
    began = time.monotonic()
    rows, confusions = [], []
    for pair in progress.bar(scored, desc="evaluating", unit="image"):
        row, counts = score_pair(predictor, pair)
        rows.append(row)
        confusions.append(counts)
    seconds = time.monotonic() - began
    by_id = {pair.id: pair for pair in scored}

    def load(name: str):
        image, true = _read(by_id[name])
        return image, _predict(predictor, image), true

    try:
        results = report.write_report(
            report_dir,
            rows,
            confusions=confusions,
            metadata={
                **run_dir.circumstances(command),
                "date": datetime.date.today().isoformat(),
                "model": model,
                "split": run.split,
                "seconds": round(seconds, 1),
                "training": run_dir.read_training(run.model_dir),
            },
            load=load,
        )
    except OSError as error:
        raise config.UserError(
            f"--model_dir ({run.model_dir}) cannot take the report "
            f"({error.strerror}); give a folder that can be written."
        ) from error
    print(report.format_table(results))
    print(f"results, per_image.csv and gallery.png are in {report_dir}")
    return 0


def score_pair(
    predictor: prediction.Predictor, pair: pairs.Pair
) -> tuple[dict, metrics.Confusion]:
    """Measures one pair by every metric, at the image's own size.

    Raises:
      UserError: a file cannot be read, or the sizes differ.
    """
    image, true = _read(pair)
    predicted = _predict(predictor, image)
    row = {
        "id": pair.id,
        **metrics.image_metrics(predicted, true),
        "lesion_fraction_true": float(true.mean()),
        "lesion_fraction_predicted": float(predicted.mean()),
    }
    return row, metrics.confusion(predicted, true)


def _read(pair: pairs.Pair) -> tuple[np.ndarray, np.ndarray]:
    image = images.read_image(pair.image_path)
    true = images.read_label_map(pair.label_map_path)[..., 0]
    if image.shape[:2] != true.shape:
        raise config.UserError(
            f"{pair.label_map_path} and its image differ in size; the official "
            "scorer refuses that. Check the data with --mode=check."
        )
    return image, true


def _predict(predictor: prediction.Predictor, image: np.ndarray) -> np.ndarray:
    return predictor(image)[..., 0] > config.THRESHOLD


def _pairs_of_split(run: config.Config, *, new_data: bool) -> list[pairs.Pair]:
    """Finds the pairs to score: by the run's recorded ids, or by the flags."""
    if new_data:
        divided = sources.load_splits(
            run, progress=progress.bar, say=progress.say
        )
    else:
        found = sources.find(run, progress=progress.bar)
        divided = splits.splits_from_ids(
            found.pairs, splits.read_split_ids(run.model_dir)
        )
    names = config.SPLITS[:-1] if run.split == "all" else (run.split,)
    scored = [pair for name in names for pair in getattr(divided, name)]
    if not scored:
        raise config.UserError(
            f"--split ({run.split}) holds no pair; give another split."
        )
    return scored
