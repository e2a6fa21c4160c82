"""Fits the decision of a model to pairs drawn as a user draws.

The segmentor stays as it is: only the thresholds and the style to draw in are
chosen, and only if pairs that were left out of the fit prove a gain.
"""

import dataclasses
import datetime
import itertools
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from segan_tf import (
    console,
    environment,
    expected_dice,
    failures,
    files,
    run_dir,
    startup,
)
from segan_tf import decision as decision_lib
from segan_tf import labels as labels_lib
from segan_tf.config import Config, UserError
from segan_tf.datasets import label_maps, loading, pairs
from segan_tf.decision import Decision
from segan_tf.evaluation import bootstrap, calibration, doubt
from segan_tf.evaluation import labels as labels_check
from segan_tf.inference import agreement, prediction
from segan_tf.styles import JOIN, MEAN, Styles

if TYPE_CHECKING:
    from segan_tf.inference.predictor import Predictor

MIN_PAIRS = 10  # fewer prove nothing
MAX_PAIRS = 200  # more change nothing, and take memory
# Of more styles there are too many pairs to run the segmentor for each.
MAX_PAIRED_STYLES = 4

_SEED = 0  # of the draw of pairs and of the bootstrap


@dataclasses.dataclass(frozen=True)
class Calibration:
    """What a calibration found.

    Attributes:
      decision: the fitted one.
      is_proven: whether the pairs prove that it is better than the present
        one; only then it is written.
      path: of its file.
      fitted: what it was fitted to and what it gains, see `_measure_gain`.
      text: the decision in words.
      present_text: the present one.
      doubts: how well the expected Dice fits, by kind, see
        `expected_dice.measure`; empty for fewer than
        `expected_dice.MIN_IMAGES` pairs.
    """

    decision: Decision
    is_proven: bool
    path: str
    fitted: dict[str, Any]
    text: str
    present_text: str
    doubts: dict[str, dict[str, float]]

    def summary(self) -> str:
        """Describes the result for the terminal."""
        lines = [self._decision_line(), *map(self._doubt_line, self.doubts)]
        if self.is_proven or self.doubts:
            lines.append(f"written to {self.path}")
        return "\n".join(lines)

    def _doubt_line(self, kind: str) -> str:
        found = self.doubts[kind]
        tta = " with --tta" if kind == expected_dice.VIEWS else ""
        return (
            f"the expected Dice{tta} is off by "
            f"{found['mean_absolute_error']:.4f} on pairs left out of its fit "
            f"({found['baseline_error']:.4f} for one number for all), its rank "
            f"correlation is {found['rank_correlation']:.2f}, and it finds "
            f"{100 * found['found_of_worst']:.0f} % of the worst tenth"
        )

    def _decision_line(self) -> str:
        found = self.fitted
        gain = (
            f"Dice {found['dice_before']:.4f} -> {found['dice_after']:.4f} "
            f"over {found['pairs']} pairs, each left out of its own fit "
            f"({found['gain']:+.4f}, {100 * found['level']:g} % interval "
            f"{found['low']:+.4f} to {found['high']:+.4f})"
        )
        if self.is_proven:
            return f"{self.text} instead of {self.present_text}: {gain}"
        if self.text == self.present_text:
            return f"nothing is changed: {self.text} suits the pairs best"
        return (
            f"nothing is changed: the pairs do not prove that {self.text} is "
            f"better than {self.present_text}: {gain}"
        )


def calibrate(config: Config, *, command: Sequence[str] = ()) -> Calibration:
    """Fits thresholds and style to pairs; writes them if they are better.

    The model is ``model``, else the run in ``model_dir``, else the released
    one. They are written to ``decision``, by default to the run's own
    decision.json. What is there already is the present decision.

    Args:
      config: names the model and the pairs.
      command: recorded in the file.

    Raises:
      UserError: there is no model or no place for the file, there are fewer
        than MIN_PAIRS pairs, or they cannot be used.
    """
    model = prediction.choose_model(config)
    path = _choose_path(config, model)
    config, labels, chosen = _load_pairs(config, model)
    _warn_of_trained(config, chosen)
    startup.import_tensorflow()
    from segan_tf.inference.predictor import Predictor

    present = decision_lib.read_file(path) if os.path.lexists(path) else None
    predictor = Predictor(model, decision=present)
    labels_check.check_same(labels, of_model=predictor.labels, model=model)
    styles = _candidate_styles(predictor.styles, predictor.decision)
    console.say(
        f"calibrating {predictor.description} on {len(chosen)} pairs"
        + (f" in {len(styles)} styles" if predictor.styles.count else "")
    )
    fitted, before, after = _fit(config, predictor, chosen, styles, labels)
    found = _measure_gain(before, after)
    used = fitted if found["low"] > 0 else predictor.decision
    doubts: dict[str, Any] = {}
    if len(before) >= expected_dice.MIN_IMAGES:
        curves, doubts = doubt.fit_curves(
            Predictor(model, decision=used, tta=predictor.can_flip),
            chosen,
            labels=labels,
        )
        used = dataclasses.replace(used, expected_dice=curves)
    if found["low"] > 0 or doubts:
        record = {
            **found,
            "is_proven": found["low"] > 0,
            "expected_dice": doubts,
            "model": predictor.description,
            "data": config.data_dir or config.image_dir,
            "date": datetime.date.today().isoformat(),
            **environment.describe(command),
        }
        with files.reported_write_errors(path):
            decision_lib.write_file(used, path, fitted=record)
    return Calibration(
        fitted,
        found["low"] > 0,
        path,
        found,
        _describe(fitted, predictor),
        _describe(predictor.decision, predictor),
        doubts,
    )


def _choose_path(config: Config, model: str) -> str:
    """Returns the file to write, whose folder exists."""
    if not _gives_pairs(config) and not run_dir.has_flags(model):
        raise UserError(
            "--data_dir is missing; give a folder of pairs drawn as you draw."
        )
    if not config.decision:
        if run_dir.has_flags(model):
            return decision_lib.path_in(model)
        raise UserError(
            f"--decision is missing: {model} is not a run that could keep its "
            "decision; give a file to write, as "
            f"--decision={decision_lib.FILE_NAME}, and give it to predict, "
            "evaluate and export."
        )
    folder = os.path.dirname(config.decision)
    if os.path.isdir(config.decision) or not os.path.isdir(folder or os.curdir):
        raise UserError(
            f"--decision ({config.decision}) must be a file in a folder that "
            "exists."
        )
    return config.decision


def _load_pairs(
    config: Config, model: str
) -> tuple[Config, labels_lib.Labels, list[pairs.Pair]]:
    """Finds the pairs, by default those of the run's validation split.

    Of more than MAX_PAIRS so many are drawn.
    """
    own = not _gives_pairs(config)
    if run_dir.has_flags(model):
        config = run_dir.merge(run_dir.read_flags(model), config)
    else:
        names = ("segmentor", "image_size", "width")
        run_dir.check_no_model_settings(config, model, names=names)
    config = config.replace(model=model)
    labels = loading.load_labels(config)
    if own:
        where = f"the validation split of {model}"
        divided = loading.load_run_splits(config, labels, split_again=False)
        found = list(divided.validation)
    else:
        where = f"--data_dir ({config.data_dir or config.image_dir})"
        found = loading.load_pairs(
            config, labels, progress=console.bar, say=console.say
        ).pairs
    if len(found) < MIN_PAIRS:
        raise UserError(
            f"{where} holds {len(found)} pairs, and a decision is fitted to "
            f"{MIN_PAIRS} to {MAX_PAIRS}; give more with --data_dir."
        )
    if len(found) > MAX_PAIRS:
        console.say(
            f"note: {MAX_PAIRS} of the {len(found)} pairs are drawn, which are "
            "enough"
        )
        rng = np.random.default_rng(_SEED)
        drawn = rng.choice(len(found), MAX_PAIRS, replace=False)
        found = [found[index] for index in sorted(drawn)]
    return config, labels, found


def _gives_pairs(config: Config) -> bool:
    return run_dir.gives(config, ("data_dir", "image_dir"))


def _warn_of_trained(config: Config, chosen: Sequence[pairs.Pair]) -> None:
    trained = loading.find_trained(config, chosen)
    if trained:
        console.say(
            f"warning: {len(trained)} of the {len(chosen)} pairs may be images "
            "that the model was trained on; it knows how their label maps were "
            "drawn, so what is fitted to them may not suit new images"
        )


def _candidate_styles(styles: Styles, present: Decision) -> list[str]:
    """Lists the styles to try; the first, "", is that of the decision."""
    if not styles.count:
        return [""]
    candidates = [MEAN, *styles.names]
    if styles.count <= MAX_PAIRED_STYLES:
        candidates += map(JOIN.join, itertools.combinations(styles.names, 2))
    own = present.style or styles.mean
    return ["", *(text for text in candidates if styles.mixture(text) != own)]


def _fit(
    config: Config,
    predictor: "Predictor",
    chosen: Sequence[pairs.Pair],
    styles: Sequence[str],
    labels: labels_lib.Labels,
) -> tuple[Decision, np.ndarray, np.ndarray]:
    """Fits a decision.

    Returns:
      The decision; the Dice of every pair with the present one and with one
      that was fitted without the pair, float [pairs] each.
    """
    fits: list[calibration.Fit] = []
    for style in styles:  # one at a time, for their maps take memory
        samples = _take_samples(
            config, predictor, chosen, style=style, labels=labels
        )
        scorer = calibration.Scorer(samples, multiclass=labels.multiclass)
        # Those of the decision are for its style.
        thresholds = (() if fits else predictor.decision.thresholds) or (
            (decision_lib.THRESHOLD,) * labels.count
        )
        if not fits:
            before = scorer.dice(thresholds)
        fits.append(calibration.fit(scorer, thresholds))
    best, after = calibration.choose(fits)
    mixture: tuple[float, ...] = predictor.decision.style
    if styles[best]:
        mixture = predictor.styles.mixture(styles[best])
    return Decision(fits[best].thresholds, mixture), before, after


def _take_samples(
    config: Config,
    predictor: "Predictor",
    chosen: Sequence[pairs.Pair],
    *,
    style: str,
    labels: labels_lib.Labels,
) -> list[calibration.Sample]:
    """Runs the model on every pair; reports those that cannot be read."""
    samples, problems = [], []
    for pair in console.bar(chosen, desc=style or "predicting", unit="image"):
        try:
            image, true = label_maps.read_pair(pair, labels)
            probability_map = predictor.probability_map(image, style=style)
        except Exception as error:
            if not failures.concerns_one_file(error):
                raise
            problems.append(failures.describe(error) or str(error))
            continue
        samples.append(
            calibration.Sample(
                agreement.thin_out(probability_map), agreement.thin_out(true)
            )
        )
    loading.report_problems(config, problems, say=console.say)
    if len(samples) < MIN_PAIRS:
        raise UserError(
            f"{len(samples)} of the {len(chosen)} pairs can be read, and a "
            f"decision is fitted to {MIN_PAIRS} or more; add some."
        )
    return samples


def _measure_gain(before: np.ndarray, after: np.ndarray) -> dict[str, Any]:
    """Compares the Dice of pairs; they prove a gain if low is above 0."""
    gain, low, high = bootstrap.paired_bootstrap(after, before, seed=_SEED)
    return {
        "pairs": len(before),
        "dice_before": float(before.mean()),
        "dice_after": float(after.mean()),
        "gain": gain,
        "low": low,
        "high": high,
        "level": bootstrap.LEVEL,
        "seed": _SEED,
    }


def _describe(decision: Decision, predictor: "Predictor") -> str:
    """Describes a decision in words, the default one, too."""
    labels, styles = predictor.labels, predictor.styles
    complete = Decision(
        decision.thresholds_of(labels.count), decision.style or styles.mean
    )
    return decision_lib.describe(complete, labels.names, styles)
