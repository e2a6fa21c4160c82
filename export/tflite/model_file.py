"""Reads and writes a TFLite model's tables, to change what they say."""

import flatbuffers
from ai_edge_litert import schema_py_generated as schema

_MODEL_IDENTIFIER = b"TFL3"
_ALIGNMENT = 16  # of a tensor's data, says TFLite's schema


def unpack(content: bytes) -> schema.ModelT:
    """Returns the tables of a TFLite file as objects that may be changed."""
    return schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))


def pack(model: schema.ModelT) -> bytes:
    """Returns the content of the TFLite file of these tables."""
    builder = _AligningBuilder(0)
    builder.Finish(model.Pack(builder), _MODEL_IDENTIFIER)
    return bytes(builder.Output())


class _AligningBuilder(flatbuffers.Builder):
    """Aligns every vector as TFLite's schema requires for tensors' data.

    Python's generated classes ignore that, and a vectorized kernel may then
    crash on the weights.
    """

    def StartVector(
        self, elem_size: int, num_elems: int, alignment: int
    ) -> None:
        return super().StartVector(
            elem_size, num_elems, max(alignment, _ALIGNMENT)
        )
