"""Lists the operators of a TFLite model, and which of them XNNPACK runs."""

from ai_edge_litert import interpreter as litert
from ai_edge_litert import schema_py_generated as schema

_VARIABLE_OPERATORS = {"VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE"}
_CUSTOM = "CUSTOM"
_DELEGATE = "DELEGATE"


class ConversionError(RuntimeError):
    """The converter wrote a model that a phone could not run."""


def list_operators(content: bytes) -> list[str]:
    """Lists the operators of a TFLite model in the order they run.

    Args:
      content: of a TFLite file that LiteRT has opened before, since offsets
        are not checked here.

    Returns:
      Names as in TFLite's schema, "CONV_2D"; a custom operator, TensorFlow's
      own among them, as "CUSTOM FlexErf".
    """
    model = schema.Model.GetRootAs(content, 0)
    builtin_names = {
        number: name
        for name, number in vars(schema.BuiltinOperator).items()
        if isinstance(number, int)
    }
    names = []
    for code in map(model.OperatorCodes, range(model.OperatorCodesLength())):
        # Two fields: the old one is a byte, up to 127.
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        name = builtin_names.get(number, f"BUILTIN {number}")
        if name == _CUSTOM:
            name = f"{_CUSTOM} {code.CustomCode().decode()}"
        names.append(name)
    graphs = map(model.Subgraphs, range(model.SubgraphsLength()))
    return [
        names[graph.Operators(i).OpcodeIndex()]
        for graph in graphs
        for i in range(graph.OperatorsLength())
    ]


def check_unportable_operators(names: list[str]) -> None:
    """Checks that a plain TFLite runtime can run all operators.

    Variables show that the converter left the model's weights out.

    Raises:
      ConversionError: names them.
    """
    unportable = sorted(
        name
        for name in set(names)
        if name in _VARIABLE_OPERATORS or name.startswith(_CUSTOM)
    )
    if unportable:
        raise ConversionError(
            "the TFLite model needs operators that phones lack:"
            f" {', '.join(unportable)}"
        )


def delegated_share(interpreter: litert.Interpreter) -> float | None:
    """Returns the share of the operators that XNNPACK runs.

    LiteRT keeps delegated nodes in its list, and adds a node for each part of
    the graph that a delegate runs as a whole. The nodes of a part follow from
    its inputs and outputs.

    Args:
      interpreter: with its tensors allocated, which is when it delegates.

    Returns:
      A number in [0, 1]; None if this version of LiteRT does not tell.
    """
    try:
        nodes = interpreter._get_ops_details()
    except AttributeError:
        return None
    parts = [node for node in nodes if node["op_name"] == _DELEGATE]
    plain = [node for node in nodes if node["op_name"] != _DELEGATE]
    makers = {
        tensor: node["index"] for node in plain for tensor in node["outputs"]
    }
    inputs_of = {node["index"]: node["inputs"] for node in plain}
    taken = set()
    for part in parts:
        given = set(part["inputs"])
        wanted = list(part["outputs"])
        while wanted:
            tensor = wanted.pop()
            node = makers.get(tensor)
            if node is not None and node not in taken and tensor not in given:
                taken.add(node)
                wanted += list(inputs_of[node])
    return len(taken) / len(plain)
