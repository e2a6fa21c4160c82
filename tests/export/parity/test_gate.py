"""Tests that artifacts are withheld if they differ from Keras."""

import contextlib
import dataclasses
import hashlib
import json
import math
import os
import shutil

import keras
import numpy as np
import pytest
import small_models
import tensorflow as tf

from export import artifact
from export.parity import benchmark, comparison, gate, parity_dataset, table
from export.serving import graph, saved_model
from segan_tf import config, labels, records
from segan_tf.imaging import preprocessing

ALL = ("saved_model", *config.QUANTIZATIONS)
MEASURED = {"latency_ms": 2.5, "peak_memory_mb": 12.0}


@pytest.fixture(autouse=True, scope="module")
def _no_measurement():
    """Replaces the processes that measure time and memory."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(benchmark, "measure", lambda *_, **__: dict(MEASURED))
        yield


@pytest.fixture(scope="module")
def segmentor():
    return small_models.build_segmentor()


@pytest.fixture(scope="module")
def other_segmentor():
    return small_models.build_segmentor(seed=2)


def export_all(
    segmentor, export_dir, *, version=1, calibration_images=(), **changes
):
    """Exports by the plainest arguments but for the changes."""
    images = small_models.draw_images((50, 40), (20, 70), (50, 40))
    given = {
        "export_dir": str(export_dir),
        "version": version,
        "step": 1800,
        "labels": labels.Labels(),
        "quantizations": ("none",),
        "dataset": parity_dataset.ParityDataset(
            images,
            [(image, np.ones((*image.shape[:2], 1), "u1")) for image in images],
            "a test",
            calibration_images,
        ),
        **changes,
    }
    return gate.export_all(segmentor, **given)


@pytest.fixture(scope="module")
def exported(segmentor, tmp_path_factory):
    export_dir = tmp_path_factory.mktemp("export")
    return export_dir, export_all(
        segmentor,
        export_dir,
        version=7,
        quantizations=config.QUANTIZATIONS,
        calibration_images=small_models.draw_calibration_images(),
        allow_parity_loss=True,
    )


def test_record_describes_what_is_in_the_folder(exported):
    export_dir, record = exported

    assert records.read(export_dir / "parity.json") == record
    assert sorted(os.listdir(export_dir)) == sorted(
        ["parity.json", "saved_model"]
        + [f"segan_{q}.json" for q in config.QUANTIZATIONS]
        + [f"segan_{q}.tflite" for q in config.QUANTIZATIONS]
    )
    assert os.listdir(export_dir / "saved_model") == ["7"]
    assert (record["version"], record["step"]) == (7, 1800)
    assert record["images"] == 3
    assert tuple(record["artifacts"]) == ALL
    assert record["versions"]["tensorflow"] == tf.__version__
    assert record["versions"]["keras"] == keras.__version__


@pytest.mark.parametrize("name", ALL)
def test_record_holds_size_and_hash_of_every_file(exported, name):
    export_dir, record = exported
    row = record["artifacts"][name]
    path = export_dir / row["path"]

    folder = path if path.is_dir() else path.parent
    paths = (
        path.rglob("*") if path.is_dir() else path.parent.glob(f"{path.stem}.*")
    )
    expected = {
        str(file.relative_to(folder)): {
            "bytes": file.stat().st_size,
            "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        }
        for file in paths
        if file.is_file()
    }

    assert row["files"] == expected


@pytest.mark.parametrize(
    ("name", "limits"),
    [
        (
            "saved_model",
            {
                "difference": 1e-4,
                "disagreement": 1e-3,
                "served_difference": 1e-3,
            },
        ),
        ("none", {"difference": 1e-4, "disagreement": 1e-3}),
        ("float16", {"difference": 0.05, "dice_loss": 0.005}),
        ("dynamic", {"dice_loss": 0.005}),
        ("int8", {"dice_loss": 0.005}),
    ],
)
def test_each_kind_is_judged_by_its_own_limits(exported, name, limits):
    row = exported[1]["artifacts"][name]

    found = {check["measure"]: check["limit"] for check in row["checks"]}
    assert found == limits
    assert row["limit"] == limits[row["judged_by"]]
    assert row["within_limit"] == all(
        check["value"] <= check["limit"] for check in row["checks"]
    )
    assert row["largest_difference"] >= row["difference"] * (1 - 1 / 128) > 0


def test_record_holds_costs_and_operators(exported):
    rows = exported[1]["artifacts"]

    assert rows["none"]["latency_ms"] == {
        "one_thread": 2.5,
        "all_threads": 2.5,
    }
    assert rows["none"]["peak_memory_mb"] == 12
    assert rows["none"]["operators"]["CONV_2D"] == 2
    assert rows["none"]["delegated_share"] == 1
    # Everything but the first step, from uint8 to int8, of 10.
    assert rows["int8"]["delegated_share"] == 9 / 10
    assert rows["saved_model"]["operators"] is None


def summary(difference=0.0, dice=None, dice_to_keras=1.0, largest=None):
    """Makes the summary of an artifact's comparison."""
    scores = {
        "difference": difference,
        "dice": dice,
        "iou": dice,
        "dice_to_keras": dice_to_keras,
    }
    return {
        **scores,
        "largest_difference": difference if largest is None else largest,
        "served_difference": None,
        "labels": {"lesion": scores},
    }


def keras_summary(dice):
    """Makes that of Keras."""
    return {"dice": dice, "labels": {"lesion": {"dice": dice}}}


@pytest.mark.parametrize(
    ("kind", "row", "keras_dice", "within"),
    [
        ("saved_model", summary(1e-4), 0.9, True),
        ("saved_model", summary(1.1e-4), 0.9, False),
        # Single pixels, however many images there are.
        ("saved_model", summary(1e-6, largest=3.2e-5), 0.9, True),
        ("saved_model", summary(1e-6, dice_to_keras=0.998), 0.9, False),
        ("none", summary(1e-4), None, True),
        ("none", summary(math.nan), None, False),
        ("float16", summary(0.05, dice=0.9, largest=0.2), 0.9, True),
        ("float16", summary(0.051, dice=0.9), 0.9, False),
        ("float16", summary(0.001, dice=0.8949), 0.9, False),
        ("float16", summary(math.inf), None, False),
        ("int8", summary(0.5, dice=0.8951), 0.9, True),
        ("int8", summary(0.5, dice=0.8949), 0.9, False),
        ("int8", summary(0.5, dice=0.95), 0.9, True),
        ("dynamic", summary(math.nan, dice=0.9), 0.9, False),
        ("dynamic", summary(0.5, dice_to_keras=0.981), None, True),
        ("dynamic", summary(0.5, dice_to_keras=0.979), None, False),
    ],
)
def test_artifact_is_within_its_limit_or_not(kind, row, keras_dice, within):
    tolerance = artifact.ARTIFACTS[kind].tolerance
    gate.check_tolerance(row, tolerance, keras_row=keras_summary(keras_dice))
    assert row["within_limit"] is within


def test_one_label_that_loses_too_much_withholds_the_artifact():
    # The mean over three labels loses 0.0147 / 3 < 0.005.
    losses = {"right": 0.0147, "middle": 0, "left": 0}
    row = summary(0.1, dice=0.9 - 0.0147 / 3)
    row["labels"] = {
        name: {"difference": 0.1, "dice": 0.9 - loss, "dice_to_keras": 0.99}
        for name, loss in losses.items()
    }
    keras_row = {"dice": 0.9, "labels": {n: {"dice": 0.9} for n in losses}}

    tolerance = artifact.ARTIFACTS["int8"].tolerance
    gate.check_tolerance(row, tolerance, keras_row=keras_row)

    assert not row["within_limit"]
    assert (row["judged_by"], row["label"]) == ("dice_loss", "right")
    assert row["value"] == pytest.approx(0.0147)
    beyond = [c["label"] for c in row["checks"] if not c["within_limit"]]
    assert beyond == ["right"]


def test_label_that_no_image_has_is_judged_by_the_label_maps_of_keras():
    row = summary(0.1, dice=0.9)
    row["labels"] = {
        "present": {"difference": 0.1, "dice": 0.9, "dice_to_keras": 0.97},
        "absent": {"difference": 0.1, "dice": None, "dice_to_keras": 0.97},
        "never": {"difference": 0.1, "dice": None, "dice_to_keras": None},
    }
    keras_row = {
        "dice": 0.9,
        "labels": {
            name: {"dice": part["dice"]} for name, part in row["labels"].items()
        },
    }

    tolerance = artifact.ARTIFACTS["int8"].tolerance
    gate.check_tolerance(row, tolerance, keras_row=keras_row)

    beyond = [c["label"] for c in row["checks"] if not c["within_limit"]]
    assert beyond == ["absent"]


def test_artifact_beyond_its_limit_is_withheld(
    segmentor, other_segmentor, tmp_path, monkeypatch
):
    write = saved_model.export_saved_model
    monkeypatch.setattr(
        saved_model,
        "export_saved_model",
        lambda _, *rest, **more: write(other_segmentor, *rest, **more),
    )

    record = export_all(segmentor, tmp_path)

    (failure,) = table.failures(record)
    path = os.path.join("saved_model", "1")
    assert failure.startswith(f"{path} differs from Keras by 0.")
    assert "more than 0.001; it was not exported (pass --allow_par" in failure
    assert sorted(os.listdir(tmp_path)) == [
        "parity.json",
        "segan_none.json",
        "segan_none.tflite",
    ]
    rows = json.loads((tmp_path / "parity.json").read_text())["artifacts"]
    assert {name: row["published"] for name, row in rows.items()} == {
        "saved_model": False,
        "none": True,
    }


def test_allowed_artifact_beyond_its_limit_is_marked(
    segmentor, tmp_path, monkeypatch
):
    strict = dataclasses.replace(
        artifact.ARTIFACTS["none"], tolerance=artifact.Tolerance(0)
    )
    monkeypatch.setitem(artifact.ARTIFACTS, "none", strict)

    record = export_all(segmentor, tmp_path, allow_parity_loss=True)

    assert table.failures(record) == []
    row = record["artifacts"]["none"]
    assert (row["within_limit"], row["published"]) == (False, True)
    assert (tmp_path / "segan_none.tflite").exists()


def write_keras(model, folder):
    path = os.path.join(folder, "segan.keras")
    model.segmentor.save(path)
    return path


@contextlib.contextmanager
def open_keras(path):
    model = keras.models.load_model(path)
    yield comparison.OpenedArtifact(
        lambda _, resized: model(preprocessing.normalize(resized)).numpy(),
        own_size=False,
    )


def test_target_is_added_by_its_row_of_the_table(
    segmentor, tmp_path, monkeypatch
):
    target = artifact.Artifact(
        "keras_file",
        tolerance=artifact.Tolerance(1e-6),
        write=write_keras,
        open=open_keras,
        runner=artifact.ARTIFACTS["none"].runner,
    )
    monkeypatch.setitem(artifact.ARTIFACTS, target.name, target)

    record = export_all(segmentor, tmp_path)

    row = record["artifacts"]["keras_file"]
    assert row["path"] == "segan.keras"
    assert row["checks"][0]["limit"] == 1e-6
    assert row["within_limit"]
    assert row["latency_ms"]["one_thread"] == MEASURED["latency_ms"]
    assert (tmp_path / "segan.keras").exists()
    assert "segan.keras" in table.format_table(record)


def test_serving_graph_that_does_not_normalize_is_withheld(
    segmentor, tmp_path, monkeypatch
):
    def without_normalizing(segmentor, images, **_):
        small = tf.image.resize(images, (32, 32), antialias=True)
        probability_map = segmentor(small, training=False)
        size = tf.shape(images)[1:3]
        return {"probability_map": tf.image.resize(probability_map, size)}

    monkeypatch.setattr(graph, "segment_images", without_normalizing)

    row = export_all(segmentor, tmp_path)["artifacts"]["saved_model"]

    assert row["largest_difference"] > 0.01
    assert not (tmp_path / "saved_model").exists()


def test_serving_graph_with_another_threshold_is_withheld(
    segmentor, tmp_path, monkeypatch
):
    def decide_at_04(probability_map, **_):
        return tf.cast(probability_map > 0.4, tf.float32)

    write = saved_model.export_saved_model

    def write_otherwise(*args, **more):
        with monkeypatch.context() as patch:
            patch.setattr(preprocessing, "decide_label_map", decide_at_04)
            return write(*args, **more)

    monkeypatch.setattr(saved_model, "export_saved_model", write_otherwise)

    row = export_all(segmentor, tmp_path)["artifacts"]["saved_model"]

    assert (row["judged_by"], row["label"]) == ("served_difference", "")
    # How far below 0.5 the probabilities are that were taken for lesion.
    assert 0.01 < row["served_difference"] <= 0.5 - 0.4
    assert not (tmp_path / "saved_model").exists()


@pytest.mark.any_edition
def test_next_version_is_added_to_the_last_and_prints_nothing(
    other_segmentor, exported, tmp_path, capfd
):
    export_dir = shutil.copytree(exported[0], tmp_path / "export")

    record = export_all(other_segmentor, export_dir, version=8)

    assert capfd.readouterr() == ("", "")
    assert sorted(os.listdir(export_dir / "saved_model")) == ["7", "8"]
    contract = json.loads((export_dir / "segan_none.json").read_text())
    assert contract["version"] == record["version"] == 8
    assert (
        record["artifacts"]["none"]["files"]["segan_none.tflite"]["sha256"]
        == contract["sha256"]
    )


def test_existing_version_is_an_error_before_any_work(
    segmentor, exported, monkeypatch
):
    monkeypatch.setattr(saved_model, "write_archive", None)

    with pytest.raises(config.UserError, match="version 7 exists already"):
        export_all(segmentor, exported[0], version=7)


@pytest.mark.parametrize("version", [3, 6])
def test_version_below_the_highest_is_an_error_before_any_work(
    version, segmentor, exported, monkeypatch
):
    monkeypatch.setattr(saved_model, "write_archive", None)

    words = rf"holds version 7, .* not serve version {version}; .*folder\.$"
    with pytest.raises(config.UserError, match=words):
        export_all(segmentor, exported[0], version=version)


@pytest.mark.any_edition
def test_files_of_an_earlier_export_are_kept(
    other_segmentor, exported, tmp_path
):
    export_dir = shutil.copytree(exported[0], tmp_path / "export")
    replaced = ["parity.json", "segan_none.json", "segan_none.tflite"]
    before = {name: (export_dir / name).read_bytes() for name in replaced}

    for version in (8, 9):
        export_all(other_segmentor, export_dir, version=version)

    earlier = export_dir / "earlier"
    assert sorted(os.listdir(earlier)) == ["7", "8"]
    assert {
        name: (earlier / "7" / name).read_bytes()
        for name in os.listdir(earlier / "7")
    } == before
    assert sorted(os.listdir(earlier / "8")) == replaced
    assert sorted(os.listdir(export_dir / "saved_model")) == ["7", "8", "9"]


@pytest.mark.any_edition
def test_model_of_an_earlier_export_is_named(
    other_segmentor, exported, tmp_path
):
    export_dir = shutil.copytree(exported[0], tmp_path / "export")
    (export_dir / "segan_int8.tflite").write_bytes(b"earlier")

    record = export_all(other_segmentor, export_dir, version=8)

    others = ["segan_dynamic.tflite", "segan_float16.tflite"]
    assert record["earlier"] == [*others, "segan_int8.tflite"]
    assert record["previous_version"] == 7
    last = table.format_table(record).splitlines()[-1]
    assert last.startswith("still there from an earlier export: segan_dynamic")


def test_few_calibration_images_are_an_error_before_any_work(
    segmentor, tmp_path, monkeypatch
):
    monkeypatch.setattr(saved_model, "write_archive", None)

    with pytest.raises(config.UserError, match="at least 100 different"):
        export_all(segmentor, tmp_path, quantizations=("int8",))


def test_folder_that_cannot_be_made_is_an_error(segmentor, tmp_path):
    (tmp_path / "file").write_text("in the way")
    export_dir = tmp_path / "file" / "export"

    words = f"--export_dir: cannot write in {export_dir}"
    with pytest.raises(config.UserError, match=words):
        export_all(segmentor, export_dir)
