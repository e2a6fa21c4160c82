"""Writes what an evaluation found: tables, numbers and a gallery."""

import csv
import io
import math
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from segan_tf import files, records
from segan_tf import labels as labels_lib
from segan_tf.evaluation import bootstrap, scores
from segan_tf.imaging import contact_sheet, overlays
from segan_tf.metrics import per_image

# From an id to its image uint8 [h, w, 3] and its predicted and true label
# maps uint8 [h, w, labels].
Loader = Callable[[str], tuple[np.ndarray, np.ndarray, np.ndarray]]

# Tiles in a row of the gallery and their side: 1,600 pixels, a screen's width.
_GALLERY_COLUMNS = 5
_GALLERY_TILE_PX = 300
# Several labels take two tiles an image, the true and the predicted ones.
_GALLERY_PAIRS = 3


def write_report(
    report_dir: str | os.PathLike[str],
    scored: Sequence[scores.Score],
    *,
    labels: labels_lib.Labels,
    metadata: Mapping[str, Any],
    load: Loader,
    seed: int = 0,
) -> dict[str, Any]:
    """Writes per_image.csv, results.json and gallery.png.

    Each appears whole or not at all, results.json last: where it is, the
    others are of the same evaluation.

    Args:
      report_dir: made if it is not there.
      scored: one score for each image.
      labels: what was segmented.
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
    results = build_results(scored, labels=labels, metadata=metadata, seed=seed)
    rows = [score.row for score in scored]
    os.makedirs(report_dir, exist_ok=True)
    files.write_text(os.path.join(report_dir, "per_image.csv"), _csv(rows))
    files.write_bytes(
        os.path.join(report_dir, "gallery.png"),
        build_gallery(
            rows, title=_gallery_title(results), labels=labels, load=load
        ),
    )
    records.write(os.path.join(report_dir, "results.json"), results)
    return results


def build_results(
    scored: Sequence[scores.Score],
    *,
    labels: labels_lib.Labels,
    metadata: Mapping[str, Any],
    seed: int = 0,
) -> dict[str, Any]:
    """Sums an evaluation up.

    Args:
      scored: see `write_report`.
      labels: see `write_report`.
      metadata: see `write_report`.
      seed: of the bootstrap.

    Returns:
      run (the metadata), image_count, interval (how it was made), metrics
      (by name: mean, median, low, high, count, undefined) and pooled (dice
      and iou over all pixels together, not comparable with the means). Of
      several labels these are of the means over the labels, and labels
      holds the same of each label, with dice and iou over the images that
      have it (present); confusion_matrix counts the pixels of multiclass
      labels, rows true, columns predicted, background first.

    Raises:
      ValueError: there is no image.
    """
    if not scored:
        raise ValueError("no images to report")
    rows = [score.row for score in scored]
    columns = [{name: row[name] for name in per_image.NAMES} for row in rows]
    pooled = [
        per_image.pooled(score.confusions[label] for score in scored)
        for label in range(labels.count)
    ]
    results = {
        "run": dict(metadata),
        "image_count": len(rows),
        "interval": {
            "method": "percentile bootstrap of the mean over images",
            "level": bootstrap.LEVEL,
            "resamples": bootstrap.RESAMPLES,
            "seed": seed,
        },
        "metrics": bootstrap.summarize(columns, seed=seed),
        "pooled": {
            name: float(np.mean([of_label[name] for of_label in pooled]))
            for name in pooled[0]
        },
    }
    if labels.count > 1:
        results["labels"] = {
            name: {**_label_results(rows, slug, seed), "pooled": of_label}
            for name, slug, of_label in zip(
                labels.names, labels.slugs, pooled, strict=True
            )
        }
        if labels.multiclass:
            results["confusion_matrix"] = {
                "names": ["background", *labels.names],
                "pixels": sum(
                    score.confusion_matrix for score in scored
                ).tolist(),
            }
    return results


def _label_results(rows: Sequence[scores.Row], slug: str, seed: int) -> dict:
    """Sums up one of several labels."""
    present = [row for row in rows if row[f"{slug}_fraction_true"] > 0]
    return {
        "metrics": bootstrap.summarize(
            [
                {name: row[f"{name}_{slug}"] for name in per_image.NAMES}
                for row in rows
            ],
            seed=seed,
        ),
        "present": {
            "image_count": len(present),
            **{
                name: float(np.mean([row[f"{name}_{slug}"] for row in present]))
                if present
                else math.nan
                for name in ("dice", "iou")
            },
        },
    }


def build_gallery(
    rows: Sequence[scores.Row],
    *,
    title: str,
    labels: labels_lib.Labels,
    load: Loader,
) -> bytes:
    """Draws the best, the median and the worst images by Dice.

    One label is drawn true and predicted in one image; several in two, in
    the labels' colors.

    Args:
      rows: see `write_report`.
      title: stands on top.
      labels: what was segmented.
      load: called with the ids that are shown, one after the other.

    Returns:
      A PNG file.
    """
    several = labels.count > 1
    groups = _gallery_groups(
        rows, most=_GALLERY_PAIRS if several else _GALLERY_COLUMNS
    )
    tiles = [
        tile
        for _, group in groups
        for row in group
        for tile in _gallery_tiles(row, labels, load)
    ]
    page = contact_sheet.sheet(
        tiles,
        columns=len(groups[0][1]) * (2 if several else 1),
        tile_px=_GALLERY_TILE_PX,
        title=title,
        legend=tuple(zip(labels.names, labels.colors, strict=True))
        if several
        else contact_sheet.LEGEND,
        row_titles=[name for name, _ in groups],
    )
    png = io.BytesIO()
    page.save(png, format="PNG")
    return png.getvalue()


def _gallery_tiles(
    row: scores.Row, labels: labels_lib.Labels, load: Loader
) -> list[tuple[np.ndarray, str]]:
    """Draws an image of the gallery: its tiles with their captions."""
    image, predicted, true = load(row["id"])
    scored = f"Dice {row['dice']:.3f}   IoU {row['iou']:.3f}"
    if labels.count == 1:
        drawn = overlays.tile(
            image, predicted[..., 0], true[..., 0], tile_px=_GALLERY_TILE_PX
        )
        return [(drawn, f"{row['id']}\n{scored}")]
    drawn = [
        overlays.tile_labels(
            image, label_map, labels.colors, tile_px=_GALLERY_TILE_PX
        )
        for label_map in (true, predicted)
    ]
    return [
        (drawn[0], f"{row['id']}\ntrue"),
        (drawn[1], f"{row['id']}, predicted\n{scored}"),
    ]


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
    lines += _label_table(results)
    pooled = results["pooled"]
    lines.append(
        f"all pixels pooled (not comparable with the means): "
        f"dice {_number(pooled['dice'])}, iou {_number(pooled['iou'])}"
    )
    return "\n".join(lines)


def _label_table(results: Mapping[str, Any]) -> list[str]:
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


def _gallery_groups(
    rows: Sequence[scores.Row], *, most: int
) -> list[tuple[str, list[scores.Row]]]:
    best_first = sorted(rows, key=lambda row: (-row["dice"], row["id"]))
    count = len(best_first)
    each = min(most, count // 3)
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


def _csv(rows: Sequence[scores.Row]) -> str:
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
