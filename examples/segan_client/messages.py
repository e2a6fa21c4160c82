"""Writes and reads TF Serving's messages, as far as one image needs them.

The package that has them all needs TensorFlow. Numbers of fields:
predict.proto and model.proto of TF Serving's apis/, tensor.proto and
tensor_shape.proto of TensorFlow.
"""

import math
import struct
from collections.abc import Iterator

# Names of tensors.
_INPUT = "image_bytes"
# Of PredictRequest and PredictResponse.
_MODEL_SPEC, _INPUTS, _OUTPUTS = 1, 2, 1
_MODEL_NAME, _VERSION_LABEL = 1, 4  # of ModelSpec
_KEY, _VALUE = 1, 2  # of an entry of any map
# Of TensorProto.
_DTYPE, _SHAPE, _CONTENT, _FLOATS, _STRINGS = 1, 2, 4, 5, 8
_DIMENSION, _SIZE = 2, 1  # of TensorShapeProto
_FLOAT, _STRING = 1, 7  # data types
# Protocol Buffers' kinds of fields.
_VARINT, _FIXED_64, _BYTES, _FIXED_32 = 0, 1, 2, 5
_MAX_VALUES = 10_000  # of a tensor for one image, whatever it states

Values = list[bytes] | list[float]


def encode_request(model: str, version_label: str, image: bytes) -> bytes:
    """Encodes a PredictRequest for one image; "" for no version label."""
    spec = _field(_MODEL_NAME, model.encode())
    if version_label:
        spec += _field(_VERSION_LABEL, version_label.encode())
    shape = _field(_DIMENSION, _number(_SIZE, 1))
    tensor = (
        _number(_DTYPE, _STRING)
        + _field(_SHAPE, shape)
        + _field(_STRINGS, image)
    )
    entry = _field(_KEY, _INPUT.encode()) + _field(_VALUE, tensor)
    return _field(_MODEL_SPEC, spec) + _field(_INPUTS, entry)


def decode_response(content: bytes) -> dict[str, Values]:
    """Decodes a PredictResponse: the values of each output by its name.

    Raises:
      ValueError: it is none, or one with other tensors than text and float32.
    """
    outputs = {}
    for number, value in _fields(content):
        if number == _OUTPUTS:
            entry = dict(_fields(_bytes(value)))
            name = _bytes(entry.get(_KEY, b"")).decode()
            outputs[name] = _decode_tensor(_bytes(entry.get(_VALUE, b"")))
    return outputs


def _decode_tensor(content: bytes) -> Values:
    dtype: int | bytes = 0
    dimensions: list[int] = []
    strings: list[bytes] = []
    floats = b""
    for number, value in _fields(content):
        if number == _DTYPE:
            dtype = value
        elif number == _SHAPE:
            for _, dimension in _fields(_bytes(value)):
                size = dict(_fields(_bytes(dimension))).get(_SIZE, 0)
                dimensions.append(size if isinstance(size, int) else 0)
        elif number == _STRINGS:
            strings.append(_bytes(value))
        elif number in (_FLOATS, _CONTENT):
            floats += _bytes(value)
    count = math.prod(dimensions)
    if count > _MAX_VALUES:
        raise ValueError(f"a tensor of {count} values")
    if dtype == _STRING:
        return strings + (strings[-1:] or [b""]) * (count - len(strings))
    if dtype == _FLOAT and len(floats) % 4 == 0:
        numbers = list(struct.unpack(f"<{len(floats) // 4}f", floats))
        # The last of several equal values may stand for the others.
        return numbers + (numbers[-1:] or [0.0]) * (count - len(numbers))
    raise ValueError(f"a tensor of type {dtype!r}")


def _fields(content: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Reads a message: each field's number with its bytes or its integer.

    Raises:
      ValueError: it is none.
    """
    at = 0
    while at < len(content):
        key, at = _read_varint(content, at)
        kind = key & 7
        if kind == _VARINT:
            value, at = _read_varint(content, at)
            yield key >> 3, value
            continue
        if kind == _BYTES:
            size, at = _read_varint(content, at)
        elif kind in (_FIXED_32, _FIXED_64):
            size = {_FIXED_32: 4, _FIXED_64: 8}[kind]
        else:
            raise ValueError(f"a field of kind {kind}")
        if size > len(content) - at:
            raise ValueError("it is cut off")
        yield key >> 3, content[at : at + size]
        at += size


def _read_varint(content: bytes, at: int) -> tuple[int, int]:
    number = 0
    for i, byte in enumerate(content[at : at + 10]):
        number |= (byte & 0x7F) << 7 * i
        if byte < 0x80:
            return number, at + i + 1
    raise ValueError("a number does not end")


def _bytes(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise ValueError("a number in place of a message")
    return value


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | _BYTES) + _varint(len(content)) + content


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3 | _VARINT) + _varint(value)


def _varint(number: int) -> bytes:
    """Encodes a number in groups of seven bits, the lowest first."""
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*encoded, number])
