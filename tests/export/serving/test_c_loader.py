"""Tests of the tests' C++ loader on graphs that can be computed by hand."""

import resource
import shutil
import sys

import c_loader
import numpy as np
import pytest
import tensorflow as tf


class _Arithmetic(tf.Module):
    """One signature per kind of tensor that a client may send."""

    def __init__(self):
        super().__init__()
        self.factor = tf.Variable(3.0)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def scale(self, x):
        return {"scaled": self.factor * x, "sum": tf.reduce_sum(x)}

    @tf.function(input_signature=[tf.TensorSpec(None, tf.uint8, name="x")])
    def add_uint8(self, x):
        return {"y": x + 1}

    @tf.function(input_signature=[tf.TensorSpec(None, tf.int32, name="x")])
    def add_int32(self, x):
        return {"y": x + 1}

    @tf.function(input_signature=[tf.TensorSpec(None, tf.int64, name="x")])
    def add_int64(self, x):
        return {"y": x + 1}

    @tf.function(input_signature=[tf.TensorSpec(None, tf.bool, name="x")])
    def negate(self, x):
        return {"y": tf.logical_not(x)}

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.string, name="a"),
            tf.TensorSpec([None], tf.string, name="b"),
        ]
    )
    def join(self, a, b):
        return {"same": a, "joined": a + b, "length": tf.strings.length(a)}

    @tf.function(input_signature=[tf.TensorSpec([], tf.string, name="png")])
    def invert_png(self, png):
        image = tf.io.decode_png(png, channels=3)
        return {"png_bytes": tf.io.encode_png(255 - image)}


@pytest.fixture(scope="module")
def saved_model_dir(tmp_path_factory):
    path = str(tmp_path_factory.mktemp("model"))
    module = _Arithmetic()
    names = ["scale", "add_uint8", "add_int32", "add_int64"]
    names += ["negate", "join", "invert_png"]
    signatures = {name: getattr(module, name) for name in names}
    tf.saved_model.save(module, path, signatures=signatures)
    return path


@pytest.fixture(scope="module")
def session(saved_model_dir):
    with c_loader.CSession(saved_model_dir) as session:
        yield session


def test_signatures_hold_names_and_dtypes(session):
    signature = session.signatures["join"]

    assert {k: v.dtype for k, v in signature.inputs.items()} == {
        "a": tf.string,
        "b": tf.string,
    }
    assert {k: v.dtype for k, v in signature.outputs.items()} == {
        "same": tf.string,
        "joined": tf.string,
        "length": tf.int32,
    }
    assert signature.inputs["a"].tensor_name == "join_a:0"


def test_signatures_hold_shapes_with_none_where_open(session):
    assert session.signatures["scale"].inputs["x"].shape == (None,)
    assert session.signatures["scale"].outputs["sum"].shape == ()
    assert session.signatures["negate"].inputs["x"].shape is None


def test_signatures_of_the_loader_are_left_out(session):
    assert sorted(session.signatures) == [
        "add_int32",
        "add_int64",
        "add_uint8",
        "invert_png",
        "join",
        "negate",
        "scale",
    ]


def test_variables_are_read_from_the_file(session):
    outputs = session.run("scale", {"x": np.float32([1, 2])})

    np.testing.assert_array_equal(outputs["scaled"], [3 * 1, 3 * 2])
    assert outputs["scaled"].dtype == np.float32
    assert outputs["sum"].shape == ()
    assert outputs["sum"] == 1 + 2


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("add_uint8", np.uint8),
        ("add_int32", np.int32),
        ("add_int64", np.int64),
    ],
)
@pytest.mark.parametrize("shape", [(), (0,), (2, 3)])
def test_integers_keep_dtype_and_shape(session, name, dtype, shape):
    given = np.full(shape, 41, dtype)

    answer = session.run(name, {"x": given})["y"]

    assert answer.dtype == dtype
    np.testing.assert_array_equal(answer, np.full(shape, 41 + 1))


def test_bools_keep_dtype_and_shape(session):
    answer = session.run("negate", {"x": np.array([[True], [False]])})["y"]

    assert answer.dtype == np.bool_
    np.testing.assert_array_equal(answer, [[False], [True]])


def test_transposed_arrays_are_read_in_their_own_order(session):
    given = np.arange(6, dtype=np.int32).reshape(2, 3).T

    answer = session.run("add_int32", {"x": given})["y"]

    np.testing.assert_array_equal(answer, [[1, 4], [2, 5], [3, 6]])


def test_strings_keep_every_byte_in_both_directions(session):
    # Short strings live inside TF_TString, long ones outside; zero bytes at
    # the end are what NumPy's bytes dtype would cut off.
    texts = [b"", b"short\0", b"long" * 100 + b"\0\0", b"\xff\x00\xfe"]
    outputs = session.run("join", {"a": texts, "b": [b"!"] * 4})

    assert outputs["same"].tolist() == texts
    assert outputs["joined"].tolist() == [text + b"!" for text in texts]
    np.testing.assert_array_equal(outputs["length"], [0, 5 + 1, 4 * 100 + 2, 3])


def test_png_bytes_are_inputs_and_outputs(session):
    image = np.uint8([[[0, 1, 2], [250, 251, 252]]])
    png = tf.io.encode_png(image).numpy()

    answer = session.run("invert_png", {"png": png})["png_bytes"].item()

    np.testing.assert_array_equal(tf.io.decode_png(answer), 255 - image)


@pytest.mark.parametrize(
    ("name", "inputs", "words"),
    [
        ("none", {}, "no signature none; there are .*'scale'"),
        ("scale", {}, r"scale takes \['x'\], not \[\]"),
        ("scale", {"y": np.float32([1])}, r"takes \['x'\], not \['y'\]"),
        ("scale", {"x": np.array([1])}, "to be float but int64 is provided"),
        ("negate", {"x": np.array(["a"])}, "not str"),
        ("join", {"a": ["x"], "b": [b"x"]}, "made of bytes, not str"),
        ("join", {"a": [b"x"] * 2, "b": [b"x"] * 3}, "Incompatible shapes"),
        ("negate", {"x": np.zeros(1, [("a", "f4")])}, "TensorFlow DType"),
    ],
)
def test_wrong_inputs_are_errors(session, name, inputs, words):
    with pytest.raises(c_loader.CSessionError, match=words) as caught:
        session.run(name, inputs)

    assert caught.value.code == "INVALID_ARGUMENT"


def test_session_works_after_an_error(session):
    with pytest.raises(c_loader.CSessionError, match="PNG"):
        session.run("invert_png", {"png": b"no image"})

    answer = session.run("scale", {"x": np.float32([5])})["scaled"]
    np.testing.assert_array_equal(answer, [3 * 5])


def test_missing_folder_is_an_error(tmp_path):
    words = "cannot load .*nowhere as a SavedModel: Could not find SavedModel"
    with pytest.raises(c_loader.CSessionError, match=words) as caught:
        c_loader.CSession(tmp_path / "nowhere")

    assert caught.value.code == "NOT_FOUND"


@pytest.mark.parametrize("content", [b"", b"no model", b"no model" * 1000])
def test_garbage_is_an_error(tmp_path, content):
    (tmp_path / "saved_model.pb").write_bytes(content)

    words = f"cannot load {tmp_path} as a SavedModel"
    with pytest.raises(c_loader.CSessionError, match=words):
        c_loader.CSession(tmp_path)


def test_missing_weights_are_an_error(saved_model_dir, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(saved_model_dir, broken)
    shutil.rmtree(broken / "variables")

    with (
        c_loader.CSession(broken) as session,
        pytest.raises(c_loader.CSessionError, match="variable"),
    ):
        session.run("scale", {"x": np.float32([1])})


def test_closed_session_cannot_run(saved_model_dir):
    session = c_loader.CSession(saved_model_dir)
    session.close()
    session.close()

    with pytest.raises(c_loader.CSessionError, match="session is closed"):
        session.run("scale", {"x": np.float32([1])})


def test_strings_and_sessions_are_freed(saved_model_dir):
    text = b"x" * (1 << 20)

    def peak_mib():
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)

    def use(times):
        for _ in range(times):
            with c_loader.CSession(saved_model_dir) as session:
                for _ in range(10):
                    session.run("join", {"a": [text], "b": [text]})

    use(2)
    before = peak_mib()
    use(10)

    # 10 * 10 runs, each with 2 MiB in and 3 MiB out: a leak is 200 MiB or
    # more.
    assert peak_mib() - before < 50
