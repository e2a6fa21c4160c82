"""Runs an exported SavedModel from its graph alone, as TF Serving does.

A SavedModel that tf.saved_model.load reads may still fail in TF Serving:
Python finds variables through objects, a server through the graph and its
checkpoint alone. Verification therefore uses a TensorFlow 1 session, which
loads the graph by the same means and shares no variable with Keras.
"""

import dataclasses
import os
from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf

from segan_tf import files
from segan_tf.inference import signatures

_TAG = "serve"
# Signatures that are the loader's own, such as __saved_model_init_op.
_RESERVED = "__"


@dataclasses.dataclass(frozen=True)
class Signature:
    """Inputs and outputs of a signature: their names -> those in the graph."""

    inputs: dict[str, str]
    outputs: dict[str, str]


class Session:
    """A SavedModel on the CPU.

    The CPU, because a check must not depend on the reduced precision that
    GPUs use for convolutions.

    >>> with Session("saved_model/7") as session:
    ...     answer = session.run("probabilities", {"images": images})

    Attributes:
      signatures: by name.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, num_threads: int = 0
    ) -> None:
        """Loads the model.

        Args:
          path: the folder that holds saved_model.pb.
          num_threads: 0 for one per core. The first session of a process
            decides for all.

        Raises:
          OSError: there is no SavedModel there, or a damaged one.
          OpError: its variables cannot be read.
        """
        config = tf.compat.v1.ConfigProto(
            device_count={"GPU": 0},
            intra_op_parallelism_threads=num_threads,
            inter_op_parallelism_threads=num_threads,
        )
        self._session = tf.compat.v1.Session(graph=tf.Graph(), config=config)
        try:
            loaded = tf.compat.v1.saved_model.load(
                self._session, [_TAG], files.without_patterns(path)
            )
        except BaseException:
            self._session.close()
            raise
        self.signatures = {
            name: Signature(
                {key: info.name for key, info in signature.inputs.items()},
                {key: info.name for key, info in signature.outputs.items()},
            )
            for name, signature in sorted(loaded.signature_def.items())
            if not name.startswith(_RESERVED)
        }

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Frees the variables."""
        self._session.close()

    def run(
        self, signature: str, inputs: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        """Runs a signature.

        Args:
          signature: its name, such as "serving_default".
          inputs: every input by name; strings as an object array of bytes.

        Returns:
          Every output by name; strings as an object array of bytes.

        Raises:
          KeyError: there is no such signature or input.
          OpError: the graph failed.
        """
        found = self.signatures[signature]
        fed = {found.inputs[name]: value for name, value in inputs.items()}
        return self._session.run(found.outputs, fed)


def open_runner(
    path: str, *, num_threads: int
) -> Callable[[np.ndarray], object]:
    """Opens a SavedModel to be timed: uint8 [batch, h, w, 3] -> its outputs."""
    session = Session(path, num_threads=num_threads)
    return lambda images: session.run(
        signatures.PROBABILITIES, {signatures.IMAGES: images}
    )
