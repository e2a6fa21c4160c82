"""The results of an evaluation as a table for the terminal."""

import math
from collections.abc import Mapping
from typing import Any

from segan_tf.evaluation import results as results_lib


def format_table(results: Mapping[str, Any]) -> str:
    """Formats results for the terminal.

    Args:
      results: of `results.build_results`, or read from results.json.

    Returns:
      A line per metric with its name, mean, interval and median; then the
      undefined values and the pooled metrics.
    """
    level = f"{100 * results['interval']['level']:g} % interval"
    lines = [f"{'metric':<20} {'mean':>9}   {level:^20} {'median':>9}"]
    undefined = []
    for name, summary in results["metrics"].items():
        ends = f"{_number(summary['low'])} to {_number(summary['high'])}"
        lines.append(
            f"{name:<20} {_number(summary['mean']):>9}   {ends:^20} "
            f"{_number(summary['median']):>9}"
        )
        if summary["undefined"]:
            undefined.append(f"{name} {summary['undefined']}")
    lines.append(f"over {results_lib.describe_images(results)}")
    if undefined:
        lines.append(
            "left out, one label map being empty: " + ", ".join(undefined)
        )
    lines += _label_lines(results)
    pooled = results["pooled"]
    lines.append(
        f"all pixels pooled (not comparable with the means): "
        f"dice {_number(pooled['dice'])}, iou {_number(pooled['iou'])}"
    )
    return "\n".join(lines)


def _label_lines(results: Mapping[str, Any]) -> list[str]:
    """Formats a line for each of several labels."""
    if "labels" not in results:
        return []
    width = max(20, *(len(name) for name in results["labels"]))
    lines = [
        "above are the means over the labels; each label:",
        f"{'label':<{width}} {'dice':>9} {'iou':>9} {'hausdorff95':>11}"
        "   where the label is",
    ]
    for name, of_label in results["labels"].items():
        summary, present = of_label["metrics"], of_label["present"]
        lines.append(
            f"{name:<{width}} {_number(summary['dice']['mean']):>9} "
            f"{_number(summary['iou']['mean']):>9} "
            f"{_number(summary['hausdorff95_px']['mean']):>11}   dice "
            f"{_number(present['dice'])} in {present['image_count']} images"
        )
    return lines


def _number(value: float | None) -> str:
    if value is None or math.isnan(value):  # results.json has null for NaN
        return "undefined"
    return f"{value:.4f}" if abs(value) < 10 else f"{value:.2f}"
