"""TensorFlow's C API by ctypes: the library, its errors and its tensors.

The functions come from libtensorflow_cc in the TensorFlow wheel, which the
running Python already holds: opening it again gives the same library. Their
contracts are in the wheel's include/tensorflow/c/c_api.h, tf_tensor.h and
tf_tstring.h.
"""

import contextlib
import ctypes
import functools
import os
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

_LIBRARY_NAMES = ("libtensorflow_cc.so.2", "libtensorflow_cc.2.dylib")

# absl::StatusCode, in order (tensorflow/c/tf_status.h: TF_Code).
_CODE_NAMES = (
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
)

# sizeof(TF_TString) on 64-bit machines (tensorflow/core/platform/ctstring.h).
_STRING_BYTES = 24

_POINTER = ctypes.c_void_p
_SIZE = ctypes.c_size_t
_INT = ctypes.c_int
_DIMENSIONS = ctypes.POINTER(ctypes.c_int64)
_POINTERS = ctypes.POINTER(ctypes.c_void_p)


class CSessionError(RuntimeError):
    """An error of TensorFlow's C API.

    Attributes:
      code: TensorFlow's name of it, such as "NOT_FOUND".
      message: TensorFlow's.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class Buffer(ctypes.Structure):
    """TF_Buffer: bytes that TensorFlow hands over."""

    _fields_ = [
        ("data", _POINTER),
        ("length", _SIZE),
        ("deallocator", _POINTER),
    ]


class Output(ctypes.Structure):
    """TF_Output: one output of one operation of a graph."""

    _fields_ = [("operation", _POINTER), ("index", _INT)]


_OUTPUTS = ctypes.POINTER(Output)

# name: (result, arguments)
_FUNCTIONS = {
    "TF_NewStatus": (_POINTER, []),
    "TF_DeleteStatus": (None, [_POINTER]),
    "TF_GetCode": (_INT, [_POINTER]),
    "TF_Message": (ctypes.c_char_p, [_POINTER]),
    "TF_NewBuffer": (ctypes.POINTER(Buffer), []),
    "TF_DeleteBuffer": (None, [ctypes.POINTER(Buffer)]),
    "TF_NewGraph": (_POINTER, []),
    "TF_DeleteGraph": (None, [_POINTER]),
    "TF_GraphOperationByName": (_POINTER, [_POINTER, ctypes.c_char_p]),
    "TF_NewSessionOptions": (_POINTER, []),
    "TF_SetConfig": (None, [_POINTER, ctypes.c_char_p, _SIZE, _POINTER]),
    "TF_DeleteSessionOptions": (None, [_POINTER]),
    "TF_LoadSessionFromSavedModel": (
        _POINTER,
        [
            _POINTER,  # session options
            ctypes.POINTER(Buffer),  # run options
            ctypes.c_char_p,  # folder
            ctypes.POINTER(ctypes.c_char_p),  # tags
            _INT,
            _POINTER,  # graph, filled
            ctypes.POINTER(Buffer),  # MetaGraphDef, filled
            _POINTER,  # status
        ],
    ),
    "TF_CloseSession": (None, [_POINTER, _POINTER]),
    "TF_DeleteSession": (None, [_POINTER, _POINTER]),
    "TF_SessionRun": (
        None,
        [
            _POINTER,  # session
            ctypes.POINTER(Buffer),  # run options
            _OUTPUTS,  # fed: where, what, how many
            _POINTERS,
            _INT,
            _OUTPUTS,  # fetched: where, what (filled), how many
            _POINTERS,
            _INT,
            _POINTERS,  # operations to run without output
            _INT,
            ctypes.POINTER(Buffer),  # run metadata
            _POINTER,  # status
        ],
    ),
    "TF_AllocateTensor": (_POINTER, [_INT, _DIMENSIONS, _INT, _SIZE]),
    "TF_DeleteTensor": (None, [_POINTER]),
    "TF_TensorType": (_INT, [_POINTER]),
    "TF_NumDims": (_INT, [_POINTER]),
    "TF_Dim": (ctypes.c_int64, [_POINTER, _INT]),
    "TF_TensorData": (_POINTER, [_POINTER]),
    "TF_StringInit": (None, [_POINTER]),
    "TF_StringCopy": (None, [_POINTER, ctypes.c_char_p, _SIZE]),
    "TF_StringGetDataPointer": (_POINTER, [_POINTER]),
    "TF_StringGetSize": (_SIZE, [_POINTER]),
}


@functools.cache
def library() -> ctypes.CDLL:
    """Opens the wheel's libtensorflow_cc with every function declared.

    Raises:
      CSessionError: this TensorFlow wheel has no such library.
    """
    folder = tf.sysconfig.get_lib()
    for name in _LIBRARY_NAMES:
        path = os.path.join(folder, name)
        if os.path.exists(path):
            break
    else:
        raise CSessionError(
            "UNIMPLEMENTED",
            f"none of {', '.join(_LIBRARY_NAMES)} is in {folder}: TensorFlow's"
            " wheel for this platform cannot load a SavedModel as a server"
            " does; export on Linux",
        )
    opened = ctypes.CDLL(path)
    for name, (result, arguments) in _FUNCTIONS.items():
        function = getattr(opened, name)
        function.restype = result
        function.argtypes = arguments
    return opened


@contextlib.contextmanager
def checked_status() -> Iterator[int]:
    """Lends a TF_Status to one call.

    Raises:
      CSessionError: the call set it to anything but OK.
    """
    api = library()
    status = api.TF_NewStatus()
    try:
        yield status
        code = api.TF_GetCode(status)
        if code:
            known = code < len(_CODE_NAMES)
            raise CSessionError(
                _CODE_NAMES[code] if known else f"CODE_{code}",
                api.TF_Message(status).decode(errors="replace"),
            )
    finally:
        api.TF_DeleteStatus(status)


@contextlib.contextmanager
def lent_tensor(array: np.ndarray) -> Iterator[int]:
    """Copies an array into a TF_Tensor that lives as long as the block.

    Args:
      array: any numeric dtype of TensorFlow, or an object array of bytes.

    Raises:
      CSessionError: TensorFlow has no such dtype, or an element of an object
        array is not bytes.
    """
    api = library()
    try:
        dtype = tf.as_dtype(array.dtype)
    except TypeError as error:
        raise CSessionError("INVALID_ARGUMENT", str(error)) from error
    if dtype == tf.string:
        _check_other_than_bytes(array)
        num_bytes = array.size * _STRING_BYTES
    else:
        num_bytes = array.nbytes
    tensor = api.TF_AllocateTensor(
        dtype.as_datatype_enum,
        (ctypes.c_int64 * array.ndim)(*array.shape),
        array.ndim,
        num_bytes,
    )
    try:
        data = api.TF_TensorData(tensor)
        if dtype == tf.string:
            _copy_strings(array, data)
        else:
            # Not ascontiguousarray, which makes a scalar a vector.
            contiguous = np.asarray(array, order="C")
            ctypes.memmove(data, contiguous.ctypes.data, num_bytes)
        yield tensor
    finally:
        api.TF_DeleteTensor(tensor)


def _check_other_than_bytes(array: np.ndarray) -> None:
    # Before the tensor exists: TF_DeleteTensor frees what its strings point
    # to, and crashes on strings that were never initialized.
    for item in array.flat:
        if not isinstance(item, bytes):
            raise CSessionError(
                "INVALID_ARGUMENT",
                f"a string tensor is made of bytes, not {type(item).__name__}",
            )


def _copy_strings(array: np.ndarray, data: int) -> None:
    api = library()
    for i, item in enumerate(array.flat):
        api.TF_StringInit(data + i * _STRING_BYTES)
        api.TF_StringCopy(data + i * _STRING_BYTES, item, len(item))


def to_array(tensor: int) -> np.ndarray:
    """Copies a TF_Tensor into an array; strings become an object array.

    Raises:
      CSessionError: the tensor is a handle (a resource or a variant).
    """
    api = library()
    dtype = tf.as_dtype(api.TF_TensorType(tensor))
    shape = [api.TF_Dim(tensor, axis) for axis in range(api.TF_NumDims(tensor))]
    data = api.TF_TensorData(tensor)
    if dtype in (tf.resource, tf.variant):
        raise CSessionError("UNIMPLEMENTED", f"cannot read a {dtype.name}")
    array = np.empty(shape, dtype.as_numpy_dtype)
    if dtype != tf.string:
        ctypes.memmove(array.ctypes.data, data, array.nbytes)
        return array
    for i in range(array.size):
        place = data + i * _STRING_BYTES
        array.flat[i] = ctypes.string_at(
            api.TF_StringGetDataPointer(place), api.TF_StringGetSize(place)
        )
    return array
