"""Fills the tables and the plot of docs/research/critic.md from the records.

Usage: python benchmarks/critic/analyze.py [OUT]
OUT has records, step_costs.json and quality.json; by default those committed
here.
"""

import json
import pathlib
import re
import sys
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import forest_plot
import numpy as np
import plan
from arms import ARMS, BASELINE
from comparison import Estimate, estimate, pooled, seed_variance
from plan import CONFIRMING_SEEDS, SEEDS, Records, Run
from regimes import REGIMES, SCREENED

HERE = pathlib.Path(__file__).parent
PAGE = HERE.parent.parent / "docs" / "research" / "critic.md"
PLOT = PAGE.with_suffix(".svg")
_BLOCK = "<!-- {} -->\n"
_BLOCK_END = "<!-- end -->"


def read_records(folder: pathlib.Path) -> dict[str, Any]:
    """Reads all records, by their runs' names."""
    return {
        path.stem: json.loads(path.read_text())
        for path in sorted(folder.glob("*.json"))
    }


def differences(
    records: Records,
    regime: str,
    arm: str,
    *,
    kind: str = "steps",
    seeds: Sequence[int] = SEEDS,
    metric: str = "dice",
    baseline: str = BASELINE,
) -> np.ndarray | None:
    """Computes a metric less the baseline's of the same seed.

    Returns:
      float [seeds, images], or patients where several images are of one;
      None if a record is missing, or a run diverged.
    """
    rows = []
    for seed in seeds:
        names = (
            Run(regime, arm, kind, seed).name,
            Run(regime, baseline, "steps", seed).name,
        )
        if any("images" not in records.get(name, {}) for name in names):
            return None
        ours, theirs = (
            np.array(records[name]["images"][metric], np.float64)
            for name in names
        )
        rows.append(ours - theirs)
    found = np.stack(rows)
    if not REGIMES[regime].is_grouped:
        return found
    ids = records[names[0]]["images"]["ids"]
    patients = np.array([name.split("_")[0] for name in ids])
    with warnings.catch_warnings():
        # Of a patient no slice may have the metric.
        warnings.filterwarnings("ignore", "Mean of empty slice")
        return np.stack(
            [
                np.nanmean(found[:, patients == patient], axis=1)
                for patient in np.unique(patients)
            ],
            axis=1,
        )


def estimates(
    records: Records, regime: str, metric: str = "dice", **where: Any
) -> dict[str, Estimate]:
    """Compares the losses of a regime with the baseline.

    Args:
      records: of all runs.
      regime: of `regimes.REGIMES`.
      metric: of the records.
      **where: kind, seeds and baseline, of `differences`.
    """
    found = {}
    for arm in ARMS:
        if arm != where.get("baseline", BASELINE):
            found[arm] = differences(
                records, regime, arm, metric=metric, **where
            )
    complete = {arm: d for arm, d in found.items() if d is not None}
    if not complete:
        return {}
    between = seed_variance(list(complete.values()))
    return {arm: estimate(d, between) for arm, d in complete.items()}


def winners(records: Records) -> list[tuple[str, str]]:
    """Lists regimes and losses with an interval above 0 at equal steps."""
    return [
        (regime, arm)
        for regime in REGIMES
        for arm, found in estimates(records, regime).items()
        if found.interval[0] > 0 and arm not in REGIMES[regime].controls
    ]


def screening_table(records: Records) -> Iterable[str]:
    """Lists the Dice of every loss in every screening."""
    yield _row("loss", *(REGIMES[name].title for name in SCREENED))
    yield _row(*["---"] * (1 + len(SCREENED)))
    left = {name: plan.chosen(records, name) for name in SCREENED}
    for arm, row in ARMS.items():
        cells = []
        for regime in SCREENED:
            record = records[Run(regime, arm, "screening", 0).name]
            text = f"{plan.mean_dice(record):.4f}"
            cells.append(f"**{text}**" if arm in left[regime] else text)
        yield _row(row.title, *cells)


def steps_table(records: Records, **where: Any) -> Iterable[str]:
    """Lists the differences of every regime at equal steps or time."""
    yield _row(
        "regime",
        "loss",
        "Dice",
        "difference, 95 % interval",
        "HD95, px",
        "ASSD, px",
        "IoU < 0.65",
        "components",
        "clDice",
        "false labels",
    )
    yield _row(*["---"] * 10)
    for name, regime in REGIMES.items():
        found = estimates(records, name, **where)
        if not found:
            continue
        seeds = where.get("seeds", SEEDS)
        base = [records[Run(name, BASELINE, "steps", s).name] for s in seeds]
        level = np.mean([plan.mean_dice(record) for record in base])
        yield _row(
            regime.title,
            ARMS[BASELINE].title,
            f"{level:.4f}",
            "",
            *(_level(base, metric) for metric in _OTHERS),
        )
        for arm, one in found.items():
            others = [
                _difference(
                    differences(records, name, arm, metric=metric, **where)
                )
                for metric in _OTHERS
            ]
            dice = f"{level + one.mean:.4f}"
            yield _row("", ARMS[arm].title, dice, _with_interval(one), *others)


_OTHERS = ("hd95", "assd", "low", "components", "cldice", "false")


def power_table(records: Records) -> Iterable[str]:
    """Lists what the design could have seen, by regime and over all."""
    yield _row(
        "regime",
        "standard deviation between seeds",
        "smallest difference seen in four of five studies",
    )
    yield _row(*["---"] * 3)
    for name, regime in REGIMES.items():
        found = estimates(records, name)
        if not found:
            continue
        all_arms = [differences(records, name, arm) for arm in found]
        variance, _ = seed_variance([d for d in all_arms if d is not None])
        seen = np.mean([one.smallest_seen for one in found.values()])
        yield _row(regime.title, f"{variance**0.5:.4f}", f"{seen:.4f}")


def overall_table(records: Records) -> Iterable[str]:
    """Averages each loss over the regimes that it was compared in."""
    yield _row("loss", "regimes", "mean difference, 95 % interval", "could see")
    yield _row(*["---"] * 4)
    for arm, row in ARMS.items():
        of_arm = [
            found[arm]
            for found in (estimates(records, name) for name in REGIMES)
            if arm in found
        ]
        if of_arm:
            one = pooled(of_arm)
            yield _row(
                row.title,
                str(len(of_arm)),
                _with_interval(one),
                f"{one.smallest_seen:.4f}",
            )


def costs_table(costs: dict[str, dict[str, float]]) -> Iterable[str]:
    """Lists the time of each loss's step in that of the baseline's."""
    yield _row("loss", *(REGIMES[name].title for name in costs))
    yield _row(*["---"] * (1 + len(costs)))
    for arm, row in ARMS.items():
        yield _row(row.title, *(f"{of[arm]:.2f}" for of in costs.values()))


def quality_table(quality: dict[str, Any]) -> Iterable[str]:
    """Lists what predicts the Dice of a label map, by the loss of the run."""
    yield _row(
        "loss",
        "score",
        "rank correlation with Dice",
        "less that of agreement of views, 95 % interval",
        "worst tenth found",
    )
    yield _row(*["---"] * 5)
    for arm, measured in quality["runs"].items():
        title = ARMS[arm].title
        for name, row in measured.items():
            gain = f"{row['low']:+.3f} to {row['high']:+.3f}"
            yield _row(
                title,
                name,
                f"{row['rank_correlation']:.3f}",
                "" if row["low"] == row["high"] else gain,
                f"{row['found_of_worst']:.2f}",
            )
            title = ""


def _level(records: Sequence[Any], metric: str) -> str:
    values = [
        np.array(record["images"][metric], np.float64) for record in records
    ]
    defined = np.concatenate(values)
    defined = defined[~np.isnan(defined)]
    return f"{defined.mean():.3f}" if defined.size else ""


def _difference(found: np.ndarray | None) -> str:
    if found is None or np.isnan(found).all():
        return ""
    return f"{np.nanmean(found):+.3f}"


def _with_interval(one: Estimate) -> str:
    low, high = one.interval
    text = f"{one.mean:+.4f} ({low:+.4f} to {high:+.4f})"
    return f"**{text}**" if low > 0 or high < 0 else text


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


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


def tables(
    records: Records, costs: dict[str, Any], quality: dict[str, Any]
) -> dict[str, list[str]]:
    """Makes every table."""
    made = {
        "costs": list(costs_table(costs["costs"])),
        "screening": list(screening_table(records)),
        "steps": list(steps_table(records)),
        "power": list(power_table(records)),
        "overall": list(overall_table(records)),
        "time": list(steps_table(records, kind="time")),
        "confirmation": list(steps_table(records, seeds=CONFIRMING_SEEDS)),
        "quality": list(quality_table(quality)),
    }
    return {
        name: lines if len(lines) > 2 else ["None."]
        for name, lines in made.items()
    }


def main(argv: list[str]) -> None:
    """Fills the page and draws the plot."""
    out = pathlib.Path(argv[1]) if len(argv) > 1 else HERE
    records = read_records(out / "records")
    costs, quality = (
        json.loads((out / f"{name}.json").read_text())
        for name in ("step_costs", "quality")
    )
    page = PAGE.read_text()
    for name, lines in tables(records, costs, quality).items():
        page = fill(page, name, lines)
    PAGE.write_text(re.sub(r"\n{3,}", "\n\n", page))
    rows = [
        (f"{REGIMES[name].title}: {ARMS[arm].title}", one)
        for name in REGIMES
        for arm, one in estimates(records, name).items()
    ]
    PLOT.write_text(forest_plot.draw(rows))


if __name__ == "__main__":
    main(sys.argv)
