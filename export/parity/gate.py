"""Withholds artifacts whose outputs differ from Keras by more than a tolerance.

The artifacts run as they will be used: the SavedModel in a TensorFlow session,
as a server runs it, the TFLite models in LiteRT, all on the CPU.
"""

import contextlib
import dataclasses
import glob
import os
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from segan_tf import config, console, environment, labels, records
from segan_tf.decision import DEFAULT, Decision, name_mixture

from .. import artifact, staging, versions
from ..artifact import Artifact, StyledSegmentor, TrainedModel
from ..tflite import contract
from . import benchmark, comparison, parity_stats
from .parity_dataset import ParityDataset
from .tolerance import Tolerance

RECORD_NAME = "parity.json"


def export_all(
    segmentor: keras.Model,
    *,
    export_dir: str,
    version: int,
    step: int,
    labels: labels.Labels,
    dataset: ParityDataset,
    quantizations: Sequence[str] = config.QUANTIZATIONS,
    decision: Decision = DEFAULT,
    styled: StyledSegmentor | None = None,
    released: Mapping[str, str] | None = None,
    style_input: bool = False,
    allow_parity_loss: bool = False,
) -> dict[str, Any]:
    """Exports every artifact that agrees with the Keras model.

    They are written and compared in a hidden folder. Only then do
    `saved_model/<version>/`, `segan_<quantization>.tflite` with its .json, and
    `parity.json` appear in `export_dir`; the files that they replace move to
    `earlier/<version>/`.

    Args:
      segmentor: float32 [batch, size, size, 3], normalized -> float32 [batch,
        size, size, labels] in [0, 1].
      export_dir: made if missing.
      version: above those of the exports that `export_dir` holds, see
        versions.choose.
      step: of the checkpoint that the weights are from.
      labels: of the channels.
      dataset: the images to compare on and to calibrate int8 with.
      quantizations: of the TFLite models.
      decision: the threshold of each label.
      styled: the segmentor with styles that `segmentor` was made of, if any.
      released: see artifact.TrainedModel.
      style_input: also export `segan_<quantization>_styles.tflite`, which take
        the style, if there are any.
      allow_parity_loss: also export what is beyond its limit.

    Returns:
      The content of parity.json: one row per artifact.

    Raises:
      UserError: the version exists, `export_dir` cannot be written, or there
        are too few calibration images for int8.
      ParityError: an artifact gives another shape or dtype than Keras.
      OpError: the SavedModel cannot run from its graph alone.
      ConversionError: a phone could not run a TFLite model.
    """
    model = TrainedModel(
        segmentor,
        version,
        step,
        labels,
        dataset.calibration_images,
        decision,
        styled,
        released or {},
    )
    artifacts = artifact.choose(quantizations, style_input=style_input)
    for kind in artifacts:
        kind.check(model, export_dir)
    with staging.hidden_folder(export_dir) as folder:
        paths = {kind.name: kind.write(model, folder) for kind in artifacts}
        record = _compare(model, artifacts, paths, dataset=dataset)
        for name, row in record["artifacts"].items():
            row["path"] = os.path.relpath(paths[name], folder)
            row["files"] = _file_records(paths[name])
            row["published"] = row["within_limit"] or allow_parity_loss
        record["earlier"] = _find_earlier(record, export_dir)
        record["previous_version"] = max(
            versions.list_versions(export_dir), default=None
        )
        records.write(os.path.join(folder, RECORD_NAME), record)
        _publish(record, folder, export_dir)
    return record


def check_tolerance(
    row: dict[str, Any], tolerance: Tolerance, *, keras_row: Mapping[str, Any]
) -> None:
    """Adds to a row by what it is judged, the limits, and the verdict.

    Args:
      row: an artifact's summary, see parity_stats.ParityStats.
      tolerance: of the artifact.
      keras_row: the summary of Keras.
    """
    checks = tolerance.judge(row, keras_row)
    # NaN is within nothing.
    within = all(check.within_limit for check in checks)
    closest = max(checks, key=lambda check: check.used)
    row.update(
        judged_by=closest.measure,
        label=closest.label,
        style=closest.style,
        value=closest.value,
        limit=closest.limit,
        checks=[
            {**dataclasses.asdict(check), "within_limit": check.within_limit}
            for check in checks
        ],
        within_limit=within and bool(np.isfinite(row["largest_difference"])),
    )


def _compare(
    model: TrainedModel,
    artifacts: Sequence[Artifact],
    paths: Mapping[str, str],
    *,
    dataset: ParityDataset,
) -> dict[str, Any]:
    more = {
        kind.name: kind.compare(model, paths[kind.name], dataset.images)
        for kind in artifacts
    }
    with contextlib.ExitStack() as stack:
        with console.capture_output():
            opened = {
                kind.name: stack.enter_context(kind.open(paths[kind.name]))
                for kind in artifacts
            }
        keras_row, rows, count = _compare_opened(model, opened, dataset)
    for kind in artifacts:
        row, path = rows[kind.name], paths[kind.name]
        served = more[kind.name]
        row["served_difference"] = (
            parity_stats.largest(served) if served else None
        )
        check_tolerance(row, kind.tolerance, keras_row=keras_row)
        row.update(_measure(kind, path, model.segmentor.input_shape[1]))
    return {
        "version": model.version,
        "step": model.step,
        "images": count,
        "source": dataset.source,
        "style": (
            name_mixture(model.default_mixture, model.styles)
            if model.styled
            else None
        ),
        "keras": _scores(keras_row),
        "all_threads": environment.count_cores(),
        "artifacts": rows,
        "versions": {
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
            "ai_edge_litert": metadata.version("ai_edge_litert"),
        },
    }


def _compare_opened(
    model: TrainedModel,
    opened: Mapping[str, comparison.OpenedArtifact],
    dataset: ParityDataset,
) -> tuple[dict[str, Any], dict[str, dict[str, Any]], int]:
    """Compares what takes the image alone, and what takes the style in each.

    Returns:
      The summary of Keras, those of the artifacts by name, both with `styles`
      where these are compared, and the number of images.
    """
    references = {
        "": comparison.Reference(
            model.segmentor,
            {name: x for name, x in opened.items() if x.in_style is None},
            model.decision,
        )
    }
    taking_style = {
        name: x.in_style for name, x in opened.items() if x.in_style is not None
    }
    if model.styled and taking_style:
        for style, mixture in model.mixtures.items():
            references[style] = comparison.Reference(
                model.styled.segmentor,
                {name: open_(mixture) for name, open_ in taking_style.items()},
                model.decision_in(mixture),
                mixture,
            )
    summaries, count = comparison.compare(
        list(references.values()), dataset, labels=model.labels
    )
    by_style = dict(zip(references, summaries, strict=True))
    keras_row, rows = by_style.pop("")
    if by_style:
        keras_row["styles"] = {
            style: keras_part for style, (keras_part, _) in by_style.items()
        }
    for name in taking_style:
        rows[name] = parity_stats.join_styles(
            {style: parts[name] for style, (_, parts) in by_style.items()}
        )
    # In the order of the export.
    return keras_row, {name: rows[name] for name in opened}, count


def _scores(row: Mapping[str, Any]) -> dict[str, Any]:
    """Returns Dice and IoU, of all labels, of each, and in each style."""
    scores = {key: row[key] for key in ("dice", "iou")}
    for key in ("labels", "styles"):
        if key in row:
            scores[key] = {
                name: _scores(part) for name, part in row[key].items()
            }
    return scores


def _measure(kind: Artifact, path: str, size: int) -> dict[str, Any]:
    """Measures time and memory, and says what the artifact is made of."""
    one, every = (
        benchmark.measure(
            path,
            runner=kind.runner.__name__,
            size=size,
            num_threads=num_threads,
        )
        for num_threads in (1, environment.count_cores())
    )
    peaks = [one["peak_memory_mb"], every["peak_memory_mb"]]
    return {
        "latency_ms": {
            "one_thread": one["latency_ms"],
            "all_threads": every["latency_ms"],
        },
        "peak_memory_mb": None if None in peaks else max(peaks),
        # Both exist for TFLite only.
        "operators": None,
        "delegated_share": None,
        **kind.describe(path),
    }


def _file_records(path: str) -> dict[str, Any]:
    """Records size and hash of the files of a folder, or of one stem."""
    folder, stem = path, ""
    if os.path.isfile(path):
        folder, name = os.path.split(path)
        stem = f"{os.path.splitext(name)[0]}."
    found = [
        os.path.join(parent, name)
        for parent, _, names in os.walk(folder)
        for name in names
        if name.startswith(stem)
    ]
    return {
        os.path.relpath(file, folder): contract.file_record(file)
        for file in sorted(found)
    }


def _publish(record: Mapping[str, Any], folder: str, export_dir: str) -> None:
    """Moves the record and what may be published out of the hidden folder."""
    folders, moved = [], []
    for row in record["artifacts"].values():
        if not row["published"]:
            continue
        if os.path.isdir(os.path.join(folder, row["path"])):
            folders.append(row["path"])
        else:
            moved += row["files"]
    # The version last: a server may load it as soon as it is there.
    versions.keep_earlier(export_dir, [*moved, RECORD_NAME])
    for name in [*moved, RECORD_NAME]:
        os.replace(os.path.join(folder, name), os.path.join(export_dir, name))
    for name in folders:
        path = os.path.join(export_dir, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        os.rename(os.path.join(folder, name), path)


def _find_earlier(record: Mapping[str, Any], export_dir: str) -> list[str]:
    """Lists the models of earlier exports that this one does not replace."""
    replaced = {
        row["path"] for row in record["artifacts"].values() if row["published"]
    }
    pattern = os.path.join(glob.escape(export_dir), "segan_*.tflite")
    return sorted(set(map(os.path.basename, glob.glob(pattern))) - replaced)
