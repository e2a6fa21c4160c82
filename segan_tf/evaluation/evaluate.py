"""Evaluates a model on a split, at the size of the images."""

import contextlib
import dataclasses
import datetime
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from segan_tf import (
    console,
    environment,
    failures,
    run_dir,
    run_lock,
    startup,
)
from segan_tf import decision as decision_lib
from segan_tf import labels as labels_lib
from segan_tf.config import DATA_FIELDS, RESPLIT_FIELDS, Config, UserError
from segan_tf.datasets import (
    findings,
    label_maps,
    loading,
    pairs,
    shards,
    splits,
    style_lists,
)
from segan_tf.evaluation import gallery, report, report_folder, scores, table
from segan_tf.evaluation import labels as labels_check

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

    The model is ``model``, else the run in ``model_dir``. The pairs are those
    that the run recorded, unless the configuration gives others. The report
    goes to a folder in ``model_dir``, see `report_folder.name_folder`.

    Args:
      config: settings that were passed to it replace those of the run.
      command: recorded in results.json.

    Raises:
      UserError: there is no model, no pair to score, the report cannot be
        written, or a pair cannot be scored and ``skip_bad_pairs`` is not set.
    """
    config, labels, divided = _find_pairs(config)
    chosen = loading.choose_pairs(config, divided)
    scored_side = _warn_of_shards(config, chosen)
    may_be_trained = _warn_of_trained(config, chosen)
    startup.import_tensorflow()
    from segan_tf.inference.predictor import Predictor

    model = config.model or config.model_dir
    predictor = Predictor(
        model, tta=config.tta, decision=decision_lib.read_given(config.decision)
    )
    labels_check.check_same(labels, of_model=predictor.labels, model=model)
    if predictor.decision_text:
        console.say(f"deciding with {predictor.decision_text}")
    style_of = _find_styles(config, predictor, divided, chosen=chosen)
    report_dir = report_folder.name_folder(
        config,
        divided,
        labels,
        model=predictor.description,
        style_of=style_of,
        decision=predictor.decision,
    )
    if os.path.exists(os.path.join(report_dir, report.RESULTS)):
        console.say(
            f"note: this replaces the results of an equal evaluation in "
            f"{report_dir}"
        )
    started = time.monotonic()
    with _reported_report_errors(config), _locked(report_dir):
        scored, unreadable = _score_all(
            config,
            predictor,
            labels=labels,
            chosen=chosen,
            style_of=style_of,
            report_dir=report_dir,
        )
        metadata = {
            **environment.describe(command),
            "date": datetime.date.today().isoformat(),
            "model": predictor.description,
            "split": config.split,
            "tta": config.tta,
            **_describe_decision(predictor),
            "data": {
                name: getattr(config, name)
                for name in DATA_FIELDS
                if name != "styles" or predictor.styles.count
            },
            "may_include_trained_images": may_be_trained,
            **({"scored_side": scored_side} if scored_side else {}),
            "unreadable": unreadable,
            "seconds": round(time.monotonic() - started, 1),
            "training": run_dir.read_training(config.model_dir),
        }
        results = report.write_report(
            report_dir,
            scored,
            labels=predictor.labels,
            metadata=metadata,
            load=_make_loader(
                predictor, labels, chosen=chosen, style_of=style_of
            ),
        )
    return Evaluation(results, report_dir)


def _find_pairs(
    config: Config,
) -> tuple[Config, labels_lib.Labels, splits.Splits]:
    """Merges the settings with those of the run; finds labels and pairs."""
    without_run = config.model and not run_dir.has_flags(config.model_dir)
    split_again = without_run or run_dir.gives(config, RESPLIT_FIELDS)
    if without_run:
        _check_model_settings(config)
    else:
        config = run_dir.merge(run_dir.read_flags(config.model_dir), config)
    labels = loading.load_labels(config)
    divided = loading.load_run_splits(
        config, labels, split_again=bool(split_again)
    )
    return config, labels, divided


def _warn_of_shards(config: Config, chosen: Sequence[pairs.Pair]) -> int:
    """Says that shards have lost the images' own size; returns theirs."""
    side = shards.side_of(chosen)
    if side:
        console.say(
            f"note: the images of {config.data_dir} are scored at {side}x{side}"
            " pixels; to score them at their own size, as the results of "
            "others, give the folder that they were converted from"
        )
    return side


def _warn_of_trained(config: Config, chosen: Sequence[pairs.Pair]) -> bool:
    """Warns if pairs may have been trained on, and returns whether they may."""
    trained = loading.find_trained(config, chosen)
    if trained:
        console.say(
            f"warning: {len(trained)} of the {len(chosen)} pairs may be images "
            "that the model was trained on; the figures are marked"
        )
    return bool(trained)


def _describe_decision(predictor: "Predictor") -> dict[str, str]:
    """Describes the decision, if it is not the default one."""
    text = predictor.decision_text
    return {"decision": text} if text else {}


def _find_styles(
    config: Config,
    predictor: "Predictor",
    divided: splits.Splits,
    *,
    chosen: Sequence[pairs.Pair],
) -> dict[str, str]:
    """Finds the styles of the pairs that are scored, by id, where known."""
    if not predictor.styles.count:
        style_lists.check_not_given(config)
        return {}
    of = style_lists.load_for_model(
        config, divided, styles=predictor.styles, say=console.say
    )
    keys = {pair.id: pairs.normalized(pair.id) for pair in chosen}
    found = {name: of[key] for name, key in keys.items() if key in of}
    if not found:
        console.say(
            "note: the style of no pair is known, so the model is not told any"
        )
    return found


def _check_model_settings(config: Config) -> None:
    if run_dir.has_flags(config.model):
        run_dir.check_same_model(run_dir.read_flags(config.model), config)
    else:
        # num_labels and label_kind tell how label maps are read.
        names = ("segmentor", "image_size", "width")
        run_dir.check_no_model_settings(config, config.model, names=names)


@contextlib.contextmanager
def _reported_report_errors(config: Config) -> Iterator[None]:
    """Turns a failure to write the report into a UserError."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"--model_dir ({config.model_dir}) cannot take the report "
            f"({error.strerror}); give a folder that can be written."
        ) from error


@contextlib.contextmanager
def _locked(report_dir: str) -> Iterator[None]:
    """Makes the folder of the report and keeps other evaluations out of it."""
    os.makedirs(report_dir, exist_ok=True)
    with run_lock.hold(
        report_dir, flag="the folder of the report", user="evaluation"
    ):
        yield


def _make_loader(
    predictor: "Predictor",
    labels: labels_lib.Labels,
    *,
    chosen: Sequence[pairs.Pair],
    style_of: Mapping[str, str],
) -> gallery.Loader:
    by_id = {pair.id: pair for pair in chosen}

    def load(name: str) -> tuple[np.ndarray, ...]:
        image, true = label_maps.read_pair(by_id[name], labels)
        maps = image, predictor.label_map(image), true
        if name not in style_of:
            return maps
        return *maps, predictor.label_map(image, style=style_of[name])

    return load


def _score_all(
    config: Config,
    predictor: "Predictor",
    *,
    labels: labels_lib.Labels,
    chosen: Sequence[pairs.Pair],
    style_of: Mapping[str, str],
    report_dir: str,
) -> tuple[list[scores.Score], list[str]]:
    """Scores every pair; reports all that cannot be scored together.

    If this ends early, the metrics of the scored images stay in a file.
    """
    scored: list[scores.Score] = []
    problems: dict[str, str] = {}
    facts: dict[str, findings.MapFacts] = {}
    with report.unfinished_rows(report_dir, predictor.labels) as keep:
        for pair in console.bar(chosen, desc="evaluating", unit="image"):
            try:
                score, found = score_pair(
                    predictor,
                    pair,
                    labels=labels,
                    style=style_of.get(pair.id, "") if style_of else None,
                )
            except Exception as error:
                if not failures.concerns_one_file(error):
                    raise
                problems[pair.id] = failures.describe(error) or str(error)
                continue
            keep(score.row)
            scored.append(score)
            facts[pair.id] = found
        loading.report_problems(
            config, list(problems.values()), say=console.say
        )
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
    style: str | None = None,
) -> tuple[scores.Score, findings.MapFacts]:
    """Computes every metric of one pair, at the image's own size.

    Args:
      predictor: predicts the label map.
      pair: the image and its true label map.
      labels: how the true label map marks the labels.
      style: that it was drawn in, to tell the model; "" if it is not known;
        None for no told metrics.

    Returns:
      The metrics, and what the true label map tells.

    Raises:
      UserError: a file cannot be read, or the sizes differ.
    """
    image, true, facts = label_maps.read_pair_and_facts(pair, labels)
    prediction = predictor(image)
    score = scores.score_image(
        pair.id, prediction.label_map, true, labels=predictor.labels
    )
    if prediction.expected_dice is not None:
        score = score.with_expected_dice(prediction.expected_dice)
    if style is None:
        return score, facts
    told = score
    if style:
        told = scores.score_image(
            pair.id,
            predictor.label_map(image, style=style),
            true,
            labels=predictor.labels,
        )
    return score.with_told(told, style), facts
