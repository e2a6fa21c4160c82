"""Tests of the metadata in a TFLite file."""

import io
import zipfile

import numpy as np
import pytest
import small_models
from ai_edge_litert import interpreter as litert
from ai_edge_litert import schema_py_generated as schema

from export.tflite import contract, convert, metadata, operators
from segan_tf.inference import signatures


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """Returns a float32 model as the converter writes it."""
    archive = str(tmp_path_factory.mktemp("bare") / "archive")
    convert.write_static_archive(
        small_models.build_segmentor(num_labels=2), archive, "none"
    )
    return convert.convert(archive, "none")


@pytest.fixture(scope="module")
def promised(bare):
    return contract.make_contract(
        bare, quantization="none", labels=small_models.TWO_LABELS, version=7
    )


@pytest.fixture(scope="module")
def content(bare, promised):
    return metadata.attach_metadata(bare, promised)


def run(content, image):
    """Runs a model."""
    interpreter = litert.Interpreter(model_content=content)
    return interpreter.get_signature_runner(signatures.DEFAULT)(
        image=np.float32(image)
    )["probability_map"]


def test_the_model_computes_the_same_as_before(bare, content):
    image = np.stack(small_models.draw_images((32, 32)))

    np.testing.assert_array_equal(run(content, image), run(bare, image))
    assert operators.list_operators(content) == operators.list_operators(bare)


def test_label_names_are_a_text_file_in_the_model(content):
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.namelist() == ["labels.txt", "contract.json"]
        assert archive.read("labels.txt") == b"lesion\nhair\n"
        # Stored, so that a runtime can map them from the file.
        assert {i.compress_type for i in archive.infolist()} == {0}


def test_every_tensor_is_aligned_for_vectorized_kernels(content):
    model = schema.Model.GetRootAs(content, 0)
    start = np.frombuffer(content, np.uint8).ctypes.data
    buffers = map(model.Buffers, range(model.BuffersLength()))
    places = [
        buffer.DataAsNumpy().ctypes.data - start
        for buffer in buffers
        if buffer.DataLength()
    ]

    assert len(places) > 5
    assert [place % 16 for place in places] == [0] * len(places)


def test_metadata_is_added_to_that_of_the_converter(bare, content):
    def names(content):
        model = schema.Model.GetRootAs(content, 0)
        return [model.Metadata(i).Name() for i in range(model.MetadataLength())]

    assert names(content) == [*names(bare), b"TFLITE_METADATA"]
    assert b"min_runtime_version" in names(bare)
    model = schema.Model.GetRootAs(content, 0)
    entry = model.Metadata(model.MetadataLength() - 1)
    written = model.Buffers(entry.Buffer()).DataAsNumpy().tobytes()
    assert written[4:8] == b"M001"
    for word in (b"image", b"probability_map", b"labels.txt", b"1.5.0"):
        assert word in written
