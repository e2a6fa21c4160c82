"""Draws differences with their intervals as SVG."""

import math
from collections.abc import Iterator, Sequence
from xml.sax import saxutils

from comparison import Estimate

_LEFT, _RIGHT, _ROW, _TOP = 360, 420, 20, 40  # pixels
_BOTTOM, _MARGIN = 34, 30
_STYLE = (
    "text{font:13px sans-serif;fill:#333;"
    "paint-order:stroke;stroke:#fff;stroke-width:4px}.group{font-weight:bold}"
    "rect{fill:#fff}line{stroke:#888}"
    ".interval{stroke:#1f6feb;stroke-width:2}"
    "circle{fill:#fff;stroke:#1f6feb;stroke-width:2}.clear{fill:#1f6feb}"
    ".zero{stroke:#333}.dotted{stroke-dasharray:2 4}"
)

# The title of a group, and title and difference of each of its rows.
Group = tuple[str, Sequence[tuple[str, Estimate]]]


def draw(title: str, groups: Sequence[Group]) -> str:
    """Draws the differences, with their 95 % intervals, in groups.

    A dot is filled where the interval excludes 0.

    Args:
      title: of the axis.
      groups: at least one, with at least one row.
    """
    rows = [one for _, group in groups for _, one in group]
    height = _TOP + _ROW * (len(rows) + len(groups)) + _BOTTOM
    axis = _Axis(rows, height - _BOTTOM + 6)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" height="{height}" '
        f'width="{_LEFT + _RIGHT + _MARGIN}"><style>{_STYLE}</style>',
        '<rect width="100%" height="100%"/>',
        _text(axis.place(0), 18, title, anchor="middle"),
        *axis.draw(),
    ]
    y = _TOP + _ROW / 2
    for name, group in groups:
        parts.append(_text(12, y + 4, name, anchor="start", kind="group"))
        y += _ROW
        for label, one in group:
            parts += _draw_row(axis, y, label, one)
            y += _ROW
    return "\n".join([*parts, "</svg>\n"])


class _Axis:
    """Has room for all intervals and 0, with a line at each step."""

    def __init__(self, rows: Sequence[Estimate], bottom: float) -> None:
        ends = [0.0, *(end for one in rows for end in one.interval)]
        self._step = _nice((max(ends) - min(ends)) / 6)
        self._first = math.floor(min(ends) / self._step)
        self._last = math.ceil(max(ends) / self._step)
        self._bottom = bottom

    def place(self, value: float) -> float:
        """Returns the x of a difference."""
        steps = value / self._step - self._first
        return _LEFT + _RIGHT * steps / (self._last - self._first)

    def draw(self) -> Iterator[str]:
        """Draws the lines and their differences."""
        for index in range(self._first, self._last + 1):
            x = self.place(index * self._step)
            kind = "dotted" if index else "zero"
            yield _line(kind, (x, _TOP - 10), (x, self._bottom))
            number = f"{index * self._step:+.3g}" if index else "0"
            yield _text(x, self._bottom + 18, number, anchor="middle")


def _draw_row(
    axis: _Axis, y: float, label: str, one: Estimate
) -> Iterator[str]:
    low, high = one.interval
    yield _text(_LEFT - 12, y + 4, label, anchor="end")
    yield _line("interval", (axis.place(low), y), (axis.place(high), y))
    kind = ' class="clear"' if low > 0 or high < 0 else ""
    yield f'<circle{kind} cx="{axis.place(one.mean):.1f}" cy="{y:.1f}" r="4"/>'


def _text(x: float, y: float, text: str, *, anchor: str, kind: str = "") -> str:
    attribute = f' class="{kind}"' if kind else ""
    return (
        f'<text{attribute} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">'
        f"{saxutils.escape(text)}</text>"
    )


def _line(
    kind: str, start: tuple[float, float], end: tuple[float, float]
) -> str:
    (x1, y1), (x2, y2) = start, end
    return (
        f'<line class="{kind}" x1="{x1:.1f}" x2="{x2:.1f}" '
        f'y1="{y1:.1f}" y2="{y2:.1f}"/>'
    )


def _nice(step: float) -> float:
    """Rounds up to 1, 2 or 5 times a power of ten."""
    power = 10 ** math.floor(math.log10(step))
    return next(power * n for n in (1, 2, 5, 10) if power * n >= step)
