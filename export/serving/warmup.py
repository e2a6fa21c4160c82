"""Requests that TF Serving runs before it reports a model as ready.

Without them the first client waits while kernels are chosen and memory is
allocated. TF Serving reads them from a TFRecord of its PredictionLog messages,
which are encoded here by hand: TensorFlow does not define the messages, and
the package that does would be needed for this file alone. The tests read the
requests with the official classes.
"""

import os
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from segan_tf import files

PATH = os.path.join("assets.extra", "tf_serving_warmup_requests")

# Numbers of the fields, from the .proto files of TF Serving's apis/.
_PREDICT_LOG = 6  # of PredictionLog
_REQUEST = 1  # of PredictLog
_MODEL_SPEC = 1  # of PredictRequest
_INPUTS = 2  # of PredictRequest: a map from names to TensorProto
_MODEL_NAME = 1  # of ModelSpec
_SIGNATURE_NAME = 3  # of ModelSpec
_KEY = 1  # of an entry of any map
_VALUE = 2


def write_requests(
    saved_model_dir: str,
    model_name: str,
    requests: Mapping[str, Mapping[str, np.ndarray]],
) -> None:
    """Writes a warm-up request for each signature.

    Args:
      saved_model_dir: the folder of the version.
      model_name: under which the server knows the model.
      requests: by the signature's name, the inputs by theirs.
    """
    path = os.path.join(saved_model_dir, PATH)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with tf.io.TFRecordWriter(files.literal(path)) as writer:
        for signature, inputs in requests.items():
            writer.write(_prediction_log(model_name, signature, inputs))


def _prediction_log(
    model_name: str, signature: str, inputs: Mapping[str, np.ndarray]
) -> bytes:
    model_spec = _field(_MODEL_NAME, model_name.encode()) + _field(
        _SIGNATURE_NAME, signature.encode()
    )
    request = _field(_MODEL_SPEC, model_spec)
    for name, value in inputs.items():
        tensor = tf.make_tensor_proto(value).SerializeToString()
        request += _field(
            _INPUTS, _field(_KEY, name.encode()) + _field(_VALUE, tensor)
        )
    return _field(_PREDICT_LOG, _field(_REQUEST, request))


def _field(number: int, content: bytes) -> bytes:
    """Encodes a field of text, bytes or a message (Protocol Buffers' LEN)."""
    length_delimited = 2
    return _varint(number << 3 | length_delimited) + (
        _varint(len(content)) + content
    )


def _varint(number: int) -> bytes:
    """Encodes a number in groups of seven bits, the lowest first."""
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*encoded, number])
