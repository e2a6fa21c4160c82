"""Tests that a SavedModel that does more than compute is not loaded."""

import os
import shutil

import pytest
import tensorflow as tf

from export.serving import saved_model
from segan_tf import labels
from segan_tf.config import UserError
from segan_tf.inference import backends, saved_model_check
from segan_tf.models import segmentors


class Foreign(tf.Module):
    """A SavedModel with the right signature, and more in it."""

    def __init__(self, more):
        super().__init__()
        self._more = more

    @tf.function(
        input_signature=[
            tf.TensorSpec((None, None, None, 3), tf.uint8, "images")
        ]
    )
    def segment(self, images):
        with tf.control_dependencies([self._more()]):
            zeros = tf.zeros_like(tf.cast(images[..., :1], tf.float32))
        return {"probability_map": zeros}


def _save(folder, more):
    module = Foreign(more)
    path = str(folder / "model")
    tf.saved_model.save(
        module, path, signatures={"probabilities": module.segment}
    )
    return path


def _write(folder):
    return tf.io.write_file(str(folder / "written"), "content")


def _write_later(folder):
    tf.cond(
        tf.random.uniform(()) < 2.0,
        lambda: tf.group(_write(folder)),
        lambda: tf.no_op(),
    )
    return tf.no_op()


@pytest.mark.parametrize(
    ("more", "operator"),
    [
        (_write, "WriteFile"),
        (_write_later, "WriteFile"),
        (lambda _: tf.io.read_file("/etc/hostname"), "ReadFile"),
        (lambda _: tf.io.matching_files("/*"), "MatchingFiles"),
        (lambda _: tf.py_function(print, [1], []), "EagerPyFunc"),
        (lambda _: tf.print("text"), "PrintV2"),
        (
            lambda folder: tf.raw_ops.SaveV2(
                prefix=str(folder / "written"),
                tensor_names=["a"],
                shape_and_slices=[""],
                tensors=[1.0],
            ),
            "SaveV2",
        ),
    ],
    ids=range(7),
)
def test_operators_beyond_computation_are_named_and_not_run(
    more, operator, tmp_path
):
    path = _save(tmp_path, lambda: more(tmp_path))

    with pytest.raises(UserError, match=rf"not exported by .*\b{operator}\b"):
        backends.open_backend(path)

    assert not list(tmp_path.glob("written*"))


def test_table_is_an_error_since_loading_fills_it(tmp_path):
    module = Foreign(tf.no_op)
    (tmp_path / "words").write_text("a\n")
    module.table = tf.lookup.StaticVocabularyTable(
        tf.lookup.TextFileInitializer(
            str(tmp_path / "words"),
            tf.string,
            tf.lookup.TextFileIndex.WHOLE_LINE,
            tf.int64,
            tf.lookup.TextFileIndex.LINE_NUMBER,
        ),
        num_oov_buckets=1,
    )
    path = str(tmp_path / "model")
    tf.saved_model.save(
        module, path, signatures={"probabilities": module.segment}
    )

    with pytest.raises(UserError, match=r"a resource"):
        backends.open_backend(path)


def test_model_that_only_computes_is_opened(tmp_path):
    path = _save(tmp_path, tf.no_op)

    assert backends.open_backend(path).labels == labels.LESION


# Segmentors that no other one of the table is made like.
KINDS = ("segan", "efficientnet_lite0")


def build(name, *, multiclass=True):
    return segmentors.SEGMENTORS[name].build(
        image_size=32, width=1, num_labels=2, multiclass=multiclass
    )


# The head, which depends on the kind of labels, is the same function in all.
@pytest.mark.parametrize(
    ("name", "multiclass"),
    [*((name, True) for name in KINDS), ("segan", False)],
)
def test_exports_of_every_kind_of_segmentor_pass(name, multiclass, tmp_path):
    both = labels.Labels(("a", "b"), multiclass=multiclass)

    path = saved_model.export_saved_model(
        build(name, multiclass=multiclass),
        str(tmp_path),
        version=1,
        labels=both,
    )

    saved_model_check.check_operators(path)


def parts(name):
    """Lists the layers of a segmentor by class and activation."""
    return {
        (type(layer), getattr(layer, "activation", None))
        for layer in build(name).layers
    }


@pytest.mark.parametrize(
    "name", [name for name in segmentors.SEGMENTORS if name not in KINDS]
)
def test_every_other_segmentor_is_made_of_the_layers_of_one_kind(name):
    assert any(parts(name) <= parts(kind) for kind in KINDS)


@pytest.mark.parametrize(
    "name",
    [
        "saved_model.pb",
        "variables/variables.index",
        "variables/variables.data-00000-of-00001",
    ],
)
@pytest.mark.parametrize("kept", [0, 100])
def test_damaged_model_is_one_line(name, kept, export_dir, tmp_path):
    path = tmp_path / "model"
    shutil.copytree(os.path.join(export_dir, "saved_model", "2"), path)
    os.truncate(path / name, kept)

    with pytest.raises(UserError) as caught:
        backends.open_backend(path)

    assert f"--model ({path})" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_model_without_variables_is_one_line(export_dir, tmp_path):
    path = tmp_path / "model"
    shutil.copytree(os.path.join(export_dir, "saved_model", "2"), path)
    shutil.rmtree(path / "variables")

    with pytest.raises(UserError, match="cannot be loaded as a SavedModel"):
        backends.open_backend(path)
