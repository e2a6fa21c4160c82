"""Writes what an evaluation found: tables, numbers and a gallery."""

import csv
import io
import math
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from segan_tf import files
from segan_tf.evaluation import metrics, overlays, statistics

Row = Mapping[str, Any]
# From an id to its image uint8 [h, w, 3] and its predicted and true label
# maps [h, w].
Loader = Callable[[str], tuple[np.ndarray, np.ndarray, np.ndarray]]

# Tiles in a row of the gallery and their side: 1,600 pixels, a screen's width.
_GALLERY_COLUMNS = 5
_GALLERY_TILE_PX = 300


def write_report(
    report_dir: str | os.PathLike[str],
    rows: Sequence[Row],
    *,
    confusions: Sequence[metrics.Confusion],
    metadata: Mapping[str, Any],
    load: Loader,
    seed: int = 0,
) -> dict[str, Any]:
    """Writes per_image.csv, results.json and gallery.png.

    Each appears whole or not at all, results.json last: where it is, the
    others are of the same evaluation.

    Args:
        report_dir: made if it is not there.
        rows: per image its id, the metrics of `metrics.image_metrics`,
            lesion_fraction_true and lesion_fraction_predicted.
        confusions: one per row, for the pooled numbers.
        metadata: what the numbers belong to: command, versions, checkpoint,
            split, hardware, date.
        load: called with the ids the gallery shows, and no others.
        seed: of the bootstrap.

    Returns:
        What results.json holds.

    Raises:
        ValueError: there is no image.
        OSError: the folder cannot be written.
    """
    results = build_results(
        rows, confusions=confusions, metadata=metadata, seed=seed
    )
    os.makedirs(report_dir, exist_ok=True)
    files.write_text(os.path.join(report_dir, "per_image.csv"), _csv(rows))
    files.write_bytes(
        os.path.join(report_dir, "gallery.png"),
        build_gallery(rows, title=_gallery_title(results), load=load),
    )
    files.write_json(os.path.join(report_dir, "results.json"), results)
    return results


def build_results(
    rows: Sequence[Row],
    *,
    confusions: Sequence[metrics.Confusion],
    metadata: Mapping[str, Any],
    seed: int = 0,
) -> dict[str, Any]:
    """Sums an evaluation up.

    Args:
        rows: see `write_report`.
        confusions: one per row.
        metadata: see `write_report`.
        seed: of the bootstrap.

    Returns:
        run (the metadata), image_count, interval (how it was made), metrics
        (by name: mean, median, low, high, count, undefined) and pooled (dice
        and iou over all pixels together, not comparable with the means).

    Raises:
        ValueError: there is no image, or not one confusion per row.
    """
    if not rows:
        raise ValueError("no images to report")
    if len(rows) != len(confusions):
        raise ValueError(f"{len(rows)} rows but {len(confusions)} confusions")
    columns = [{name: row[name] for name in metrics.NAMES} for row in rows]
    return {
        "run": dict(metadata),
        "image_count": len(rows),
        "interval": {
            "method": "percentile bootstrap of the mean over images",
            "level": statistics.LEVEL,
            "resamples": statistics.RESAMPLES,
            "seed": seed,
        },
        "metrics": statistics.summarise(columns, seed=seed),
        "pooled": metrics.pooled(confusions),
    }


def build_gallery(rows: Sequence[Row], *, title: str, load: Loader) -> bytes:
    """Draws the best, the median and the worst images by Dice.

    Args:
        rows: see `write_report`.
        title: stands on top.
        load: called with the ids that are shown, one after the other.

    Returns:
        A PNG file.
    """
    groups = _gallery_groups(rows)
    tiles = [
        (
            overlays.tile(*load(row["id"]), tile_px=_GALLERY_TILE_PX),
            f"{row['id']}\nDice {row['dice']:.3f}   IoU {row['iou']:.3f}",
        )
        for _, group in groups
        for row in group
    ]
    page = overlays.sheet(
        tiles,
        columns=len(groups[0][1]),
        tile_px=_GALLERY_TILE_PX,
        title=title,
        legend=overlays.LEGEND,
        row_titles=[name for name, _ in groups],
    )
    png = io.BytesIO()
    page.save(png, format="PNG")
    return png.getvalue()


def format_table(results: Mapping[str, Any]) -> str:
    """Formats results for the terminal.

    Args:
        results: of `build_results`, or read from results.json.

    Returns:
        A line per metric: its name, mean, interval and median; then what
        was left out and the pooled numbers.
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
    lines.append(f"over {_images(results)}")
    if undefined:
        lines.append(
            "left out, one label map being empty: " + ", ".join(undefined)
        )
    pooled = results["pooled"]
    lines.append(
        f"all pixels pooled (not comparable with the means): "
        f"dice {_number(pooled['dice'])}, iou {_number(pooled['iou'])}"
    )
    return "\n".join(lines)


def _gallery_groups(rows: Sequence[Row]) -> list[tuple[str, list[Row]]]:
    best_first = sorted(rows, key=lambda row: (-row["dice"], row["id"]))
    count = len(best_first)
    each = min(_GALLERY_COLUMNS, count // 3)
    if not each:  # too few for three rows without an image twice
        return [("All, best Dice first", best_first)]
    middle = (count - each) // 2
    return [
        (f"Best {each} by Dice", best_first[:each]),
        (f"Median {each}", best_first[middle : middle + each]),
        (f"Worst {each}, the worst first", best_first[-each:][::-1]),
    ]


def _gallery_title(results: Mapping[str, Any]) -> str:
    summary = results["metrics"]
    return (
        f"{_images(results)}: "
        f"mean Dice {summary['dice']['mean']:.3f}, "
        f"IoU {summary['iou']['mean']:.3f}"
    )


def _csv(rows: Sequence[Row]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _cell(value) for name, value in row.items()})
    return text.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, float | np.floating):
        return f"{value:.6f}"
    return value


def _number(value: float | None) -> str:
    if value is None or math.isnan(value):  # results.json has null for NaN
        return "undefined"
    return f"{value:.4f}" if abs(value) < 10 else f"{value:.2f}"


def _images(results: Mapping[str, Any]) -> str:
    count = results["image_count"]
    split = results["run"].get("split")
    of_split = f" of the {split} split" if split else ""
    return f"{count} image{'' if count == 1 else 's'}{of_split}"
