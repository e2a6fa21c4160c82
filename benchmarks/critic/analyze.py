"""Fills the tables and the plots of docs/research/critic.md from the records.

Usage: python benchmarks/critic/analyze.py [OUT]
OUT has records, step_costs.json, pulls.json and quality.json; by default those
committed here. What a study has not measured yet has no rows.
"""

import json
import pathlib
import sys
from collections.abc import Iterable
from typing import Any

import forest_plot
import outcomes
import plan
import tables
from arms import short_title
from regimes import REGIMES

HERE = pathlib.Path(__file__).parent
PAGE = HERE.parent.parent / "docs" / "research" / "critic.md"
_PLOTTED = {
    "steps": "Gains of critics at equal steps, by regime",
    "time": "Gains of critics at equal time, by regime",
}
_BLOCK = "<!-- {} -->\n"
_BLOCK_END = "<!-- end -->"


def fill(page: str, name: str, lines: Iterable[str]) -> str:
    """Replaces what a page has in the block of this name.

    Raises:
      ValueError: the page has no such block.
    """
    start = _BLOCK.format(name)
    if page.count(start) != 1:
        raise ValueError(f"the page has no block {name}")
    before, rest = page.split(start)
    after = rest[rest.index(_BLOCK_END) :]
    text = "\n".join(lines)
    return f"{before}{start}\n{text}\n\n{after}"


def _plotted(records: plan.Records, kind: str) -> Iterable[forest_plot.Group]:
    """Groups the gains of critics by what they are added to."""
    for name, regime in REGIMES.items():
        found = outcomes.estimates(records, name, kind=kind)
        for loss, arms in outcomes.by_loss(records, name, found).items():
            rows = [(short_title(arm), found[arm]) for arm in arms]
            if rows:
                yield f"{regime.title}, less {short_title(loss)}", rows


def main(argv: list[str]) -> None:
    """Fills the page and draws the plots."""
    out = pathlib.Path(argv[1]) if len(argv) > 1 else HERE
    records = outcomes.read_records(out / "records")
    measured: dict[str, Any] = {"costs": {}, "pulls": {}, "runs": {}}
    for name in ("step_costs", "pulls", "quality"):
        if (out / f"{name}.json").exists():
            measured |= json.loads((out / f"{name}.json").read_text())
    page = PAGE.read_text()
    for name, lines in tables.make(records, measured).items():
        page = fill(page, name, lines)
    for kind, title in _PLOTTED.items():
        groups = list(_plotted(records, kind))
        if groups:
            plot = PAGE.with_name(f"{PAGE.stem}_{kind}.svg")
            plot.write_text(forest_plot.draw("difference in Dice", groups))
            page = fill(page, f"plot of {kind}", [f"![{title}]({plot.name})"])
    PAGE.write_text(page)


if __name__ == "__main__":
    main(sys.argv)
