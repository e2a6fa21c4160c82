"""Annotation styles: whose hand, or which tool, drew a label map.

A style is a weight for each known style, summing to 1: one-hot for a label map
of one style, equal shares where several took part, and the mean of the
training pairs where it is not known or not told.
"""

import dataclasses
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from segan_tf import labels, records
from segan_tf.errors import UserError

FILE_NAME = "styles.json"
MAX_STYLES = 32
MEAN = "mean"
ALL = "all"
NONE = "none"
UNKNOWN = "unknown"  # in reports, of pairs without a style
JOIN = "+"
_STYLES = "styles"  # in the record of a released model
_RESERVED = (MEAN, ALL, NONE, UNKNOWN)
# They become parts of names of files and signatures.
_NAME = re.compile(r"\w[\w .-]{0,39}")


@dataclasses.dataclass(frozen=True)
class Styles:
    """The styles that a segmentor can draw in; none for a plain segmentor.

    Attributes:
      names: of the styles, in the order of the weights.
      mean: the mean weights of the training pairs whose style is known.
    """

    names: tuple[str, ...] = ()
    mean: tuple[float, ...] = ()

    @property
    def count(self) -> int:
        """The number of styles."""
        return len(self.names)

    def mixture(self, text: str) -> tuple[float, ...]:
        """Returns the weight of each style.

        >>> Styles(("T1", "T2"), (0.75, 0.25)).mixture("T1+T2")
        (0.5, 0.5)

        Args:
          text: a name, several joined by "+", which share equally, or "mean".

        Raises:
          UserError: a name is not known; names those that are.
        """
        if text == MEAN:
            return self.mean
        parts = split_names(text)
        for part in parts:
            if part not in self.names:
                known = ", ".join((*self.names, MEAN)) if self.names else NONE
                raise UserError(
                    f"{part!r} is no style of the model; it knows {known}."
                )
        return tuple(parts.count(name) / len(parts) for name in self.names)


PLAIN = Styles()  # of a segmentor without styles


@dataclasses.dataclass(frozen=True)
class AssignedStyles:
    """The styles of a run, and which its label maps are drawn in.

    Attributes:
      styles: that the segmentor knows.
      of: from the normalized id of a pair to its style, names joined by "+";
        pairs of unknown style are missing.
    """

    styles: Styles = PLAIN
    of: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def mixture_of(self, pair_id: str) -> tuple[float, ...]:
        """Returns a pair's weights: the mean if its style is not known."""
        return self.styles.mixture(self.of.get(pair_id, MEAN))


UNASSIGNED = AssignedStyles()  # of a run without styles


def split_names(text: str) -> list[str]:
    """Splits "T1+T2" into its names, without blanks."""
    return [part.strip() for part in text.split(JOIN)]


def check_names(names: Sequence[str], where: str) -> None:
    """Checks that styles can be told apart and named in files.

    Raises:
      UserError: there are too many, or a name cannot be used.
    """
    if len(names) > MAX_STYLES:
        raise UserError(
            f"{where} has {len(names)} styles ({', '.join(names[:5])}, ...), "
            f"and at most {MAX_STYLES} can be learned; join those that draw "
            "alike."
        )
    by_key: dict[str, str] = {}
    for name in names:
        if not _NAME.fullmatch(name) or name.lower() in _RESERVED:
            raise UserError(
                f"{where}: {name!r} cannot be the name of a style; use up to "
                "40 letters, digits, blanks, dots, hyphens and underscores, "
                f"and none of {', '.join(_RESERVED)}."
            )
        other = by_key.setdefault(labels.slug(name), name)
        if other != name:
            raise UserError(
                f"{where} has the styles {other!r} and {name!r}, which differ "
                "only by case or punctuation; write both alike."
            )


def is_recorded(folder: str) -> bool:
    """Returns whether a run has, or had, a styles.json."""
    return os.path.lexists(os.path.join(folder, FILE_NAME))


def description(styles: Styles) -> dict[str, Any]:
    """Returns the part of a released model's record; empty without styles."""
    if not styles.count:
        return {}
    return {_STYLES: {"names": list(styles.names), "mean": list(styles.mean)}}


def described(content: Mapping[str, Any]) -> Styles:
    """Returns the styles of a `description`.

    Raises:
      KeyError, TypeError, ValueError: they are something else.
    """
    return _styles_of(content[_STYLES]) if _STYLES in content else PLAIN


def write(assigned: AssignedStyles, folder: str) -> None:
    """Writes styles.json to the folder of a run.

    Raises:
      OSError: it cannot be written.
    """
    content = {
        "names": list(assigned.styles.names),
        "mean": list(assigned.styles.mean),
        "of": dict(assigned.of),
    }
    records.write(os.path.join(folder, FILE_NAME), content)


def read(folder: str) -> AssignedStyles:
    """Reads the styles of a run; none if it was trained without.

    Raises:
      UserError: styles.json cannot be read.
    """
    path = os.path.join(folder, FILE_NAME)
    try:
        with records.reported_read_errors(path):
            return _from_json(records.read(path))
    except FileNotFoundError:
        return UNASSIGNED


def _from_json(content: Mapping[str, Any]) -> AssignedStyles:
    return AssignedStyles(
        _styles_of(content),
        {str(name): str(style) for name, style in content["of"].items()},
    )


def _styles_of(content: Mapping[str, Any]) -> Styles:
    names = tuple(str(name) for name in content["names"])
    mean = tuple(float(weight) for weight in content["mean"])
    if len(names) != len(mean):
        raise ValueError("names and mean differ in number")
    return Styles(names, mean)
