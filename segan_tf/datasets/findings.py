"""What reading all label maps tells about them together.

--mode=check and training find it in the same way: `look_at` describes one label
map while it is in memory, and `judge` sums up.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from segan_tf import config
from segan_tf import labels as labels_lib

# A label map is probably inverted if it marks most of the image's border and
# little of its middle: a lesion may touch the border, but photographers place
# it in the middle.
_BORDER_SHARE = 0.9
_MIDDLE_SHARE = 0.5
# Of the label maps; more empty ones than that are named once more.
_MANY_EMPTY_SHARE = 0.5
TRAINING = "label maps for training"
_SHOWN = 3  # findings of one kind; the rest are counted


@dataclasses.dataclass(frozen=True)
class MapFacts:
    """What one label map tells.

    Attributes:
      marked: of each label, whether it marks anything.
      value: of the file, what marks the only label; 0 if nothing does, or if
        the file can hold no other value, or a labels.json names the values.
      palette: (index, 0xRRGGBB) of the colors used, if indices are read.
      oddity: what is odd about it, or "".
    """

    marked: tuple[bool, ...]
    value: int = 0
    palette: tuple[tuple[int, int], ...] = ()
    oddity: str = ""

    @classmethod
    def from_json(cls, saved: Mapping[str, Any]) -> "MapFacts":
        """Restores what `dataclasses.asdict` made."""
        return cls(
            tuple(saved["marked"]),
            saved["value"],
            tuple((index, color) for index, color in saved["palette"]),
            saved["oddity"],
        )


@dataclasses.dataclass(frozen=True)
class Judgment:
    """What the label maps of a run tell together.

    Attributes:
      errors: why it would be wrong to train on them.
      warnings: what is odd about them.
    """

    errors: tuple[str, ...]
    warnings: tuple[str, ...]


def look_at(
    paths: Sequence[str],
    label_map: np.ndarray,
    *,
    value: int = 0,
    palette: Sequence[tuple[int, int]] = (),
) -> MapFacts:
    """Describes a label map.

    Args:
      paths: of its files, for the message.
      label_map: uint8 [height, width, labels] in {0, 1}.
      value: see `MapFacts`.
      palette: see `MapFacts`.
    """
    planes = np.moveaxis(label_map, -1, 0)
    marked = tuple(bool(plane.any()) for plane in planes)
    oddity = _find_oddity(", ".join(paths), label_map) if any(marked) else ""
    if not any(marked):
        oddity = f"{', '.join(paths)} is empty, it marks nothing"
    return MapFacts(marked, value, tuple(palette), oddity)


def judge(
    facts: Mapping[str, MapFacts],
    labels: labels_lib.Labels,
    *,
    what: str = "label maps",
) -> Judgment:
    """Finds what is wrong or odd about label maps that belong together.

    Args:
      facts: from id to what its label map tells.
      labels: of the label maps.
      what: names them, in messages.
    """
    errors = [
        *_find_nothing_marked(facts, what),
        *_find_different_values(facts),
        *_find_different_palettes(facts),
    ]
    warnings = summarize_lines(
        {name: fact.oddity for name, fact in facts.items() if fact.oddity}
    )
    empty = sum(not any(fact.marked) for fact in facts.values())
    if empty > _MANY_EMPTY_SHARE * len(facts):
        warnings.append(f"{empty} of the {len(facts)} {what} mark nothing")
    if labels.count > 1:
        warnings += [
            f"{name}: in none of the {len(facts)} {what}"
            for i, name in enumerate(labels.names)
            if facts and not any(fact.marked[i] for fact in facts.values())
        ]
    return Judgment(tuple(errors), tuple(warnings))


def report(
    facts: Mapping[str, MapFacts],
    labels: labels_lib.Labels,
    *,
    what: str,
    say: Callable[[str], None],
    others: Mapping[str, MapFacts] | None = None,
) -> None:
    """Reports what is wrong or odd about the label maps that are used.

    Args:
      facts: of the label maps, from id.
      labels: of the label maps.
      what: names them, in messages.
      say: is called with each warning.
      others: of label maps that must go with them, such as for validation.

    Raises:
      UserError: it would be wrong to use them.
    """
    judgment = judge(facts, labels, what=what)
    errors = judgment.errors
    if others and not errors:
        errors = judge({**facts, **others}, labels).errors
    if errors:
        raise config.UserError("; ".join(errors) + ".")
    for warning in judgment.warnings:
        say(f"warning: {warning}")


def summarize_lines(lines: Mapping[str, str]) -> list[str]:
    """Returns the first lines, and the number of the others."""
    shown = list(lines.values())[:_SHOWN]
    if len(lines) > _SHOWN:
        shown.append(
            f"and {len(lines) - _SHOWN} more like these; --mode=check names all"
        )
    return shown


def _find_nothing_marked(
    facts: Mapping[str, MapFacts], what: str
) -> Iterable[str]:
    if facts and not any(any(fact.marked) for fact in facts.values()):
        yield (
            f"none of the {len(facts)} {what} marks anything: every pixel is "
            "background; give label maps in which the label is not 0 (black)"
        )


def _find_different_values(facts: Mapping[str, MapFacts]) -> Iterable[str]:
    """Names the values if one label is marked by different ones."""
    first: dict[int, str] = {}
    for name, fact in facts.items():
        if fact.value:
            first.setdefault(fact.value, name)
    if len(first) > 1:
        found = ", ".join(
            f"{value} (as in {name})" for value, name in sorted(first.items())
        )
        named = ", ".join(f'"{value}": "lesion"' for value in sorted(first))
        yield (
            "label maps of one label mark it with different values in "
            f"different files, {found}; if these are several labels, pass "
            f"--num_labels={len(first)} and name them in a "
            f"{labels_lib.FILE_NAME}; if they are one, write {{{named}}} there"
        )


def _find_different_palettes(facts: Mapping[str, MapFacts]) -> Iterable[str]:
    """Names an index that is of different colors in different files."""
    seen: dict[int, tuple[int, str]] = {}
    for name, fact in facts.items():
        for index, color in fact.palette:
            other, other_name = seen.setdefault(index, (color, name))
            if other != color:
                yield (
                    f"the palette color {index} of label maps is "
                    f"#{other:06x} in {other_name} and #{color:06x} in {name}, "
                    "so the number means different labels; name the label of "
                    f"each color in a {labels_lib.FILE_NAME}, as "
                    f'{{"#{color:06x}": "name"}}'
                )
                return


def _find_oddity(path: str, label_map: np.ndarray) -> str:
    ends = (label_map[[0, -1]], label_map[:, [0, -1]])
    border = np.concatenate([end.any(axis=2).ravel() for end in ends]).mean()
    if border <= _BORDER_SHARE:
        return ""
    if label_map.any(axis=2).all():
        return f"{path} is full, it marks the whole image"
    height, width, _ = label_map.shape
    rows = slice(height // 3, height - height // 3)
    columns = slice(width // 3, width - width // 3)
    middle = label_map[rows, columns].any(axis=2).mean()
    if middle < _MIDDLE_SHARE:
        return (
            f"{path} may be inverted, it marks {border:.0%} of "
            f"the border and {middle:.0%} of the middle"
        )
    return ""
