"""The parity gate: what differs from Keras beyond its limit stays inside.

The artifacts run where they will run: the SavedModel in TensorFlow's C++
loader, the TFLite models in LiteRT, both on the CPU.
"""

import collections
import contextlib
import os
from collections.abc import Sequence
from importlib import metadata

import keras
import numpy as np
import tensorflow as tf

from segan_tf import config, console, labels, records
from segan_tf.inference import tflite_model

from .. import staging
from ..serving import c_loader, saved_model
from ..tflite import contract, convert, operators
from . import benchmark, comparison
from .parity_dataset import ParityDataset

RECORD_NAME = "parity.json"
SAVED_MODEL = "saved_model"

# Largest absolute difference allowed in a probability. The C++ loader runs
# Keras' kernels, but folds and fuses; LiteRT has kernels of its own.
DIFFERENCE_LIMITS = {SAVED_MODEL: 1e-5, "none": 1e-4, "float16": 1e-2}
# Of coarser models label maps are judged: mean Dice lost against Keras.
DICE_LOSS_LIMIT = 0.005
# The same where no true label map is at hand and Keras' own are the truth.
# Every pixel that flips counts there, also where Keras was wrong: an int8
# model that lost 0.001 of Dice was 0.007 off.
DISAGREEMENT_LIMIT = 0.02


def export_all(
    segmentor: keras.Model,
    *,
    export_dir: str,
    version: int,
    labels: labels.Labels,
    dataset: ParityDataset,
    quantizations: Sequence[str] = config.QUANTIZATIONS,
    allow_parity_loss: bool = False,
) -> dict:
    """Exports for servers and phones, compares, and hands out what is right.

    Everything is written and compared in a hidden folder. Only then do
    `saved_model/<version>/`, `segan_<quantization>.tflite` with its .json,
    and `parity.json` appear in `export_dir`.

    Args:
      segmentor: float32 [batch, size, size, 3], normalized -> float32 [batch,
        size, size, labels] in [0, 1].
      export_dir: made if missing.
      version: a non-negative integer.
      labels: of the channels.
      dataset: the images to compare on and to calibrate int8 with.
      quantizations: of the TFLite models.
      calibration_images: see convert.export_tflite.
      allow_parity_loss: hand out what is beyond its limit too.

    Returns:
      What parity.json holds: one row an artifact.

    Raises:
      UserError: the version exists, `export_dir` cannot be written, or there
        are too few calibration images for int8.
      ParityError: an artifact gives another shape or dtype than Keras.
      CSessionError: the C++ loader cannot load or run the SavedModel.
      ConversionError: a phone could not run a TFLite model.
    """
    saved_model.check_existing_version(export_dir, version)
    if "int8" in quantizations:
        convert.check_few_images(dataset.calibration_images)
    with staging.hidden_folder(export_dir) as folder:
        paths = {
            SAVED_MODEL: saved_model.export_saved_model(
                segmentor, folder, version, labels=labels
            )
        }
        for quantization in quantizations:
            paths[quantization] = convert.export_tflite(
                segmentor,
                os.path.join(folder, f"segan_{quantization}.tflite"),
                quantization=quantization,
                labels=labels,
                version=version,
                calibration_images=dataset.calibration_images,
            )
        record = _compare(segmentor, paths, dataset, labels=labels)
        record["version"] = version
        for name, row in record["artifacts"].items():
            row["path"] = os.path.relpath(paths[name], folder)
            row["files"] = _file_records(paths[name])
            row["published"] = row["within_limit"] or allow_parity_loss
        records.write(os.path.join(folder, RECORD_NAME), record)
        _publish(record, folder, export_dir)
    return record


def check_tolerance(row: dict, kind: str, keras_dice: float | None) -> None:
    """Adds to a row by what it is judged, the limit, and the verdict.

    Args:
      row: an artifact's summary, see comparison.ParityStats.
      kind: "saved_model" or a quantization.
      keras_dice: the mean Dice of Keras; None where it is not known.
    """
    if kind in DIFFERENCE_LIMITS:
        judged, value = "largest_difference", row["largest_difference"]
        limit = DIFFERENCE_LIMITS[kind]
    elif keras_dice is not None:
        judged, value = "dice_loss", keras_dice - row["dice"]
        limit = DICE_LOSS_LIMIT
    else:
        judged, value = "disagreement", 1 - row["dice_to_keras"]
        limit = DISAGREEMENT_LIMIT
    # NaN is within nothing.
    within = bool(value <= limit) and np.isfinite(row["largest_difference"])
    row.update(
        judged_by=judged, value=value, limit=limit, within_limit=bool(within)
    )


def _compare(
    segmentor: keras.Model,
    paths: dict[str, str],
    dataset: ParityDataset,
    *,
    labels: labels.Labels,
) -> dict:
    batched = comparison.compare_batches(
        segmentor, paths[SAVED_MODEL], dataset.images
    )
    decided = comparison.compare_label_maps(
        segmentor, paths[SAVED_MODEL], dataset.images, labels=labels
    )
    with contextlib.ExitStack() as opened:
        with console.capture_output():
            artifacts = {
                name: _open(name, path, opened) for name, path in paths.items()
            }
        reference, rows, count = comparison.compare(
            segmentor, artifacts, dataset, multiclass=labels.multiclass
        )
    served = rows[SAVED_MODEL]
    served["largest_difference"] = comparison.largest(
        [batched, decided, served["largest_difference"]]
    )
    for name, row in rows.items():
        check_tolerance(row, name, reference["dice"])
        row.update(_measure(paths[name], segmentor.input_shape[1]))
    return {
        "images": count,
        "source": dataset.source,
        "keras": {key: reference[key] for key in ("dice", "iou")},
        "all_threads": benchmark.num_cores(),
        "artifacts": rows,
        "versions": {
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
            "ai_edge_litert": metadata.version("ai_edge_litert"),
        },
    }


def _open(
    name: str, path: str, opened: contextlib.ExitStack
) -> comparison.OpenedArtifact:
    if name == SAVED_MODEL:
        session = opened.enter_context(c_loader.CSession(path))
        return comparison.OpenedArtifact(
            lambda image, _: session.run(
                saved_model.PROBABILITIES, {"images": image[None]}
            )[tflite_model.OUTPUT],
            own_size=True,
        )
    model = tflite_model.TFLiteModel(path)
    return comparison.OpenedArtifact(
        lambda _, resized: model.segment(resized), own_size=False
    )


def _measure(path: str, size: int) -> dict:
    """Takes time, memory, and what the model is made of."""
    one, every = (
        benchmark.measure(
            path,
            signature=saved_model.PROBABILITIES,
            size=size,
            num_threads=number,
        )
        for number in (1, benchmark.num_cores())
    )
    peaks = [one["peak_memory_mb"], every["peak_memory_mb"]]
    measured = {
        "latency_ms": {
            "one_thread": one["latency_ms"],
            "all_threads": every["latency_ms"],
        },
        "peak_memory_mb": None if None in peaks else max(peaks),
        # Both are TFLite's notions.
        "operators": None,
        "delegated_share": None,
    }
    if os.path.isfile(path):
        with open(path, "rb") as file:
            names = operators.list_operators(file.read())
        measured["operators"] = dict(collections.Counter(names))
        with console.capture_output():
            model = tflite_model.TFLiteModel(path)
        measured["delegated_share"] = operators.delegated_share(
            model.interpreter
        )
    return measured


def _file_records(path: str) -> dict:
    if os.path.isfile(path):
        found = [path, contract.path_beside(path)]
        folder = os.path.dirname(path)
    else:
        folder = path
        found = [
            os.path.join(parent, name)
            for parent, _, names in os.walk(path)
            for name in names
        ]
    return {
        os.path.relpath(file, folder): contract.file_record(file)
        for file in sorted(found)
    }


def _publish(record: dict, folder: str, export_dir: str) -> None:
    rows = record["artifacts"]
    for name, row in rows.items():
        if name != SAVED_MODEL and row["published"]:
            for file in row["files"]:
                os.replace(
                    os.path.join(folder, file), os.path.join(export_dir, file)
                )
    os.replace(
        os.path.join(folder, RECORD_NAME), os.path.join(export_dir, RECORD_NAME)
    )
    if rows[SAVED_MODEL]["published"]:
        path = saved_model.version_path(export_dir, record["version"])
        os.makedirs(os.path.dirname(path), exist_ok=True)
        # Last, since a server may load it at once.
        os.rename(os.path.join(folder, rows[SAVED_MODEL]["path"]), path)
