"""Compares the runs with annotation styles with those without.

Usage: python benchmarks/isic2017/styles.py RUNS SIZE SEED ...
RUNS holds plain_SIZE_seedN and styles_SIZE_seedN for every seed N, trained and
evaluated by benchmarks/isic2017/run.sh. Prints the tables of docs/results.md
and writes benchmarks/isic2017/styles_SIZE.json. The intervals of differences
are over images and seeds together: both are drawn with replacement.
"""

import csv
import json
import os
import sys
from typing import Any

import numpy as np

from segan_tf import files

METRICS = ("dice", "iou")
RESAMPLES = 10_000
HERE = os.path.dirname(os.path.abspath(__file__))


def main(runs: str, size: str, *seeds: str) -> None:
    """Prints the comparison and writes it to a file."""
    rows = {
        kind: [
            _read_rows(os.path.join(runs, f"{kind}_{size}_seed{seed}"))
            for seed in seeds
        ]
        for kind in ("plain", "styles")
    }
    style_of = np.array(
        [row["style"] or "unknown" for row in rows["styles"][0]]
    )
    result: dict[str, Any] = {"size": int(size), "seeds": list(map(int, seeds))}
    for metric in METRICS:
        values = {
            "plain": _values(rows["plain"], metric),
            "untold": _values(rows["styles"], metric),
            "told": _values(rows["styles"], f"told_{metric}"),
        }
        result[metric] = {
            "mean": {name: float(v.mean()) for name, v in values.items()},
            "by_seed": {
                name: v.mean(axis=1).tolist() for name, v in values.items()
            },
            "minus_plain": {
                name: _difference(values[name], values["plain"])
                for name in ("untold", "told")
            },
            "by_style": {
                style: {
                    "images": int((style_of == style).sum()),
                    **{
                        name: float(v[:, style_of == style].mean())
                        for name, v in values.items()
                    },
                }
                for style in sorted(set(style_of))
            },
        }
    print(_format_overall(result), _format_by_style(result), sep="\n\n")
    path = os.path.join(HERE, f"styles_{size}.json")
    files.write_text(path, f"{json.dumps(result, indent=2)}\n")


def _format_overall(result: dict[str, Any]) -> str:
    lines = [
        "| | Dice | minus plain, 95 % interval | IoU | minus plain, 95 % "
        "interval |",
        "|---|---|---|---|---|",
    ]
    for name in ("plain", "untold", "told"):
        cells = [name]
        for metric in METRICS:
            cells.append(f"{result[metric]['mean'][name]:.4f}")
            gain = result[metric]["minus_plain"].get(name)
            cells.append(
                f"{gain['mean']:+.4f} ({gain['low']:+.4f} to "
                f"{gain['high']:+.4f})"
                if gain
                else ""
            )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _format_by_style(result: dict[str, Any]) -> str:
    lines = [
        "| drawn with | images | Dice: plain | untold | told | IoU: plain | "
        "untold | told |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for style, dice in result["dice"]["by_style"].items():
        iou = result["iou"]["by_style"][style]
        values = [
            f"{part[name]:.4f}"
            for part in (dice, iou)
            for name in ("plain", "untold", "told")
        ]
        cells = [style, str(dice["images"]), *values]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _read_rows(run: str) -> list[dict[str, str]]:
    path = os.path.join(run, "evaluation_test", "per_image.csv")
    with open(path, encoding="utf-8", newline="") as file:
        return sorted(csv.DictReader(file), key=lambda row: row["id"])


def _values(of_seeds: list[list[dict[str, str]]], column: str) -> np.ndarray:
    """Returns float64 [seeds, images]."""
    return np.array([[float(row[column]) for row in rows] for rows in of_seeds])


def _difference(a: np.ndarray, b: np.ndarray) -> dict[str, float]:
    """Returns the mean of a - b with its 95 % interval over both axes."""
    difference = a - b
    seeds, images = difference.shape
    rng = np.random.default_rng(0)
    means = np.empty(RESAMPLES)
    for index in range(RESAMPLES):
        drawn = difference[rng.integers(seeds, size=seeds)]
        means[index] = drawn[:, rng.integers(images, size=images)].mean()
    low, high = np.quantile(means, (0.025, 0.975))
    return {
        "mean": float(difference.mean()),
        "low": float(low),
        "high": float(high),
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
