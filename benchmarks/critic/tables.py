"""Tables of the study, as lines of Markdown."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import outcomes
import plan
from arms import (
    ADDED_CRITICS,
    ARMS,
    PIXEL_LOSSES,
    SEGAN_ALONE,
    critic_of,
    loss_of,
    short_title,
    with_critic,
)
from comparison import Estimate
from plan import CONFIRMING_SEEDS, SEEDS, Records, Run
from regimes import REGIMES, SCREENED

_OTHER_METRICS = {
    "hd95": "HD95, px",
    "assd": "ASSD, px",
    "low": "IoU < 0.65",
    "components": "components",
    "cldice": "clDice",
    "false": "false labels",
}

_POOLED = ("hd95", "components")


def make(
    records: Records, measured: dict[str, dict[str, Any]]
) -> dict[str, list[str]]:
    """Makes every table.

    Args:
      records: of all runs.
      measured: costs and pulls, by regime and critic, and runs, by loss, of
        quality.py.
    """
    costs = measured["costs"]
    made = {
        "costs": list(_costs(costs)),
        "pulls": list(_pulls(measured["pulls"])),
        "screening": list(_screening(records)),
        "steps": list(_compared(records)),
        "power": list(_power(records)),
        "overall": list(_overall(records)),
        "time": list(_compared(records, kind="time", costs=costs)),
        "confirmation": list(_compared(records, seeds=CONFIRMING_SEEDS)),
        "all seeds": list(
            _compared(records, seeds=(*SEEDS, *CONFIRMING_SEEDS))
        ),
        "quality": list(_quality(measured["runs"])),
    }
    return {
        name: lines if len(lines) > 2 else ["None."]
        for name, lines in made.items()
    }


def _costs(costs: dict[str, dict[str, float]]) -> Iterable[str]:
    """Lists the time of a step with each critic in that of one without."""
    if not costs:
        return
    yield from _head("critic", *(REGIMES[name].title for name in costs))
    for critic, row in ADDED_CRITICS.items():
        yield _row(row.title, *(f"{of[critic]:.2f}" for of in costs.values()))


def _pulls(pulls: dict[str, dict[str, float]]) -> Iterable[str]:
    """Lists the length of each critic's gradient in that of other terms'."""
    if not pulls:
        return
    titles = (REGIMES[name].title for name in pulls)
    yield from _head("critic", "weight", *titles)
    for critic, row in ADDED_CRITICS.items():
        weight = f"{row.settings['l1_weight']:g}"
        lengths = (f"{of[critic]:.2f}" for of in pulls.values())
        yield _row(row.title, weight, *lengths)


def _screening(records: Records) -> Iterable[str]:
    """Lists the Dice of every loss in every screening."""
    yield from _head("loss", *(REGIMES[name].title for name in SCREENED))
    bases = {name: plan.baseline(records, name) for name in SCREENED}
    kept = {
        name: [bases[name], *plan.chosen(records, name)] for name in SCREENED
    }
    for arm in (*PIXEL_LOSSES, SEGAN_ALONE):
        cells = (_screened(records, name, arm, kept[name]) for name in SCREENED)
        yield _row(ARMS[arm].title, *cells)
    yield _row(
        "and, added to the better of the first two:", *[""] * len(SCREENED)
    )
    for critic, row in ADDED_CRITICS.items():
        cells = (
            _screened(
                records, name, with_critic(bases[name], critic), kept[name]
            )
            for name in SCREENED
        )
        yield _row(row.title, *cells)


def _screened(
    records: Records, regime: str, arm: str, kept: Sequence[str]
) -> str:
    record = records[Run(regime, arm, "screening", 0).name]
    if "failed" in record:
        return "diverged"
    text = f"{plan.mean_dice(record):.4f}"
    return f"**{text}**" if arm in kept else text


def _compared(
    records: Records,
    *,
    kind: str = "steps",
    seeds: Sequence[int] = SEEDS,
    costs: dict[str, dict[str, float]] | None = None,
) -> Iterable[str]:
    """Lists the differences in every regime.

    Args:
      records: of all runs.
      kind: of the runs of the losses.
      seeds: of all runs.
      costs: of steps, for a column of the time taken.
    """
    time = ["time"] if costs else []
    titles = _OTHER_METRICS.values()
    interval = "difference, 95 % interval"
    yield from _head("regime", "loss", *time, "Dice", interval, *titles)
    for name, regime in REGIMES.items():
        rows = _compared_in(records, name, costs, kind=kind, seeds=seeds)
        for index, cells in enumerate(rows):
            yield _row("" if index else regime.title, *cells)


def _compared_in(
    records: Records,
    regime: str,
    costs: dict[str, dict[str, float]] | None,
    **where: Any,
) -> Iterable[list[str]]:
    """Lists the losses of a regime: each of pixels, then with its critics."""
    no_time = [""] if costs else []
    found = outcomes.estimates(records, regime, **where)
    for loss, arms in outcomes.by_loss(records, regime, found).items():
        base = _levels(records, regime, loss, seeds=where["seeds"])
        others = [_plain(base[metric]) for metric in _OTHER_METRICS]
        yield [*_dice_cells(loss, no_time, base, found.get(loss)), *others]
        for arm in arms:
            levels = _levels(records, regime, arm, **where)
            time = no_time
            if costs:
                cost = costs[REGIMES[regime].family][critic_of(arm)]
                time = [_time(records, regime, arm, cost)]
            others = [_signed(levels[m] - base[m]) for m in _OTHER_METRICS]
            yield [*_dice_cells(arm, time, levels, found[arm]), *others]
    for arm, count in outcomes.diverged(records, regime, **where).items():
        yield [short_title(arm), *no_time, f"diverged in {count}"]


def _dice_cells(
    arm: str,
    time: Sequence[str],
    levels: dict[str, float],
    difference: Estimate | None,
) -> list[str]:
    dice = f"{levels['dice']:.4f}"
    return [short_title(arm), *time, dice, _interval(difference)]


def _levels(
    records: Records, regime: str, arm: str, **where: Any
) -> dict[str, float]:
    """Averages every metric over seeds and images; NaN where undefined."""
    means = {}
    for metric in ("dice", *_OTHER_METRICS):
        found = outcomes.values(records, regime, arm, metric=metric, **where)
        if found is None or np.isnan(found).all():
            means[metric] = np.nan
        else:
            means[metric] = float(np.nanmean(found))
    return means


def _time(records: Records, regime: str, arm: str, cost: float) -> str:
    """Tells the time that a run took in that of one without the critic."""
    epochs, without = (
        records[Run(regime, one, kind, SEEDS[0]).name]["epochs"]
        for one, kind in ((arm, "time"), (loss_of(arm), "steps"))
    )
    return f"{cost * epochs / without:.2f}"


def _power(records: Records) -> Iterable[str]:
    """Lists what the design could have seen, by regime."""
    deviation = "standard deviation between seeds"
    yield from _head("regime", deviation, "smallest difference seen")
    for name, regime in REGIMES.items():
        found = outcomes.estimates(records, name)
        added = [one for arm, one in found.items() if critic_of(arm)]
        if added:
            between = outcomes.between_seeds(records, name)
            seen = np.mean([one.smallest_seen for one in added])
            yield _row(regime.title, f"{between:.4f}", f"{seen:.4f}")


def _overall(records: Records) -> Iterable[str]:
    """Averages each critic over its comparisons."""
    titles = ("Dice", *(_OTHER_METRICS[metric] for metric in _POOLED))
    seen = "smallest difference seen"
    yield from _head("critic", "comparisons", titles[0], seen, *titles[1:])
    for critic, row in ADDED_CRITICS.items():
        found = outcomes.overall(records, critic)
        if not found:
            continue
        dice, count = found
        cells = [_interval(dice), f"{dice.smallest_seen:.4f}"]
        for metric in _POOLED:
            other = outcomes.overall(records, critic, metric)
            cells.append(_interval(other[0] if other else None, digits=2))
        yield _row(row.title, str(count), *cells)


def _quality(runs: dict[str, Any]) -> Iterable[str]:
    """Lists what predicts the Dice of a label map, by the loss of the run."""
    yield from _head(
        "loss",
        "score",
        "rank correlation with Dice",
        "less that of agreement of views, 95 % interval",
        "worst tenth found",
    )
    for arm, measured in runs.items():
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


def _plain(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.3f}"


def _signed(value: float) -> str:
    return "" if np.isnan(value) else f"{value:+.3f}"


def _interval(one: Estimate | None, digits: int = 4) -> str:
    if one is None:
        return ""
    low, high = one.interval
    mean, *ends = (f"{x:+.{digits}f}" for x in (one.mean, low, high))
    text = f"{mean} ({' to '.join(ends)})"
    return f"**{text}**" if low > 0 or high < 0 else text


def _head(*titles: str) -> Iterable[str]:
    yield _row(*titles)
    yield _row(*["---"] * len(titles))


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
