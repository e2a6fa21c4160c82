"""The files of an evaluation: per_image.csv, results.json and gallery.png."""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from segan_tf import console, csv_files, files, records
from segan_tf import labels as labels_lib
from segan_tf.evaluation import gallery, reliability, scores
from segan_tf.evaluation import results as results_lib

RESULTS = "results.json"
_ROWS = "per_image.csv"
_UNFINISHED = "per_image.unfinished.csv"


@contextlib.contextmanager
def unfinished_rows(
    report_dir: str | os.PathLike[str], labels: labels_lib.Labels
) -> Iterator[Callable[[scores.Row], None]]:
    """Keeps the rows of an evaluation in a file while it goes on.

    Each row that the returned function is given is in
    per_image.unfinished.csv at once. `write_report` removes the file; if the
    block is left by an error or a stop, it stays and is named.

    Args:
      report_dir: created if missing.
      labels: of the model.

    Raises:
      OSError: the file cannot be written.
    """
    os.makedirs(report_dir, exist_ok=True)
    files.remove_leftovers(report_dir)
    path = os.path.join(report_dir, _UNFINISHED)
    writer: csv_files.CsvWriter | None = None

    def keep(row: scores.Row) -> None:
        nonlocal writer
        if writer is None:
            writer = csv_files.CsvWriter(file, list(row))
        writer.write(row, undefined=_undefined(labels))

    with open(path, "w", encoding="utf-8", newline="") as file:
        try:
            yield keep
        except BaseException:
            if writer:
                console.say(f"note: the metrics so far are in {path}")
            raise


def write_report(
    report_dir: str | os.PathLike[str],
    scored: Sequence[scores.Score],
    *,
    labels: labels_lib.Labels,
    metadata: Mapping[str, Any],
    load: gallery.Loader,
    seed: int = 0,
) -> dict[str, Any]:
    """Writes per_image.csv, results.json and gallery.png.

    Of a model that knows the expected Dice, also reliability.png. All are
    written when all are known, each whole or not at all, results.json last.
    Until then those of an earlier evaluation stay.

    Args:
      report_dir: created if missing.
      scored: one score per image.
      labels: of the model.
      metadata: see `results.build_results`.
      load: called with the ids that the gallery shows, and no others.
      seed: of the bootstrap.

    Returns:
      The content of results.json.

    Raises:
      ValueError: there is no image.
      OSError: the folder cannot be written.
    """
    results = results_lib.build_results(
        scored, labels=labels, metadata=metadata, seed=seed
    )
    rows = [score.row for score in scored]
    shown = gallery.build_gallery(
        rows, title=_gallery_title(results), labels=labels, load=load
    )
    os.makedirs(report_dir, exist_ok=True)
    csv_files.write_csv(
        os.path.join(report_dir, _ROWS),
        rows,
        list(rows[0]),
        undefined=_undefined(labels),
    )
    files.write_bytes(os.path.join(report_dir, "gallery.png"), shown)
    if reliability.is_known(rows):
        plot = reliability.draw_plot(rows)
        files.write_bytes(os.path.join(report_dir, "reliability.png"), plot)
    records.write(os.path.join(report_dir, RESULTS), results)
    with contextlib.suppress(FileNotFoundError):
        os.remove(os.path.join(report_dir, _UNFINISHED))
    return results


def _gallery_title(results: Mapping[str, Any]) -> str:
    scored = _describe_means(results["metrics"])
    if "styles" in results:
        told = _describe_means(results["styles"]["told"]["metrics"])
        scored = f"untold {scored}; told the style {told}"
    where = " where the label is" if "labels" in results else ""
    return f"{results_lib.describe_images(results)}: {scored}{where}"


def _describe_means(metrics: Mapping[str, Any]) -> str:
    dice, iou = metrics["dice"]["mean"], metrics["iou"]["mean"]
    return f"mean Dice {dice:.3f}, IoU {iou:.3f}"


def _undefined(labels: labels_lib.Labels) -> str:
    """Returns the cell of a metric that an image does not have."""
    # Of one label as ever, for those who read the files.
    return "nan" if labels.count == 1 else ""
