"""The results of an evaluation as a table for the terminal."""

import math
from collections.abc import Mapping
from typing import Any

from segan_tf.evaluation import results as results_lib
from segan_tf.evaluation import style_results


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
    if "styles" in results:
        lines += style_results.format_lines(results["styles"])
    lines += _label_lines(results)
    pooled = results["pooled"]
    lines.append(
        f"all pixels pooled (not comparable with the means): "
        f"dice {_number(pooled['dice'])}, iou {_number(pooled['iou'])}"
    )
    return "\n".join(lines)


def _label_lines(results: Mapping[str, Any]) -> list[str]:
    """Formats what several labels have in addition, and a line for each."""
    if "labels" not in results:
        return []
    width = max(18, *(len(name) for name in results["labels"]))
    isic = results.get("isic_metrics")
    if isic is None:
        lines = [
            "above are the means over the labels by the ISIC rule (absent and "
            "not predicted is 1);",
            "each label where it is:",
        ]
    else:
        lines = [
            "above are the means over the images that have a label, then over "
            "the labels;",
            "by the ISIC rule (absent and not predicted is 1): dice "
            f"{_number(isic['dice']['mean'])}, iou "
            f"{_number(isic['iou']['mean'])};",
            "each label where it is:",
        ]
    lines.append(
        f"{'label':<{width}} {'images':>6} {'dice':>9} {'iou':>9} "
        f"{'hausdorff95':>11} {'undefined':>9} {'ISIC dice':>9}"
    )
    for name, of_label in results["labels"].items():
        lines.append(f"{name:<{width}} {_label_cells(of_label)}")
    return lines


def _label_cells(of_label: Mapping[str, Any]) -> str:
    metrics, present = of_label["metrics"], of_label["present"]
    distance = metrics["hausdorff95_px"]
    # Earlier versions had the ISIC rule's means in metrics.
    isic = of_label.get("isic", {"dice": metrics["dice"]["mean"]})
    return (
        f"{present['image_count']:>6} {_number(present['dice']):>9} "
        f"{_number(present['iou']):>9} {_number(distance['mean']):>11} "
        f"{distance['undefined']:>9} {_number(isic['dice']):>9}"
    )


def _number(value: float | None) -> str:
    if value is None or math.isnan(value):  # results.json has null for NaN
        return "undefined"
    return f"{value:.4f}" if abs(value) < 10 else f"{value:.2f}"
