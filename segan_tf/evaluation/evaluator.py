"""Scores a model on a split, at the images' own size."""

import datetime
import os
import time

import numpy as np

from segan_tf import config, progress
from segan_tf.data import images, pairs, sources, splits
from segan_tf.evaluation import metrics, prediction, report
from segan_tf.training import run_dir


def evaluate(
    run: config.Config, *, divide_anew: bool, command: list[str]
) -> int:
    """Scores the run's model and writes results.json, CSV and gallery.

    The report goes to ``<model_dir>/evaluation_<split>``.

    Args:
      run: the configuration of the run, with the flags given now.
      divide_anew: the flags say which pairs are of the split, rather than the
        ids that the run recorded.
      command: recorded in results.json.

    Returns:
      Exit status 0.

    Raises:
      UserError: there is no model, no pair to score, or a pair is unreadable
        and ``skip_bad_pairs`` is not set.
    """
    divided = find_splits(run, divide_anew=divide_anew)
    pairs_of_split = choose_pairs(run, divided)
    if divide_anew:
        _warn_of_trained_ids(run, pairs_of_split)
    model = run.model or run.model_dir
    predictor = prediction.load_predictor(model)
    report_dir = os.path.join(run.model_dir, f"evaluation_{run.split}")
    began = time.monotonic()
    rows, confusions, unreadable = _score_all(run, predictor, pairs_of_split)
    seconds = time.monotonic() - began
    by_id = {pair.id: pair for pair in pairs_of_split}

    def load(name: str):
        image, true = read_pair(by_id[name])
        return image, _predict(predictor, image), true[..., 0]

    try:
        results = report.write_report(
            report_dir,
            rows,
            confusions=confusions,
            metadata={
                **run_dir.circumstances(command),
                "date": datetime.date.today().isoformat(),
                "model": prediction.describe_model(model),
                "split": run.split,
                "data": {
                    name: getattr(run, name) for name in config.ANEW_FIELDS
                },
                "unreadable": unreadable,
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


def _score_all(run, predictor, pairs_of_split) -> tuple[list, list, list]:
    """Scores every pair; one that cannot be read does not hide the others."""
    rows, confusions, problems = [], [], {}
    for pair in progress.bar(pairs_of_split, desc="evaluating", unit="image"):
        try:
            row, counts = score_pair(predictor, pair)
        except config.UserError as error:
            problems[pair.id] = str(error)
            continue
        rows.append(row)
        confusions.append(counts)
    sources.refuse_or_tell(run, list(problems.values()), say=progress.say)
    _refuse_nothing(run, rows)
    return rows, confusions, list(problems)


def score_pair(
    predictor: prediction.Predictor, pair: pairs.Pair
) -> tuple[dict, metrics.Confusion]:
    """Measures one pair by every metric, at the image's own size.

    Raises:
      UserError: a file cannot be read, or the sizes differ.
    """
    image, true = read_pair(pair)
    true = true[..., 0]
    predicted = _predict(predictor, image)
    row = {
        "id": pair.id,
        **metrics.image_metrics(predicted, true),
        "lesion_fraction_true": float(true.mean()),
        "lesion_fraction_predicted": float(predicted.mean()),
    }
    return row, metrics.confusion(predicted, true)


def read_pair(
    pair: pairs.Pair, num_labels: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Reads an image and its true label map.

    Returns:
      uint8 [height, width, 3] RGB, and uint8 [height, width, labels] in
      {0, 1}.

    Raises:
      UserError: a file cannot be read, or the sizes differ.
    """
    image = images.read_image(pair.image_path)
    true = images.read_label_map(pair.label_map_path, num_labels)
    if image.shape[:2] != true.shape[:2]:
        raise config.UserError(
            f"{pair.label_map_path} and its image differ in size; the official "
            "scorer refuses that. Check the data with --mode=check."
        )
    return image, true


def _predict(predictor: prediction.Predictor, image: np.ndarray) -> np.ndarray:
    return predictor(image)[..., 0] > config.THRESHOLD


def find_splits(run: config.Config, *, divide_anew: bool) -> splits.Splits:
    """Divides the pairs by the run's recorded ids, or anew by the flags.

    Raises:
      UserError: the pairs cannot be found, or are not those of the run.
    """
    if divide_anew:
        return sources.load_splits(run, progress=progress.bar, say=progress.say)
    found = sources.find(run, progress=progress.bar)
    return splits.splits_from_ids(
        found.pairs, splits.read_split_ids(run.model_dir)
    )


def choose_pairs(
    run: config.Config, divided: splits.Splits
) -> list[pairs.Pair]:
    """Takes the pairs of the run's split.

    Raises:
      UserError: there are none.
    """
    names = config.SPLITS[:-1] if run.split == "all" else (run.split,)
    chosen = [pair for name in names for pair in getattr(divided, name)]
    _refuse_nothing(run, chosen)
    return chosen


def _refuse_nothing(run: config.Config, of_split: list) -> None:
    if not of_split:
        raise config.UserError(
            f"--split ({run.split}) holds no pair to score; give another "
            "split, such as --split=all."
        )


def _warn_of_trained_ids(run: config.Config, chosen: list[pairs.Pair]) -> None:
    if not os.path.exists(os.path.join(run.model_dir, splits.FILE_NAME)):
        return  # a model_dir that was handed on without its splits
    trained = set(splits.read_split_ids(run.model_dir).get("train", ()))
    count = sum(pair.id in trained for pair in chosen)
    if count:
        progress.say(
            f"warning: {count} of the {len(chosen)} pairs have ids that the "
            "model was trained on; if they are the same pictures, the figures "
            "are too good"
        )
