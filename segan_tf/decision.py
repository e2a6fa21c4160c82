"""The decision of a model: how its probabilities become label maps.

A threshold for each label and the annotation style to draw in belong to whoever
drew the label maps, not to the weights. `--mode=calibrate` fits them to a few
pairs and writes them to a file.
"""

import dataclasses
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

from segan_tf import expected_dice as expected_dice_lib
from segan_tf import records
from segan_tf.errors import UserError
from segan_tf.styles import JOIN, MEAN, Styles

FILE_NAME = "decision.json"
THRESHOLD = 0.5  # where no other is known; the paper, Metrics

_THRESHOLDS, _STYLE, _FITTED = "thresholds", "style", "fitted"
_EXPECTED = "expected_dice"
_LOW = "low"  # the expected Dice below which clients warn
_OLD_THRESHOLD = "threshold"  # of all labels, in contracts of earlier exports


@dataclasses.dataclass(frozen=True)
class Decision:
    """The thresholds and the style that a model predicts with.

    Attributes:
      thresholds: one for each label, in (0, 1); empty: 0.5 each.
      style: the weight of each style; empty: the mean style.
      expected_dice: curves by kind, see `expected_dice.KINDS`; empty where
        they are not known. They decide nothing.
    """

    thresholds: tuple[float, ...] = ()
    style: tuple[float, ...] = ()
    expected_dice: Mapping[str, expected_dice_lib.Curve] = dataclasses.field(
        default_factory=dict, compare=False
    )

    def thresholds_of(self, count: int) -> tuple[float, ...]:
        """Returns the threshold of each of so many labels."""
        return self.thresholds or (THRESHOLD,) * count


DEFAULT = Decision()


def description(decision: Decision, *, num_labels: int) -> dict[str, Any]:
    """Returns the decision's part of an exported model's description.

    The style is not in it: it is part of the exported weights.
    """
    found: dict[str, Any] = {
        _THRESHOLDS: list(decision.thresholds_of(num_labels))
    }
    if decision.expected_dice:
        found[_EXPECTED] = {
            **expected_dice_lib.to_json(decision.expected_dice),
            _LOW: expected_dice_lib.LOW,
        }
    return found


def described(content: Mapping[str, Any]) -> Decision:
    """Returns the decision of a `description`, or of an older one.

    Thresholds that are all 0.5 are left out, as in the default decision.

    Raises:
      ValueError: a number is impossible.
      KeyError, TypeError: something is missing, or no number.
    """
    if _THRESHOLDS not in content and _OLD_THRESHOLD in content:
        count = len(content["label_names"])
        content = {_THRESHOLDS: [content[_OLD_THRESHOLD]] * count}
    thresholds = tuple(map(float, content.get(_THRESHOLDS, ())))
    style = tuple(map(float, content.get(_STYLE, ())))
    curves = expected_dice_lib.from_json(content.get(_EXPECTED, {}))
    if not all(0 < threshold < 1 for threshold in thresholds):
        raise ValueError(f"thresholds {list(thresholds)} are not in (0, 1)")
    if style and not (
        all(weight >= 0 for weight in style)
        and math.isclose(sum(style), 1, abs_tol=1e-6)
    ):
        raise ValueError(f"the weights {list(style)} of styles do not sum to 1")
    if set(thresholds) == {THRESHOLD}:
        thresholds = ()
    return Decision(thresholds, style, curves)


def path_in(folder: str | os.PathLike[str]) -> str:
    """Returns the path of the decision of a run."""
    return os.path.join(folder, FILE_NAME)


def read(folder: str | os.PathLike[str]) -> Decision:
    """Reads the decision of a run; the default one if there is none.

    Raises:
      UserError: decision.json cannot be read.
    """
    path = path_in(folder)
    return read_file(path) if os.path.lexists(path) else DEFAULT


def read_file(path: str | os.PathLike[str]) -> Decision:
    """Reads a decision that `write_file` wrote.

    Raises:
      UserError: the file cannot be read, or holds no decision.
    """
    try:
        content = records.read(path, kind=FILE_NAME)
        if not {_THRESHOLDS, _STYLE} <= set(content):
            raise ValueError(f"{_THRESHOLDS} or {_STYLE} is missing")
        return described(content)
    except records.NewerFormatError:
        raise
    except OSError as error:
        raise UserError(
            f"the decision {path} cannot be read ({error.strerror}); give a "
            "file that --mode=calibrate wrote."
        ) from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(
            f"the decision {path} cannot be understood ({error}); write it "
            "again with --mode=calibrate, or remove it."
        ) from error


def read_given(path: str) -> Decision | None:
    """Reads the file that --decision names, if it is given.

    Raises:
      UserError: as for `read_file`.
    """
    return read_file(path) if path else None


def write_file(
    decision: Decision,
    path: str | os.PathLike[str],
    *,
    fitted: Mapping[str, Any] | None = None,
) -> None:
    """Writes a decision, whole or not at all.

    Args:
      decision: what `read_file` returns again.
      path: of the file, such as decision.json in the folder of a run.
      fitted: what it was fitted to and what it gains, for the record.

    Raises:
      OSError: the folder is missing or read-only, or the disk is full.
    """
    content: dict[str, Any] = {
        _THRESHOLDS: list(decision.thresholds),
        _STYLE: list(decision.style),
    }
    if decision.expected_dice:
        content[_EXPECTED] = expected_dice_lib.to_json(decision.expected_dice)
    if fitted:
        content[_FITTED] = dict(fitted)
    records.write(path, content, kind=FILE_NAME)


def check_fits(
    decision: Decision, *, num_labels: int, styles: Styles, model: str
) -> None:
    """Checks that a decision is for a model with these labels and styles.

    Args:
      decision: of any model.
      num_labels: of the model.
      styles: of the model.
      model: its name, for the error.

    Raises:
      UserError: it is for another number of labels or styles.
    """
    for what, given, expected in (
        ("label", decision.thresholds, num_labels),
        ("style", decision.style, styles.count),
    ):
        if given and len(given) != expected:
            raise UserError(
                f"the decision (--decision, or {FILE_NAME} of the run) is for "
                f"a model with {len(given)} {what}s, and {model} has "
                f"{expected}; calibrate it with --mode=calibrate."
            )


def describe(
    decision: Decision, label_names: Sequence[str], styles: Styles
) -> str:
    """Describes a decision in words; "" for the default one.

    >>> describe(Decision((0.35,)), ("lesion",), Styles())
    'threshold 0.35'
    """
    parts = []
    if decision.thresholds and len(label_names) == 1:
        parts.append(f"threshold {decision.thresholds[0]:g}")
    elif decision.thresholds:
        pairs = zip(label_names, decision.thresholds, strict=True)
        listed = ", ".join(f"{name} {value:g}" for name, value in pairs)
        parts.append(f"thresholds {listed}")
    if decision.style:
        parts.append(f"style {name_mixture(decision.style, styles)}")
    return ", ".join(parts)


def name_mixture(mixture: Sequence[float], styles: Styles) -> str:
    """Names a mixture of styles, as `styles.Styles.mixture` reads it.

    >>> name_mixture((0.5, 0.5), Styles(("T1", "T2"), (0.75, 0.25)))
    'T1+T2'
    """
    if tuple(mixture) == styles.mean:
        return MEAN
    shared = [
        name
        for name, weight in zip(styles.names, mixture, strict=True)
        if weight
    ]
    if styles.mixture(JOIN.join(shared)) == tuple(mixture):
        return JOIN.join(shared)
    return ", ".join(
        f"{weight:.2f} {name}"
        for name, weight in zip(styles.names, mixture, strict=True)
    )


def score_factors(thresholds: Sequence[float]) -> list[float]:
    """Returns the score per probability of each multiclass label.

    That is (1 - t) / t of its threshold t, see
    `imaging.preprocessing.decide_label_map`.
    """
    return [(1 - threshold) / threshold for threshold in thresholds]
