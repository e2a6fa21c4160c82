"""Fills the tables and the plot of docs/research/critic.md from the records.

Usage: python benchmarks/critic/analyze.py [OUT]
OUT has records, step_costs.json, pulls.json and quality.json; by default those
committed here.
"""

import json
import pathlib
import sys
from collections.abc import Iterable

import forest_plot
import outcomes
import tables
from arms import ARMS
from regimes import REGIMES

HERE = pathlib.Path(__file__).parent
PAGE = HERE.parent.parent / "docs" / "research" / "critic.md"
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


def main(argv: list[str]) -> None:
    """Fills the page and draws the plot."""
    out = pathlib.Path(argv[1]) if len(argv) > 1 else HERE
    records = outcomes.read_records(out / "records")
    costs, pulls, quality = (
        json.loads((out / f"{name}.json").read_text())
        for name in ("step_costs", "pulls", "quality")
    )
    page = PAGE.read_text()
    for name, lines in tables.make(records, costs | pulls, quality).items():
        page = fill(page, name, lines)
    PAGE.write_text(page)
    rows = [
        (f"{REGIMES[name].title}: {ARMS[arm].title}", one)
        for name in REGIMES
        for arm, one in outcomes.estimates(records, name).items()
    ]
    PAGE.with_suffix(".svg").write_text(forest_plot.draw(rows))


if __name__ == "__main__":
    main(sys.argv)
