"""Evaluates a model on a split, at the size of the images."""

import dataclasses
import datetime
import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from segan_tf import console, environment, run_dir, startup
from segan_tf import labels as labels_lib
from segan_tf.config import DATA_FIELDS, RESPLIT_FIELDS, Config, UserError
from segan_tf.datasets import findings, label_maps, loading, pairs
from segan_tf.evaluation import report, scores, table

if TYPE_CHECKING:
    from segan_tf.inference.predictor import Predictor


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """The results of an evaluation, and its files.

    Attributes:
      results: the content of results.json, see `results.build_results`.
      report_dir: the folder of results.json, per_image.csv and gallery.png.
    """

    results: dict[str, Any]
    report_dir: str

    def summary(self) -> str:
        """Formats the results as a table for the terminal."""
        return (
            f"{table.format_table(self.results)}\nresults, per_image.csv and "
            f"gallery.png are in {self.report_dir}"
        )


def evaluate(config: Config, *, command: Sequence[str] = ()) -> Evaluation:
    """Evaluates a model on a split; writes results.json, a CSV and a gallery.

    The model is ``model``, else the run in ``model_dir``; the report goes to
    ``<model_dir>/evaluation_<split>``. The pairs are those that the run
    recorded, unless the configuration gives others.

    Args:
      config: settings that were passed to it replace those of the run.
      command: recorded in results.json.

    Raises:
      UserError: there is no model, no pair to score, or a pair is unreadable
        and ``skip_bad_pairs`` is not set.
    """
    without_run = config.model and not run_dir.has_flags(config.model_dir)
    split_again = without_run or run_dir.gives(config, RESPLIT_FIELDS)
    if without_run:
        _check_model_settings(config)
    else:
        config = run_dir.merge(run_dir.read_flags(config.model_dir), config)
    labels = loading.load_labels(config)
    divided = loading.load_run_splits(config, labels, split_again=split_again)
    chosen = loading.choose_pairs(config, divided)
    trained = loading.find_trained(config, chosen)
    if trained:
        console.say(
            f"warning: {len(trained)} of the {len(chosen)} pairs may be images "
            "that the model was trained on; the figures are marked"
        )
    startup.import_tensorflow()
    from segan_tf.inference.predictor import Predictor

    predictor = Predictor(config.model or config.model_dir, tta=config.tta)
    _check_same_labels(config, of_data=labels, of_model=predictor.labels)
    started = time.monotonic()
    scored, unreadable = _score_all(
        config, predictor, labels=labels, chosen=chosen
    )
    metadata = {
        **environment.describe(command),
        "date": datetime.date.today().isoformat(),
        "model": predictor.description,
        "split": config.split,
        "tta": config.tta,
        "data": {name: getattr(config, name) for name in DATA_FIELDS},
        "may_include_trained_images": bool(trained),
        "unreadable": unreadable,
        "seconds": round(time.monotonic() - started, 1),
        "training": run_dir.read_training(config.model_dir),
    }
    return _write_report(
        config,
        scored,
        predictor=predictor,
        labels=labels,
        chosen=chosen,
        metadata=metadata,
    )


def _check_model_settings(config: Config) -> None:
    if run_dir.has_flags(config.model):
        run_dir.check_same_model(run_dir.read_flags(config.model), config)
    else:
        # num_labels and label_kind tell how label maps are read.
        names = ("segmentor", "image_size", "width")
        run_dir.check_no_model_settings(config, config.model, names=names)


def _write_report(
    config: Config,
    scored: Sequence[scores.Score],
    *,
    predictor: "Predictor",
    labels: labels_lib.Labels,
    chosen: Sequence[pairs.Pair],
    metadata: dict[str, Any],
) -> Evaluation:
    by_id = {pair.id: pair for pair in chosen}

    def load(name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        image, true = label_maps.read_pair(by_id[name], labels)
        return image, predictor.label_map(image), true

    report_dir = os.path.join(config.model_dir, f"evaluation_{config.split}")
    try:
        results = report.write_report(
            report_dir,
            scored,
            labels=predictor.labels,
            metadata=metadata,
            load=load,
        )
    except OSError as error:
        raise UserError(
            f"--model_dir ({config.model_dir}) cannot take the report "
            f"({error.strerror}); give a folder that can be written."
        ) from error
    return Evaluation(results, report_dir)


def _score_all(
    config: Config,
    predictor: "Predictor",
    *,
    labels: labels_lib.Labels,
    chosen: Sequence[pairs.Pair],
) -> tuple[list[scores.Score], list[str]]:
    """Scores every pair; reports all that cannot be read together."""
    scored: list[scores.Score] = []
    problems: dict[str, str] = {}
    facts: dict[str, findings.MapFacts] = {}
    for pair in console.bar(chosen, desc="evaluating", unit="image"):
        try:
            score, facts[pair.id] = score_pair(predictor, pair, labels=labels)
            scored.append(score)
        except UserError as error:
            problems[pair.id] = str(error)
    loading.report_problems(config, list(problems.values()), say=console.say)
    loading.check_not_empty(config, scored)
    findings.report(
        facts,
        labels,
        what=f"label maps of --split={config.split}",
        say=console.say,
    )
    return scored, list(problems)


def score_pair(
    predictor: "Predictor",
    pair: pairs.Pair,
    *,
    labels: labels_lib.Labels,
) -> tuple[scores.Score, findings.MapFacts]:
    """Computes every metric of one pair, at the image's own size.

    Args:
      predictor: predicts the label map.
      pair: the image and its true label map.
      labels: how the true label map marks the labels.

    Returns:
      The metrics, and what the true label map tells.

    Raises:
      UserError: a file cannot be read, or the sizes differ.
    """
    image, true, facts = label_maps.read_pair_and_facts(pair, labels)
    predicted = predictor.label_map(image)
    score = scores.score_image(
        pair.id, predicted, true, labels=predictor.labels
    )
    return score, facts


def _check_same_labels(
    config: Config,
    *,
    of_data: labels_lib.Labels,
    of_model: labels_lib.Labels,
) -> None:
    """Checks that a model and the true label maps have the same labels.

    Raises:
      UserError: their names differ, or their number or kind.
    """
    default = labels_lib.default_names(of_data.count)
    named_alike = of_data.names in (of_model.names, default)
    counts_differ = of_data.count != of_model.count
    # The kind makes no difference for one label.
    kinds_differ = of_data.multiclass != of_model.multiclass
    if counts_differ or not named_alike or (of_data.count > 1 and kinds_differ):
        raise UserError(
            f"--model ({config.model or config.model_dir}) has the "
            f"{of_model.label_kind} labels {', '.join(of_model.names)}, the "
            f"label maps the {of_data.label_kind} {', '.join(of_data.names)}; "
            "give the model's with --label_names."
        )
