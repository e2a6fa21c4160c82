"""Runs a SavedModel with the C++ loader that TF Serving uses.

A SavedModel that reloads in Python may still fail in TF Serving: Python finds
variables through objects, the C++ loader through the graph alone. This is the
C API's TF_LoadSessionFromSavedModel and TF_SessionRun, in this process; it
shares no variable with Keras.
"""

import contextlib
import ctypes
import dataclasses
import os

import c_api
import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import config_pb2, meta_graph_pb2

CSessionError = c_api.CSessionError

# The signature by which the loader itself restores the variables.
_INIT_SIGNATURE = "__saved_model_init_op"


@dataclasses.dataclass(frozen=True)
class TensorInfo:
    """One input or output of a signature.

    Attributes:
      tensor_name: within the graph.
      dtype: of TensorFlow.
      shape: None for an open dimension, or altogether for an open rank.
    """

    tensor_name: str
    dtype: tf.DType
    shape: tuple[int | None, ...] | None


@dataclasses.dataclass(frozen=True)
class Signature:
    """What one signature takes and gives, by the names a client uses."""

    inputs: dict[str, TensorInfo]
    outputs: dict[str, TensorInfo]


class CSession:
    """A SavedModel loaded by TensorFlow's C++ loader, on the CPU.

    The CPU, because a proof must not depend on the reduced precision that
    GPUs use for convolutions.

    >>> with CSession("saved_model/7") as session:
    ...     answer = session.run("serving_default", {"images": images})

    Attributes:
      signatures: by name.
    """

    def __init__(
        self,
        saved_model_dir: str | os.PathLike[str],
        *,
        num_threads: int = 0,
    ) -> None:
        """Loads the model.

        Args:
          saved_model_dir: the folder that holds saved_model.pb.
          num_threads: 0 for one a core. The first session of a process
            decides for all.

        Raises:
          CSessionError: there is no SavedModel there, or a broken one.
        """
        self._api = c_api.library()
        with contextlib.ExitStack() as owned:
            self._graph = self._api.TF_NewGraph()
            owned.callback(self._api.TF_DeleteGraph, self._graph)
            try:
                self._session, meta_graph = self._load(
                    saved_model_dir, num_threads
                )
            except CSessionError as error:
                # TensorFlow does not always name the folder.
                raise CSessionError(
                    error.code,
                    f"cannot load {saved_model_dir} as a SavedModel:"
                    f" {error.message}",
                ) from None
            owned.callback(self._delete_session)
            self.signatures = _signatures(meta_graph)
            self._owned = owned.pop_all()
        self._is_open = True

    def __enter__(self) -> "CSession":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        """Frees the session and its variables; a second time does nothing."""
        self._is_open = False
        self._owned.close()

    def run(
        self, signature_name: str, inputs: dict[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        """Runs a signature.

        Args:
          signature_name: such as "serving_default".
          inputs: every input of the signature by name, in its own dtype;
            strings as bytes or an object array of bytes.

        Returns:
          Every output by name; strings as an object array of bytes.

        Raises:
          CSessionError: the session is closed, the signature or an input is
            unknown, missing or of another dtype, or the graph failed.
        """
        if not self._is_open:
            raise CSessionError("FAILED_PRECONDITION", "the session is closed")
        signature = self._signature(signature_name)
        if set(inputs) != set(signature.inputs):
            raise CSessionError(
                "INVALID_ARGUMENT",
                f"signature {signature_name} takes {sorted(signature.inputs)}"
                f", not {sorted(inputs)}",
            )
        infos = signature.outputs.values()
        with contextlib.ExitStack() as lent:
            fed = [
                lent.enter_context(
                    c_api.lent_tensor(_as_array(inputs[name], info.dtype))
                )
                for name, info in signature.inputs.items()
            ]
            fetched = self._run_tensors(signature.inputs.values(), fed, infos)
            for tensor in fetched:
                lent.callback(self._api.TF_DeleteTensor, tensor)
            # Copied before the inputs are freed: a graph may hand an input
            # through, and its strings with it.
            arrays = [c_api.to_array(tensor) for tensor in fetched]
        return dict(zip(signature.outputs, arrays, strict=True))

    def _signature(self, name: str) -> Signature:
        if name not in self.signatures:
            raise CSessionError(
                "INVALID_ARGUMENT",
                f"no signature {name}; there are {sorted(self.signatures)}",
            )
        return self.signatures[name]

    def _run_tensors(self, input_infos, fed, output_infos) -> list[int]:
        sources = [self._output(info) for info in input_infos]
        targets = [self._output(info) for info in output_infos]
        fetched = (ctypes.c_void_p * len(targets))()
        with c_api.checked_status() as status:
            self._api.TF_SessionRun(
                self._session,
                None,
                (c_api.Output * len(sources))(*sources),
                (ctypes.c_void_p * len(fed))(*fed),
                len(fed),
                (c_api.Output * len(targets))(*targets),
                fetched,
                len(targets),
                None,
                0,
                None,
                status,
            )
        return list(fetched)

    def _output(self, info: TensorInfo) -> c_api.Output:
        name, _, index = info.tensor_name.rpartition(":")
        operation = self._api.TF_GraphOperationByName(
            self._graph, name.encode()
        )
        if not operation:
            raise CSessionError(
                "NOT_FOUND", f"the graph has no tensor {info.tensor_name!r}"
            )
        return c_api.Output(operation, int(index))

    def _load(
        self, folder: str | os.PathLike[str], num_threads: int
    ) -> tuple[int, bytes]:
        cpu_only = config_pb2.ConfigProto(
            device_count={"GPU": 0},
            intra_op_parallelism_threads=num_threads,
            inter_op_parallelism_threads=num_threads,
        )
        serialized = cpu_only.SerializeToString()
        with contextlib.ExitStack() as owned:
            options = self._api.TF_NewSessionOptions()
            owned.callback(self._api.TF_DeleteSessionOptions, options)
            meta_graph = self._api.TF_NewBuffer()
            owned.callback(self._api.TF_DeleteBuffer, meta_graph)
            with c_api.checked_status() as status:
                self._api.TF_SetConfig(
                    options, serialized, len(serialized), status
                )
            with c_api.checked_status() as status:
                session = self._api.TF_LoadSessionFromSavedModel(
                    options,
                    None,
                    os.fsencode(folder),
                    (ctypes.c_char_p * 1)(b"serve"),
                    1,
                    self._graph,
                    meta_graph,
                    status,
                )
            content = meta_graph.contents
            return session, ctypes.string_at(content.data, content.length)

    def _delete_session(self) -> None:
        with c_api.checked_status() as status:
            self._api.TF_CloseSession(self._session, status)
        with c_api.checked_status() as status:
            self._api.TF_DeleteSession(self._session, status)


def _as_array(value, dtype: tf.DType) -> np.ndarray:
    # NumPy's own bytes dtype would cut the zero bytes off an image's end.
    return np.asarray(value, dtype=object if dtype == tf.string else None)


def _signatures(meta_graph: bytes) -> dict[str, Signature]:
    parsed = meta_graph_pb2.MetaGraphDef.FromString(meta_graph)
    return {
        name: Signature(_infos(definition.inputs), _infos(definition.outputs))
        for name, definition in sorted(parsed.signature_def.items())
        if name != _INIT_SIGNATURE
    }


def _infos(definitions) -> dict[str, TensorInfo]:
    return {
        name: TensorInfo(
            info.name, tf.as_dtype(info.dtype), _shape(info.tensor_shape)
        )
        for name, info in sorted(definitions.items())
    }


def _shape(definition) -> tuple[int | None, ...] | None:
    if definition.unknown_rank:
        return None
    return tuple(dim.size if dim.size >= 0 else None for dim in definition.dim)
