"""The float32 TFLite model for phones and browsers."""

import os

import keras
import tensorflow as tf

from segan_tf import config, files
from segan_tf.data import preprocessing

from . import quiet, saved_model, staging

_VARIABLE_OPERATORS = {"VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE"}
_CUSTOM = "CUSTOM"


class ConversionError(RuntimeError):
    """The converter wrote a model that a phone could not run."""


def export_tflite(segmentor: keras.Model, path: str) -> str:
    """Writes a float32 TFLite model, made of builtin operators only.

    Its signature `serving_default` takes `image`, float32 [1, size, size, 3]
    RGB in 0..255, and gives `probability_map`, float32 [1, size, size,
    labels] in [0, 1]. The batch is fixed at 1, since some phone and browser
    runtimes refuse an open one.

    Args:
      segmentor: float32 [batch, size, size, 3], normalised -> float32 [batch,
        size, size, labels] in [0, 1].
      path: of the file, replaced if it exists; its folder is made if missing.

    Returns:
      The path.

    Raises:
      UserError: the folder cannot be written.
      ConversionError: an operator is left that needs more than the builtins.
    """

    def segment(image):
        normalised = preprocessing.normalise(image)
        return {"probability_map": segmentor(normalised, training=False)}

    image = tf.TensorSpec(
        (1, *segmentor.input_shape[1:]), tf.float32, name="image"
    )
    parent = os.path.dirname(os.path.abspath(path))
    with staging.hidden_folder(parent) as folder:
        archive = os.path.join(folder, "static")
        saved_model.write_archive(
            segmentor,
            archive,
            {saved_model.SIGNATURE: (segment, image)},
        )
        content = _convert(archive)
        refuse_unportable_operators(_operators(content))
        files.write_bytes(path, content)
    return path


def operators(path: str) -> list[str]:
    """Lists the operators of a TFLite model in the order they run.

    Args:
      path: of the file.

    Returns:
      Names as in TFLite's schema, "CONV_2D"; a custom operator, TensorFlow's
      own among them, as "CUSTOM FlexErf".

    Raises:
      UserError: the file is missing or no TFLite model.
    """
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError as error:
        raise config.UserError(
            f"{path}: cannot be read ({error.strerror}); name a TFLite file"
        ) from error
    _refuse_other_formats(path, content)
    return _operators(content)


def refuse_unportable_operators(names: list[str]) -> None:
    """Refuses operators that a plain TFLite runtime cannot run.

    Variables are the mark of a model whose weights the converter left out.

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


def _refuse_other_formats(path: str, content: bytes) -> None:
    from ai_edge_litert import interpreter as litert

    try:
        # It verifies every offset; the Python schema below follows them
        # blindly and finds no operators in garbage.
        litert.Interpreter(model_content=content)
    except ValueError as error:
        raise config.UserError(
            f"{path}: is not a TFLite model, or a damaged one; name a .tflite"
            " file or export it again"
        ) from error


def _convert(archive: str) -> bytes:
    with quiet.silenced():
        converter = tf.lite.TFLiteConverter.from_saved_model(
            archive, signature_keys=[saved_model.SIGNATURE]
        )
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        return converter.convert()


def _operators(content: bytes) -> list[str]:
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(content, 0)
    builtin_names = {
        number: name
        for name, number in vars(schema.BuiltinOperator).items()
        if isinstance(number, int)
    }
    names = []
    for code in map(model.OperatorCodes, range(model.OperatorCodesLength())):
        # Two fields: the old one is a byte and ends at 127.
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
