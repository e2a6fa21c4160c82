"""Scores a model on a split, at the images' own size."""

import datetime
import os
import time

from segan_tf import config, progress
from segan_tf import labels as labels_lib
from segan_tf.data import label_maps, pairs, sources, splits
from segan_tf.evaluation import prediction, report, scores
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
    labels = sources.load_labels(run)
    divided = find_splits(run, labels, divide_anew=divide_anew)
    pairs_of_split = choose_pairs(run, divided)
    if divide_anew:
        _warn_of_trained_ids(run, pairs_of_split)
    model = run.model or run.model_dir
    predictor = prediction.load_predictor(model, flips=run.flips)
    _refuse_other_labels(run, labels, predictor.labels)
    report_dir = os.path.join(run.model_dir, f"evaluation_{run.split}")
    began = time.monotonic()
    scored, unreadable = _score_all(run, predictor, labels, pairs_of_split)
    seconds = time.monotonic() - began
    by_id = {pair.id: pair for pair in pairs_of_split}

    def load(name: str):
        image, true = label_maps.read_pair(by_id[name], labels)
        return image, predictor.label_map(image), true

    try:
        results = report.write_report(
            report_dir,
            scored,
            labels=predictor.labels,
            metadata={
                **run_dir.circumstances(command),
                "date": datetime.date.today().isoformat(),
                "model": prediction.describe_model(model),
                "split": run.split,
                "flips": run.flips,
                "data": {
                    name: getattr(run, name) for name in config.DATA_FIELDS
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


def _score_all(run, predictor, labels, pairs_of_split) -> tuple[list, list]:
    """Scores every pair; one that cannot be read does not hide the others."""
    scored, problems = [], {}
    for pair in progress.bar(pairs_of_split, desc="evaluating", unit="image"):
        try:
            scored.append(score_pair(predictor, pair, labels))
        except config.UserError as error:
            problems[pair.id] = str(error)
    sources.refuse_or_tell(run, list(problems.values()), say=progress.say)
    _refuse_nothing(run, scored)
    return scored, list(problems)


def score_pair(
    predictor: prediction.Predictor,
    pair: pairs.Pair,
    labels: labels_lib.Labels,
) -> scores.Score:
    """Measures one pair by every metric, at the image's own size.

    Args:
      predictor: from `prediction.load_predictor`.
      pair: the image and its true label map.
      labels: how the true label map marks the labels.

    Raises:
      UserError: a file cannot be read, or the sizes differ.
    """
    image, true = label_maps.read_pair(pair, labels)
    predicted = predictor.label_map(image)
    return scores.score_image(pair.id, predicted, true, predictor.labels)


def _refuse_other_labels(
    run: config.Config,
    of_data: labels_lib.Labels,
    of_model: labels_lib.Labels,
) -> None:
    """Refuses to score a model by label maps of other labels.

    Raises:
      UserError: their names differ, or their number or kind.
    """
    default = labels_lib.default_names(of_data.count)
    named_alike = of_data.names in (of_model.names, default)
    counts_differ = of_data.count != of_model.count
    # The kind is moot for one label.
    kinds_differ = of_data.exclusive != of_model.exclusive
    if counts_differ or not named_alike or (of_data.count > 1 and kinds_differ):
        raise config.UserError(
            f"--model ({run.model or run.model_dir}) has the "
            f"{of_model.label_kind} labels {', '.join(of_model.names)}, the "
            f"label maps the {of_data.label_kind} {', '.join(of_data.names)}; "
            "give the model's with --label_names."
        )


def find_splits(
    run: config.Config, labels: labels_lib.Labels, *, divide_anew: bool
) -> splits.Splits:
    """Divides the pairs by the run's recorded ids, or anew by the flags.

    Raises:
      UserError: the pairs cannot be found, or are not those of the run.
    """
    if divide_anew:
        return sources.load_splits(
            run, labels, progress=progress.bar, say=progress.say
        )
    ids = splits.read_split_ids(run.model_dir)
    found = sources.find(run, labels, progress=progress.bar)
    return splits.splits_from_ids(found.pairs, ids)


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
