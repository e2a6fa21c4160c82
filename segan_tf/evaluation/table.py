"""The results of an evaluation as a table for the terminal."""

import math
from collections.abc import Mapping
from typing import Any

from segan_tf import styles
from segan_tf.evaluation import reliability
from segan_tf.evaluation import results as results_lib

_NAME_WIDTH = 18  # at least, of labels and styles


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
    if "expected_dice" in results:
        lines.append(reliability.format_line(results["expected_dice"]))
    lines += _style_lines(results)
    pooled = results["pooled"]
    lines.append(
        f"all pixels pooled (not comparable with the means): "
        f"dice {_number(pooled['dice'])}, iou {_number(pooled['iou'])}"
    )
    return "\n".join(lines)


def _style_lines(results: Mapping[str, Any]) -> list[str]:
    """Formats what a model with styles gains when it is told the style."""
    if "styles" not in results:
        return []
    of_styles = results["styles"]
    by_style = of_styles["by_style"]
    over_all = {
        "image_count": results["image_count"],
        "untold": results["metrics"],
        "told": of_styles["told"]["metrics"],
        "gain": of_styles["gain"],
    }
    width = max(_NAME_WIDTH, *map(len, by_style))
    return [
        "above is untold; when the model is told the style of each label map:",
        f"{'style':<{width}} {'images':>6} {'dice':>7} {'told':>7} "
        f"{'95 % of the gain':^18} {'iou':>7} {'told':>7}",
        *(
            f"{style:<{width}} {_style_cells(row)}"
            for style, row in {styles.ALL: over_all, **by_style}.items()
        ),
    ]


def _style_cells(row: Mapping[str, Any]) -> str:
    gain = row["gain"]["dice"]
    interval = f"{_number(gain['low'], '+')} to {_number(gain['high'], '+')}"
    dice, told_dice, iou, told_iou = (
        f"{_number(row[which][metric]['mean']):>7}"
        for metric in ("dice", "iou")
        for which in ("untold", "told")
    )
    return (
        f"{row['image_count']:>6} {dice} {told_dice} {interval:^18} {iou} "
        f"{told_iou}"
    )


def _label_lines(results: Mapping[str, Any]) -> list[str]:
    """Formats what several labels have in addition, and a line for each."""
    if "labels" not in results:
        return []
    width = max(_NAME_WIDTH, *map(len, results["labels"]))
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


def _number(value: float | None, sign: str = "-") -> str:
    """Formats a number; with the sign "+" also positive ones have theirs."""
    if value is None or math.isnan(value):  # results.json has null for NaN
        return "undefined"
    return f"{value:{sign}.4f}" if abs(value) < 10 else f"{value:.2f}"
