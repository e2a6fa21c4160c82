"""TFLite metadata, with which MediaPipe can use a model as it is.

The layout is TFLite's metadata_schema.fbs. On PyPI only MediaPipe has classes
for it, and is too large to depend on, so the tables that an image segmenter
needs are written here field by field, with the schema's field numbers.
"""

import io
import json
import zipfile
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from segan_tf.inference import signatures, tflite_model

from . import model_file

LABELS_NAME = "labels.txt"

_METADATA_NAME = b"TFLITE_METADATA"
_METADATA_IDENTIFIER = b"M001"
_OPTIONS_IDENTIFIER = b"V001"
_PARSER_VERSION = "1.5.0"  # the first that knows custom metadata

_FIRST_DATE = (1980, 1, 1, 0, 0, 0)  # zip's; equal models are equal files

# Numbers of the schema's fields, ...
_SLOTS = {
    "ModelMetadata": {
        "name": 0,
        "version": 2,
        "subgraph_metadata": 3,
        "min_parser_version": 7,
    },
    "SubGraphMetadata": {
        "input_tensor_metadata": 2,
        "output_tensor_metadata": 3,
        "custom_metadata": 9,
    },
    "TensorMetadata": {
        "name": 0,
        "content": 3,
        "process_units": 4,
        "stats": 5,
        "associated_files": 6,
    },
    "Content": {"content_properties_type": 0, "content_properties": 1},
    "ImageProperties": {"color_space": 0},
    "ProcessUnit": {"options_type": 0, "options": 1},
    "NormalizationOptions": {"mean": 0, "std": 1},
    "Stats": {"max": 0, "min": 1},
    "AssociatedFile": {"name": 0, "type": 2},
    "CustomMetadata": {"name": 0, "data": 1},
    # Of MediaPipe's image_segmenter_metadata_schema.fbs.
    "ImageSegmenterOptions": {"activation": 0},
}
# ... and values of its enums and unions.
_IMAGE_PROPERTIES = 2  # ContentProperties
_NORMALIZATION_OPTIONS = 1  # ProcessUnitOptions
_RGB, _GRAYSCALE = 1, 2  # ColorSpaceType
_TENSOR_AXIS_LABELS = 2  # AssociatedFileType
_NO_ACTIVATION = 0  # Activation: the sigmoid is in the graph


def attach_metadata(content: bytes, contract: dict[str, Any]) -> bytes:
    """Adds metadata, label names and the contract to a TFLite file.

    A model that takes the style as well has no metadata: MediaPipe, which reads
    them, cannot use it.

    Args:
      content: of the file.
      contract: see contract.make_contract.

    Returns:
      The content of a file that LiteRT runs as before, with one more buffer,
      and a zip archive after the model.
    """
    if tflite_model.STYLE_INPUT not in contract:
        content = _attach_tables(content, contract)
    stream = io.BytesIO(content)
    texts = {
        LABELS_NAME: "\n".join(contract["label_names"]) + "\n",
        tflite_model.CONTRACT_NAME: json.dumps(contract, ensure_ascii=False),
    }
    with zipfile.ZipFile(stream, "a", zipfile.ZIP_STORED) as archive:
        for name, text in texts.items():
            archive.writestr(zipfile.ZipInfo(name, _FIRST_DATE), text)
    return stream.getvalue()


def _attach_tables(content: bytes, contract: dict[str, Any]) -> bytes:
    model = model_file.unpack(content)
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(_build_metadata(contract), np.uint8)
    model.buffers.append(buffer)
    entry = schema.MetadataT()
    entry.name = _METADATA_NAME
    entry.buffer = len(model.buffers) - 1
    model.metadata = [*(model.metadata or []), entry]
    return model_file.pack(model)


def _build_metadata(contract: dict[str, Any]) -> bytes:
    low, high = map(float, contract["input"]["range"])
    image = _table(
        "TensorMetadata",
        name=signatures.IMAGE,
        content=_image_content(_RGB),
        # Normalization is in the graph: (x - 0) / 1.
        process_units=[
            _table(
                "ProcessUnit",
                options_type=_NORMALIZATION_OPTIONS,
                options=_table("NormalizationOptions", mean=[0.0], std=[1.0]),
            )
        ],
        stats=_table("Stats", max=[high], min=[low]),
    )
    probability_map = _table(
        "TensorMetadata",
        name=signatures.PROBABILITY_MAP,
        content=_image_content(_GRAYSCALE),
        associated_files=[
            _table("AssociatedFile", name=LABELS_NAME, type=_TENSOR_AXIS_LABELS)
        ],
    )
    options = _finish(
        _table("ImageSegmenterOptions", activation=_NO_ACTIVATION),
        _OPTIONS_IDENTIFIER,
    )
    graph = _table(
        "SubGraphMetadata",
        input_tensor_metadata=[image],
        output_tensor_metadata=[probability_map],
        custom_metadata=[
            _table("CustomMetadata", name="SEGMENTER_METADATA", data=options)
        ],
    )
    model = _table(
        "ModelMetadata",
        name="SegAN segmentor",
        version=str(contract["version"]),
        subgraph_metadata=[graph],
        min_parser_version=_PARSER_VERSION,
    )
    return _finish(model, _METADATA_IDENTIFIER)


def _image_content(color: int) -> dict[int, Any]:
    return _table(
        "Content",
        content_properties_type=_IMAGE_PROPERTIES,
        content_properties=_table("ImageProperties", color_space=color),
    )


def _table(kind: str, **fields: Any) -> dict[int, Any]:
    return {_SLOTS[kind][name]: value for name, value in fields.items()}


def _finish(table: dict[int, Any], identifier: bytes) -> bytes:
    builder = flatbuffers.Builder()
    builder.Finish(_write(builder, table), identifier)
    return bytes(builder.Output())


def _write(builder: flatbuffers.Builder, value: Any) -> int:
    """Writes a table, a vector or a string; returns its offset.

    Integers are single bytes, as the schema's enums and unions are.
    """
    if isinstance(value, str):
        return builder.CreateString(value)
    if isinstance(value, bytes):
        return builder.CreateByteVector(value)
    if isinstance(value, list) and isinstance(value[0], float):
        return builder.CreateNumpyVector(np.array(value, np.float32))
    if isinstance(value, list):
        offsets = [_write(builder, item) for item in value]
        builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            builder.PrependUOffsetTRelative(offset)
        return builder.EndVector()
    # A table's fields are written before it.
    fields = {
        slot: field if isinstance(field, int) else _write(builder, field)
        for slot, field in value.items()
    }
    builder.StartObject(max(fields) + 1)
    for slot, field in fields.items():
        if isinstance(value[slot], int):
            builder.PrependUint8Slot(slot, field, 0)
        else:
            builder.PrependUOffsetTRelativeSlot(slot, field, 0)
    return builder.EndObject()
