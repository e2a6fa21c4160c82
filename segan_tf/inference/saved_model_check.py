"""Checks that a SavedModel only computes, before TensorFlow loads it.

A SavedModel is a program: its operators can read and write files. Those of
this program's exports only compute, so every other operator is an error.
"""

import os
from collections.abc import Iterable, Iterator

from google.protobuf import message
from tensorflow.core.framework import graph_pb2
from tensorflow.core.protobuf import (
    saved_model_pb2,
    saved_object_graph_pb2,
)

from segan_tf.errors import UserError

_FILE_NAME = "saved_model.pb"
_TAG = "serve"
_SHOWN = 5
# What loading runs besides functions: tables and files.
_REJECTED_OBJECTS = ("resource", "asset")
# Those of the exports of every segmentor, by both editions of Keras and by
# earlier versions, and a few that only compute.
_NAMES = """
    Abs Add AddV2 All Any ArgMax AsString Assert BiasAdd Bitcast BitwiseXor
    BroadcastTo Cast ClipByValue ConcatV2 ConcatenateDataset Const Conv2D
    Cumsum DatasetToSingleElement DecodeImage DecodeJpeg DecodePaddedRaw
    DecodePng DecodeRaw DepthwiseConv2dNative DivNoNan EncodePng EnsureShape
    Equal Exp ExpandDims ExtractJpegShape Fill FloorDiv FloorMod
    FusedBatchNormV3 GatherV2 Greater GreaterEqual Identity IdentityN If
    IgnoreErrorsDataset LeakyRelu Less LessEqual Log LogicalAnd LogicalNot
    LogicalOr MapDataset MatMul Max Maximum Mean Min Minimum Mul Neg NoOp
    NotEqual OneHot OnesLike Pack Pad PartitionedCall Placeholder Prod Range
    Rank ReadVariableOp RealDiv Relu Relu6 Reshape ResizeBilinear
    ResizeNearestNeighbor ReverseV2 Round Rsqrt ScaleAndTranslate SelectV2
    Shape Sigmoid Size Slice Softmax Squeeze StatefulPartitionedCall
    StatelessIf StatelessWhile StridedSlice StringJoin StringLength Sub
    Substr Sum TakeDataset TensorDataset TensorListFromTensor
    TensorListGetItem TensorListReserve TensorListSetItem TensorListStack
    Tile Transpose Unpack Where While ZerosLike
"""
OPERATORS = frozenset(_NAMES.split())


def check_operators(path: str) -> None:
    """Checks what loading and running a SavedModel would do.

    Args:
      path: the folder that holds saved_model.pb.

    Raises:
      UserError: the file cannot be read, or the model is none that this
        program exports: it holds operators or objects beyond computation.
    """
    try:
        with open(os.path.join(path, _FILE_NAME), "rb") as file:
            content = file.read()
        model = saved_model_pb2.SavedModel.FromString(content)
    except (OSError, message.DecodeError) as error:
        raise UserError(
            f"--model ({path}): {_FILE_NAME} cannot be read "
            f"({getattr(error, 'strerror', None) or 'it is damaged'}); export "
            "the model again."
        ) from error
    graphs = [g for g in model.meta_graphs if _TAG in g.meta_info_def.tags]
    if not graphs or not graphs[0].object_graph_def.nodes:
        raise UserError(
            f"--model ({path}) holds no model for serving of TensorFlow 2; "
            "give one that this program exported."
        )
    objects = graphs[0].object_graph_def
    unknown = {
        operator
        for operator in _list_operators(graphs[0].graph_def, _roots(objects))
        if operator not in OPERATORS
    }
    unknown.update(_list_rejected_objects(objects))
    if unknown:
        names = sorted(unknown)
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        raise UserError(
            f"--model ({path}) was not exported by this program: it holds "
            f"{', '.join(names[:_SHOWN])}{more}, and an operator may read or "
            "write files; give a model that was exported with --mode=export."
        )


def _roots(objects: saved_object_graph_pb2.SavedObjectGraph) -> set[str]:
    """Lists the functions that loading makes callable."""
    roots = set()
    for node in objects.nodes:
        kind = node.WhichOneof("kind")
        if kind == "function":
            roots.update(node.function.concrete_functions)
        elif kind == "bare_concrete_function":
            roots.add(node.bare_concrete_function.concrete_function_name)
    return roots


def _list_rejected_objects(
    objects: saved_object_graph_pb2.SavedObjectGraph,
) -> Iterator[str]:
    for node in objects.nodes:
        kind = node.WhichOneof("kind")
        if kind in _REJECTED_OBJECTS:
            yield f"a{'n' if kind[0] in 'aeiou' else ''} {kind}"
        if node.saveable_objects:
            yield "an object with a saver of its own"


def _list_operators(
    graph: graph_pb2.GraphDef, roots: Iterable[str]
) -> set[str]:
    """Lists the operators that functions reach; not those of saving."""
    functions = {f.signature.name: f for f in graph.library.function}
    operators: set[str] = set()
    seen: set[str] = set()
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        if name in seen or name not in functions:
            continue
        seen.add(name)
        for node in functions[name].node_def:
            if node.op in functions:
                waiting.append(node.op)
            else:
                operators.add(node.op)
            for value in node.attr.values():
                waiting.append(value.func.name)
                waiting += [func.name for func in value.list.func]
        waiting += [
            gradient.gradient_func
            for gradient in graph.library.gradient
            if gradient.function_name == name
        ]
    return operators
