"""The labels to segment: their names, kind, colors and marks in files."""

import dataclasses
import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from segan_tf import config, files, records

FILE_NAME = "labels.json"
# The palette of Okabe and Ito, distinguishable with every common color
# blindness, and white; first the colors that differ most from skin and gray.
COLORS = (
    (86, 180, 233),  # sky blue
    (230, 159, 0),  # orange
    (0, 158, 115),  # bluish green
    (240, 228, 66),  # yellow
    (213, 94, 0),  # vermilion
    (0, 114, 178),  # blue
    (204, 121, 167),  # reddish purple
    (255, 255, 255),  # white
)

_BACKGROUND = "background"
# Predicted label maps of a label are called <id>_<slug>.png; these names are
# taken by other files.
_TAKEN_SLUGS = ("overlay", "label_map")
_MAX_NAME = 100  # bytes in UTF-8; it becomes a part of file names
_COLOR = re.compile(r"#[0-9a-f]{6}", re.IGNORECASE)
_MAX_VALUE = 65535  # of a 16-bit gray image


@dataclasses.dataclass(frozen=True)
class Labels:
    """The labels of a run, without the background.

    Attributes:
      names: of the labels 1..k, in the order of the channels.
      multiclass: at most one label at a pixel; if false, any number
        (multilabel).
      marks: (value, label number) of everything a label map may hold, where
        label 0 is the background. A value is a gray value or palette index or,
        with by_color, 0xRRGGBB. If empty, label j has the value j, and a
        single label may have any value but 0.
      by_color: label maps mark their labels with colors.
    """

    names: tuple[str, ...] = ("lesion",)
    multiclass: bool = True
    marks: tuple[tuple[int, int], ...] = ()
    by_color: bool = False

    @property
    def count(self) -> int:
        """The number of labels, k."""
        return len(self.names)

    @property
    def label_kind(self) -> str:
        """One of config.LABEL_KINDS."""
        multiclass, multilabel = config.LABEL_KINDS
        return multiclass if self.multiclass else multilabel

    @property
    def slugs(self) -> tuple[str, ...]:
        """The names as used in file and column names."""
        return tuple(slug(name) for name in self.names)

    @property
    def colors(self) -> tuple[tuple[int, int, int], ...]:
        """An RGB color for each label, repeating after eight."""
        return colors(self.count)


LESION = Labels()  # the only label of the paper


def colors(count: int) -> tuple[tuple[int, int, int], ...]:
    """Returns so many RGB colors, which repeat after eight."""
    return tuple(COLORS[i % len(COLORS)] for i in range(count))


def slug(name: str) -> str:
    """Reduces a name to letters, digits and underscores: "ruler_mark"."""
    # Composed, since a combining accent is no letter.
    composed = unicodedata.normalize("NFC", name.strip().lower())
    short = re.sub(r"\W+", "_", composed).strip("_")
    return f"{short}_label" if short in _TAKEN_SLUGS else short


def default_names(count: int) -> tuple[str, ...]:
    """Returns names for labels without names."""
    if count == 1:
        return Labels.names
    return tuple(f"label {number}" for number in range(1, count + 1))


def make_labels(
    names: Sequence[str], *, where: str, multiclass: bool = True
) -> Labels:
    """Makes labels that label maps mark by their numbers.

    Args:
      names: of the labels 1..k.
      where: the flag or file that they come from, for the error.
      multiclass: at most one label at a pixel.

    Raises:
      UserError: there is no name, too many, or two that are too similar.
    """
    _check_names(names, where)
    return Labels(tuple(names), multiclass)


def read_labels(path: str, *, multiclass: bool = True) -> Labels:
    """Reads a labels.json, which names the values or colors of label maps.

    ``{"1": "right ventricle", "2": "myocardium"}`` names gray values or palette
    indices, ``{"#ff0000": "lesion"}`` names colors. A value named null or
    "background" is not a label, and two values with one name are one label.
    Values and colors without a name are errors in a label map, except that 0,
    or black unless it is named, is always background.

    Raises:
      UserError: the file cannot be read or has other content.
    """
    try:
        with files.open_regular(path, encoding="utf-8-sig") as file:
            named = json.load(file, object_pairs_hook=_unique)
        if isinstance(named, dict):
            named = records.without_format(named, path, kind=FILE_NAME)
    except OSError as error:
        raise config.UserError(
            f"{path} cannot be read ({error.strerror}); give a labels.json."
        ) from error
    except config.UserError:  # of a newer format
        raise
    except _NamedTwiceError as error:
        raise config.UserError(
            f"{path} names {error.args[0]!r} twice; keep one of the names."
        ) from error
    except (ValueError, RecursionError) as error:
        raise config.UserError(
            f"{path} is not JSON ({error}); write "
            '{"1": "first name", "2": "second name"}.'
        ) from error
    return _labels_of(named, path, multiclass)


class _NamedTwiceError(Exception):
    """A value has two names; json.load would keep the last one."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Makes the object of a JSON file.

    Raises:
      _NamedTwiceError: a key is there twice.
    """
    named: dict[str, Any] = {}
    for key, value in pairs:
        if key in named:
            raise _NamedTwiceError(key)
        named[key] = value
    return named


def numbered(labels: Labels) -> dict[str, str]:
    """Returns the content of the labels.json of predicted label maps."""
    return {str(i): name for i, name in enumerate(labels.names, start=1)}


def description(labels: Labels) -> dict[str, object]:
    """Returns the labels' part of an exported model's description."""
    return {
        "label_names": list(labels.names),
        "label_kind": labels.label_kind,
    }


def described(description: Mapping[str, Any]) -> Labels:
    """Returns the labels of a `description`.

    Raises:
      KeyError: a part is missing.
      TypeError: the names are not a list of texts.
      UserError: a name cannot be used.
    """
    names = description["label_names"]
    if not isinstance(names, list | tuple) or not all(
        isinstance(name, str) for name in names
    ):
        raise TypeError("label_names is no list of names")
    _check_names(names, "label_names")
    kind = config.renamed(description)["label_kind"]
    return Labels(tuple(names), kind == config.LABEL_KINDS[0])


def _labels_of(named: Any, path: str, multiclass: bool) -> Labels:
    if not isinstance(named, Mapping) or not all(
        name is None or isinstance(name, str) for name in named.values()
    ):
        raise config.UserError(
            f"{path} must map values or colors to names, such as "
            '{"1": "first name", "2": "second name"}.'
        )
    by_color = any(mark.startswith("#") for mark in named)
    names: list[str] = []
    marks = {0: 0}
    seen: dict[int, str] = {}
    for mark, name in named.items():
        value = _value_of(mark, by_color, path)
        if value in seen:
            raise config.UserError(
                f"{path} names {seen[value]!r} and {mark!r}, which are the "
                "same; keep one."
            )
        seen[value] = mark
        if name is None or name.strip().lower() == _BACKGROUND:
            marks[value] = 0
            continue
        if value == 0 and not by_color:
            raise config.UserError(
                f"{path} names 0 {name!r}, but 0 is the background; give the "
                "label another value."
            )
        if name not in names:
            names.append(name)
        marks[value] = names.index(name) + 1
    _check_names(names, path)
    return Labels(tuple(names), multiclass, tuple(marks.items()), by_color)


def _value_of(mark: str, by_color: bool, path: str) -> int:
    if by_color and _COLOR.fullmatch(mark):
        return int(mark[1:], 16)
    if not by_color and mark.isdecimal():
        digits = mark.lstrip("0") or "0"
        if len(digits) <= len(str(_MAX_VALUE)) and int(digits) <= _MAX_VALUE:
            return int(digits)
    shown = mark if len(mark) <= _MAX_NAME else f"{mark[:_MAX_NAME]}..."
    raise config.UserError(
        f"{path} names {shown!r}, which is "
        + (
            "not a color; write all as #rrggbb."
            if by_color
            else f"not a value from 0 to {_MAX_VALUE} or a #rrggbb color."
        )
    )


def _check_names(names: Sequence[str], where: str) -> None:
    if not 1 <= len(names) <= config.MAX_LABELS:
        raise config.UserError(
            f"{where} names {len(names)} labels; give 1 to {config.MAX_LABELS}."
        )
    seen: dict[str, str] = {}
    for name in names:
        if not name.isprintable() or len(name.encode()) > _MAX_NAME:
            raise config.UserError(
                f"{where}: the label name {name[:_MAX_NAME]!r} is longer than "
                f"{_MAX_NAME} characters (those beyond ASCII count as 2 to 4) "
                "or not printable; rename it."
            )
        short = slug(name)
        if not short:
            raise config.UserError(
                f"{where}: the label name {name!r} has no letter or digit; "
                "rename it."
            )
        key = _as_file_system_compares(short)
        if key in seen:
            raise config.UserError(
                f"{where}: the label names {seen[key]!r} and {name!r} are "
                "too similar; rename one."
            )
        seen[key] = name


def _as_file_system_compares(short: str) -> str:
    """Returns the same text for names that are one file on some systems."""
    folded = unicodedata.normalize("NFKC", short).casefold()
    return unicodedata.normalize("NFKC", folded)
