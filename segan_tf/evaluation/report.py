"""The files of an evaluation: per_image.csv, results.json and gallery.png."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from segan_tf import csv_files, files, records
from segan_tf import labels as labels_lib
from segan_tf.evaluation import gallery, scores
from segan_tf.evaluation import results as results_lib


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

    Each file is written whole or not at all, results.json last: where it
    exists, the others are of the same evaluation.

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
    os.makedirs(report_dir, exist_ok=True)
    csv_files.write_csv(
        os.path.join(report_dir, "per_image.csv"),
        rows,
        list(rows[0]),
        undefined="nan",
    )
    files.write_bytes(
        os.path.join(report_dir, "gallery.png"),
        gallery.build_gallery(
            rows, title=_gallery_title(results), labels=labels, load=load
        ),
    )
    records.write(os.path.join(report_dir, "results.json"), results)
    return results


def _gallery_title(results: Mapping[str, Any]) -> str:
    summary = results["metrics"]
    return (
        f"{results_lib.describe_images(results)}: "
        f"mean Dice {summary['dice']['mean']:.3f}, "
        f"IoU {summary['iou']['mean']:.3f}"
    )
