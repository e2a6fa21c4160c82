"""The JSON of TF Serving's REST protocol, for the contract server."""

import base64

import c_loader
import numpy as np
import tensorflow as tf


def from_json(signature, value, by_row):
    """Makes the inputs of a signature from a request's rows or columns.

    Args:
      signature: of c_loader.
      value: of the key "instances", by_row, or "inputs".

    Raises:
      CSessionError: INVALID_ARGUMENT.
    """
    names = list(signature.inputs)
    if by_row and value and _is_named(value[0]):
        value = {name: [row.get(name) for row in value] for name in names}
    elif by_row or not _is_named(value):
        value = {names[0]: value}
    try:
        return {
            name: _to_array(value[name], signature.inputs[name].dtype)
            for name in names
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise c_loader.CSessionError(
            "INVALID_ARGUMENT", f"Failed to process element: {error}"
        ) from error


def _is_named(value):
    return isinstance(value, dict) and set(value) != {"b64"}


def _to_array(value, dtype):
    if dtype != tf.string:
        return np.asarray(value, dtype.as_numpy_dtype)
    strings = [
        base64.b64decode(item["b64"], validate=True)
        if isinstance(item, dict)
        else item.encode()
        for item in value
    ]
    return np.array(strings, dtype=object)


def to_json(value, *, binary):
    """Makes lists of an array; binary strings as {"b64": ...}."""
    if value.dtype != object:
        return value.tolist()
    if value.ndim:
        # As objects: NumPy's own bytes would lose the zero bytes at the end.
        rows = [np.array(row, dtype=object) for row in value]
        return [to_json(row, binary=binary) for row in rows]
    content = value.item()
    if binary:
        return {"b64": base64.b64encode(content).decode()}
    return content.decode()
