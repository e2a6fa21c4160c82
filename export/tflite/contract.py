"""What a client has to know of a TFLite model, as JSON: the contract.

It stands in the model's file, and with the file's hash in one beside it.
"""

import hashlib
import os

import numpy as np

from segan_tf import files
from segan_tf import labels as labels_lib
from segan_tf.imaging import preprocessing
from segan_tf.inference import tflite_model

_LARGEST_PIXEL_VALUE = 255
_CHUNK_BYTES = 1 << 20


def make_contract(
    content: bytes,
    *,
    quantization: str,
    labels: labels_lib.Labels,
    version: int,
) -> dict:
    """Describes a model: what it is fed and what it answers.

    A probability is (value - zero_point) * scale, whatever the dtype.

    Args:
      content: of the TFLite file.
      quantization: one of config.QUANTIZATIONS.
      labels: of the channels of the probability map.
      version: the step that the weights are from.
    """
    from ai_edge_litert import interpreter as litert

    run = litert.Interpreter(model_content=content).get_signature_runner(
        tflite_model.SIGNATURE
    )
    taken = run.get_input_details()[tflite_model.INPUT]
    given = run.get_output_details()[tflite_model.OUTPUT]
    scale, zero_point = given["quantization"]
    return {
        "quantization": quantization,
        "version": version,
        "signature": tflite_model.SIGNATURE,
        "input": {
            "name": tflite_model.INPUT,
            "shape": taken["shape"].tolist(),
            "dtype": np.dtype(taken["dtype"]).name,
            "range": [0, _LARGEST_PIXEL_VALUE],
            "color": "RGB",
            "resize": "bilinear, antialiased, aspect ratio not kept",
        },
        "output": {
            "name": tflite_model.OUTPUT,
            "shape": given["shape"].tolist(),
            "dtype": np.dtype(given["dtype"]).name,
            # LiteRT says scale 0 of what is not quantized.
            "scale": scale or 1.0,
            "zero_point": zero_point,
        },
        "threshold": preprocessing.THRESHOLD,
        **labels_lib.description(labels),
    }


def path_beside(model_path: str) -> str:
    """Names the JSON file that belongs to a model."""
    return f"{os.path.splitext(model_path)[0]}.json"


def write_contract(contract: dict, model_path: str) -> None:
    """Writes the contract beside a finished model, with the file's hash.

    Raises:
      OSError: the model cannot be read, or the JSON file not be written.
    """
    files.write_json(
        path_beside(model_path),
        {
            "model": os.path.basename(model_path),
            **file_record(model_path),
            **contract,
        },
    )


def file_record(path: str) -> dict:
    """Takes size and SHA-256 of a file."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return {"bytes": os.path.getsize(path), "sha256": digest.hexdigest()}
