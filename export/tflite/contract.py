"""The contract of a TFLite model: what a client must know of it, as JSON.

The model's file holds it, and so does a JSON file of the same name, with the
model's hash.
"""

import hashlib
import os
from typing import Any

import numpy as np

from segan_tf import decision as decision_lib
from segan_tf import files
from segan_tf import labels as labels_lib
from segan_tf import styles as styles_lib
from segan_tf.inference import signatures, tflite_model

_LARGEST_PIXEL_VALUE = 255
_CHUNK_BYTES = 1 << 20


def make_contract(
    content: bytes,
    *,
    quantization: str,
    labels: labels_lib.Labels,
    version: int,
    decision: decision_lib.Decision = decision_lib.DEFAULT,
    styles: styles_lib.Styles = styles_lib.PLAIN,
) -> dict[str, Any]:
    """Describes the inputs and the output of a model.

    A probability is (value - zero_point) * scale, whatever the dtype.

    Args:
      content: of the TFLite file.
      quantization: its name in `segan_tf.quantizations`.
      labels: of the channels of the probability map.
      version: of the export.
      decision: the threshold of each label, and the style.
      styles: of the segmentor that the model was made of.
    """
    from ai_edge_litert import interpreter as litert

    run = litert.Interpreter(model_content=content).get_signature_runner(
        signatures.DEFAULT
    )
    inputs = run.get_input_details()
    taken = inputs[signatures.IMAGE]
    given = run.get_output_details()[signatures.PROBABILITY_MAP]
    scale, zero_point = given["quantization"]
    described: dict[str, Any] = {
        "quantization": quantization,
        "version": version,
        "signature": signatures.DEFAULT,
        "input": {
            "name": signatures.IMAGE,
            "shape": taken["shape"].tolist(),
            "dtype": np.dtype(taken["dtype"]).name,
            "range": [0, _LARGEST_PIXEL_VALUE],
            "color": "RGB",
            "resize": "bilinear, antialiased, aspect ratio not kept",
        },
        "output": {
            "name": signatures.PROBABILITY_MAP,
            "shape": given["shape"].tolist(),
            "dtype": np.dtype(given["dtype"]).name,
            # LiteRT gives scale 0 for what is not quantized.
            "scale": scale or 1.0,
            "zero_point": zero_point,
        },
        **decision_lib.description(decision, num_labels=labels.count),
        **labels_lib.description(labels),
    }
    if styles.count:
        drawn = decision.style or styles.mean
        described["style"] = decision_lib.name_mixture(drawn, styles)
    if signatures.STYLE in inputs:
        described[tflite_model.STYLE_INPUT] = {
            "name": signatures.STYLE,
            "shape": inputs[signatures.STYLE]["shape"].tolist(),
            "dtype": np.dtype(inputs[signatures.STYLE]["dtype"]).name,
            "styles": list(styles.names),
            "mean": list(styles.mean),
            "default": list(drawn),
        }
    return described


def path_for(model_path: str) -> str:
    """Returns the path of a model's JSON file."""
    return f"{os.path.splitext(model_path)[0]}.json"


def write_contract(contract: dict[str, Any], model_path: str) -> None:
    """Writes a model's JSON file: the contract and the model's hash.

    Raises:
      OSError: the model cannot be read, or the JSON file not be written.
    """
    files.write_json(
        path_for(model_path),
        {
            "model": os.path.basename(model_path),
            **file_record(model_path),
            **contract,
        },
    )


def file_record(path: str) -> dict[str, Any]:
    """Returns size and SHA-256 of a file."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return {"bytes": os.path.getsize(path), "sha256": digest.hexdigest()}
