"""Tests of the TFLite models in the runtimes that clients use.

They need what scripts/test --all installs, and are skipped without it.
"""

import os
import pathlib
import shutil
import subprocess

import numpy as np
import pytest
import running
import small_models

from export.tflite import convert
from segan_tf import config, labels
from segan_tf.inference import tflite_model
from segan_tf.models import segan as segmentors

pytestmark = pytest.mark.runtimes

KINDS = config.QUANTIZATIONS
ARM64 = pathlib.Path(running.ROOT) / ".runtimes" / "arm64"
QEMU = "qemu-aarch64-static"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Exports a SegAN segmentor with drawn weights, of all four kinds."""
    segmentor = segmentors.build_segan(image_size=32, width=4)
    small_models.draw_weights(segmentor, scale=0.1)
    kernel, offset = segmentor.get_layer("logits").get_weights()
    # So that some pixels are lesion and some are not.
    segmentor.get_layer("logits").set_weights([4 * kernel, 0 * offset])
    path = tmp_path_factory.mktemp("runtimes")
    for kind in KINDS:
        convert.export_tflite(
            segmentor,
            str(path / f"segan_{kind}.tflite"),
            quantization=kind,
            labels=labels.Labels(),
            version=7,
            calibration_images=small_models.draw_calibration_images(),
        )
    return path


@pytest.fixture(scope="module")
def images():
    """Returns uint8 [3, 32, 32, 3]: noise, dark noise and a gradient."""
    (noise, dark) = small_models.draw_images((32, 32), (32, 32), seed=3)
    ramp = np.broadcast_to(
        np.arange(32, dtype=np.uint8)[:, None, None] * 8, noise.shape
    )
    return np.stack([noise, dark // 3, ramp])


def on_this_machine(folder, kind, images):
    """Returns what LiteRT answers here: float32 [n, 32, 32, 1]."""
    model = tflite_model.TFLiteModel(folder / f"segan_{kind}.tflite")
    return np.concatenate([model.segment(image[None]) for image in images])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore")  # of the packages that it brings
def test_mediapipe_can_use_the_file_unchanged(folder, kind, images):
    mediapipe = pytest.importorskip("mediapipe", reason="needs mediapipe")
    from mediapipe.tasks import python as tasks

    options = tasks.vision.ImageSegmenterOptions(
        base_options=tasks.BaseOptions(
            model_asset_path=str(folder / f"segan_{kind}.tflite")
        ),
        output_confidence_masks=True,
        output_category_mask=True,
    )
    expected = on_this_machine(folder, kind, images)
    with tasks.vision.ImageSegmenter.create_from_options(options) as segmenter:
        assert segmenter.labels == ["lesion"]
        for image, probability_map in zip(images, expected, strict=True):
            answer = segmenter.segment(
                mediapipe.Image(
                    image_format=mediapipe.ImageFormat.SRGB,
                    data=np.ascontiguousarray(image),
                )
            )
            (confidence,) = answer.confidence_masks
            given = confidence.numpy_view().reshape(32, 32, 1)
            np.testing.assert_allclose(given, probability_map, atol=1e-5)
            # With one channel, 0 is the label and 255 is none.
            category = answer.category_mask.numpy_view().reshape(32, 32, 1)
            np.testing.assert_array_equal(
                category, np.where(given > 0.5, 0, 255)
            )
    assert 0 < np.mean(expected > 0.5) < 1  # both categories were there


@pytest.mark.filterwarnings("ignore")
def test_mediapipes_own_classes_read_the_metadata(folder):
    pytest.importorskip("mediapipe", reason="needs mediapipe")
    from ai_edge_litert import schema_py_generated as schema
    from mediapipe.tasks.metadata import (
        image_segmenter_metadata_schema_py_generated as segmenter_schema,
    )
    from mediapipe.tasks.metadata import metadata_schema_py_generated as read

    content = (folder / "segan_int8.tflite").read_bytes()
    model = schema.Model.GetRootAs(content, 0)
    entry = model.Metadata(model.MetadataLength() - 1)
    packed = model.Buffers(entry.Buffer()).DataAsNumpy().tobytes()
    found = read.ModelMetadataT.InitFromPackedBuf(packed)

    (graph,) = found.subgraphMetadata
    (image,) = graph.inputTensorMetadata
    (probability_map,) = graph.outputTensorMetadata
    (custom,) = graph.customMetadata
    assert (found.version, found.minParserVersion) == (b"7", b"1.5.0")
    assert (image.name, probability_map.name) == (b"image", b"probability_map")
    colors = read.ColorSpaceType
    assert image.content.contentProperties.colorSpace == colors.RGB
    assert (
        probability_map.content.contentProperties.colorSpace == colors.GRAYSCALE
    )
    (unit,) = image.processUnits
    assert (unit.options.mean, unit.options.std) == ([0], [1])
    assert (image.stats.min, image.stats.max) == ([0], [255])
    (names,) = probability_map.associatedFiles
    assert names.name == b"labels.txt"
    assert names.type == read.AssociatedFileType.TENSOR_AXIS_LABELS
    assert custom.name == b"SEGMENTER_METADATA"
    options = segmenter_schema.ImageSegmenterOptionsT.InitFromPackedBuf(
        bytes(custom.data)
    )
    assert options.activation == segmenter_schema.Activation.NONE


@pytest.fixture(scope="module")
def on_arm64(folder, images):
    """Runs all four on a phone's kernels; returns the answers by kind."""
    if not shutil.which(QEMU):
        pytest.skip(f"needs {QEMU}")
    if not (ARM64 / "installed").exists():
        pytest.skip("needs scripts/arm64")
    np.save(folder / "images.npy", images)
    models = [
        str(folder / name)
        for kind in KINDS
        for name in (f"segan_{kind}.tflite", f"{kind}.npy")
    ]
    done = subprocess.run(
        # Not "-cpu max": int8 comes out wrong there.
        [
            QEMU,
            "-cpu",
            "cortex-a72",
            "-L",
            ARM64 / "root",
            ARM64 / "root/usr/bin/python3.11",
            running.ROOT / "tests" / "support" / "arm64_run.py",
            folder / "images.npy",
            *models,
        ],
        env={
            "PYTHONHOME": str(ARM64 / "root/usr"),
            "PYTHONPATH": str(ARM64 / "site"),
            "PATH": os.environ["PATH"],
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == "aarch64"
    return {kind: np.load(folder / f"{kind}.npy") for kind in KINDS}


@pytest.mark.parametrize(
    ("kind", "tolerance"),
    # Other kernels add up in another order; in int8 a sum on the edge
    # between two numbers then falls to the other side.
    [("none", 1e-5), ("float16", 1e-5), ("dynamic", 1e-2), ("int8", 2e-2)],
)
def test_arm64_kernels_give_what_x86_gives(
    folder, on_arm64, images, kind, tolerance
):
    expected = on_this_machine(folder, kind, images)

    np.testing.assert_allclose(on_arm64[kind], expected, atol=tolerance)
    assert np.ptp(expected) > 0.2  # there was something to differ in
