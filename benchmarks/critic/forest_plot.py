"""Draws differences with their intervals as SVG."""

import math
from collections.abc import Sequence
from xml.sax import saxutils

from comparison import Estimate

_LEFT, _RIGHT, _ROW, _TOP = 620, 370, 20, 40  # pixels
_BOTTOM = 34
_STYLE = (
    "text{font:13px sans-serif;fill:#333}"
    "rect{fill:#fff}line{stroke:#888}"
    ".interval{stroke:#1f6feb;stroke-width:2}"
    "circle{fill:#1f6feb}.zero{stroke:#333}.dotted{stroke-dasharray:2 4}"
)


def draw(rows: Sequence[tuple[str, Estimate]]) -> str:
    """Draws a row for each difference, with its 95 % interval.

    Args:
      rows: title and difference of each.
    """
    ends = [end for _, one in rows for end in one.interval]
    step = _nice(max(map(abs, ends), default=0.01) / 3)
    limit = step * math.ceil(max(map(abs, ends), default=step) / step)

    def place(value: float) -> float:
        return _LEFT + _RIGHT * (value + limit) / (2 * limit)

    height = _TOP + _ROW * len(rows) + _BOTTOM
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_LEFT + _RIGHT + 20}"'
        f' height="{height}"><style>{_STYLE}</style>'
        '<rect width="100%" height="100%"/>'
        f'<text x="{place(0):.0f}" y="18" text-anchor="middle">'
        "Dice less that of cross-entropy + Dice</text>"
    ]
    bottom = height - _BOTTOM + 6
    for index in range(round(-limit / step), round(limit / step) + 1):
        x = place(index * step)
        kind = "dotted" if index else "zero"
        parts.append(
            f'<line class="{kind}" x1="{x:.1f}" x2="{x:.1f}" '
            f'y1="{_TOP - 10}" y2="{bottom}"/>'
            f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">'
            f"{index * step:+.3g}</text>"
        )
    for index, (title, one) in enumerate(rows):
        y = _TOP + _ROW * index + _ROW / 2
        low, high = map(place, one.interval)
        parts.append(
            f'<text x="{_LEFT - 12}" y="{y + 4:.1f}" text-anchor="end">'
            f"{saxutils.escape(title)}</text>"
            f'<line class="interval" x1="{low:.1f}" x2="{high:.1f}" '
            f'y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<circle cx="{place(one.mean):.1f}" cy="{y:.1f}" r="4"/>'
        )
    return "\n".join([*parts, "</svg>\n"])


def _nice(step: float) -> float:
    """Rounds up to 1, 2 or 5 times a power of ten."""
    power = 10 ** math.floor(math.log10(step))
    return next(power * n for n in (1, 2, 5, 10) if power * n >= step)
