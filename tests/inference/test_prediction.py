"""Tests of predicting images with every kind of model."""

import csv
import errno
import os
import pathlib
import shutil

import c_loader
import fake_models
import numpy as np
import pytest
import running
import tensorflow as tf
from PIL import Image

from segan_tf import config, run_lock
from segan_tf import labels as labels_lib
from segan_tf.datasets import label_maps
from segan_tf.imaging import images
from segan_tf.inference import prediction_files
from segan_tf.inference.predictor import Predictor, flipped_views
from segan_tf.synthetic import lesions

# (height, width) of the images; none is a multiple of the model's 32.
SIZES = {"wide": (40, 97), "high": (131, 18), "small": (16, 16)}
COLUMNS = [
    "id",
    "width",
    "height",
    "lesion_area_px",
    "lesion_fraction",
    "lesion_mean_probability",
]


@pytest.fixture
def image_dir(tmp_path):
    """Returns a folder of images of several sizes."""
    folder = tmp_path / "images"
    folder.mkdir()
    for index, (name, size) in enumerate(SIZES.items()):
        drawing = lesions.draw_lesion(index, 1, size=size)
        images.write_png(folder / f"{name}.png", drawing.image)
    return folder


@pytest.fixture
def models(model_dir, export_dir):
    """Returns the paths of one trained model in its three formats."""
    return {
        "model_dir": model_dir,
        "SavedModel": os.path.join(export_dir, "saved_model", "2"),
        "TFLite": os.path.join(export_dir, "segan_none.tflite"),
    }


def predict(model, source, output_dir):
    """Predicts; returns the rows of the CSV file."""
    result = running.run(
        "--mode=predict",
        f"--model={model}",
        f"--input={source}",
        f"--output_dir={output_dir}",
    )
    assert result.status == 0, result.err
    return read_table(output_dir)


def read_table(output_dir, name="predictions"):
    with open(output_dir / f"{name}.csv", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def read(path):
    with Image.open(path) as image:
        return np.array(image)


def halves(multiclass):
    """Makes a model of two labels: b on the left, a (and b) on the right."""

    def find(image):
        probability = np.zeros((*image.shape[:2], 2), np.float32)
        middle = image.shape[1] // 2
        probability[:, :middle] = [0.2, 0.7]
        probability[:, middle:] = [0.6, 0.3] if multiclass else [0.8, 0.9]
        return probability

    return find, labels_lib.Labels(("a part", "b"), multiclass)


@pytest.mark.parametrize("kind", ["model_dir", "SavedModel", "TFLite"])
def test_each_image_gets_label_map_and_overlay_of_its_size(
    kind, models, image_dir, tmp_path
):
    rows = predict(models[kind], image_dir, tmp_path / "out")
    assert sorted(os.listdir(tmp_path / "out")) == sorted(
        ["prediction.json", "predictions.csv"]
        + [
            f"{name}_{what}"
            for name in SIZES
            for what in ("label_map.png", "overlay.jpg")
        ]
    )
    assert [row["id"] for row in rows] == sorted(SIZES)
    assert all(list(row) == COLUMNS for row in rows)
    for row in rows:
        size = SIZES[row["id"]]
        label_map = read(tmp_path / "out" / f"{row['id']}_label_map.png")
        assert (label_map.dtype, label_map.shape) == (np.uint8, size)
        assert set(np.unique(label_map)) <= {0, 255}
        overlay = read(tmp_path / "out" / f"{row['id']}_overlay.jpg")
        assert overlay.shape == (*size, 3)
        area = int(np.sum(label_map == 255))
        assert (int(row["height"]), int(row["width"])) == size
        assert int(row["lesion_area_px"]) == area
        assert float(row["lesion_fraction"]) == pytest.approx(
            area / (size[0] * size[1]), abs=1e-6
        )
        assert not area or 0.5 <= float(row["lesion_mean_probability"]) <= 1


def test_keras_saved_model_and_tflite_agree(models, image_dir):
    kinds = {kind: Predictor(model) for kind, model in models.items()}
    for name in SIZES:
        image = images.read_image(image_dir / f"{name}.png")
        maps = {
            kind: predictor.probability_map(image)
            for kind, predictor in kinds.items()
        }
        expected = maps.pop("model_dir")
        assert expected.shape == (*image.shape[:2], 1)
        assert 0 < expected.min() < expected.max() < 1
        for actual in maps.values():
            np.testing.assert_allclose(actual, expected, atol=1e-4)


def test_input_may_be_one_image(models, image_dir, tmp_path):
    rows = predict(
        models["TFLite"], image_dir / "wide.png", tmp_path / "a" / "b"
    )
    assert [row["id"] for row in rows] == ["wide"]


def test_exif_orientation_is_applied(models, image_dir, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # stored rotated by 90 degrees
    with Image.open(image_dir / "wide.png") as image:
        image.save(tmp_path / "turned.jpg", exif=exif)
    (row,) = predict(models["TFLite"], tmp_path / "turned.jpg", tmp_path / "o")
    assert (row["width"], row["height"]) == ("40", "97")
    assert read(tmp_path / "o" / "turned_label_map.png").shape == (97, 40)


@pytest.mark.parametrize(
    ("probability", "area", "mean"),
    [(0.5, 0, ""), (0.25, 0, ""), (0.75, 16 * 16, "0.750000")],
)
def test_lesion_is_where_probability_exceeds_one_half(
    probability, area, mean, image_dir, tmp_path, monkeypatch
):
    fake_models.replace_models(monkeypatch, fake_models.constant(probability))
    (row,) = predict("any", image_dir / "small.png", tmp_path)
    assert row["lesion_area_px"] == str(area)
    assert row["lesion_mean_probability"] == mean


def test_unreadable_images_are_named_and_skipped(
    image_dir, tmp_path, monkeypatch
):
    fake_models.replace_models(monkeypatch, fake_models.constant(0.9))
    (image_dir / "empty.jpg").write_bytes(b"")
    os.truncate(image_dir / "wide.png", 300)
    result = running.run(
        "--mode=predict", f"--input={image_dir}", f"--output_dir={tmp_path}/out"
    )
    assert result.status == 1
    model, empty, damaged, end = result.out.splitlines()
    assert model.startswith("predicting with ")
    assert empty.startswith(f"skipped: {image_dir}/empty.jpg is empty")
    assert damaged.startswith(f"skipped: {image_dir}/wide.png is damaged")
    assert end == (
        f"2 of 4 images have a label map in {tmp_path}/out; failed.csv names "
        "the other 2"
    )
    rows = read_table(tmp_path / "out")
    assert [row["id"] for row in rows] == ["high", "small"]
    failed = read_table(tmp_path / "out", "failed")
    assert [row["file"] for row in failed] == [
        f"{image_dir}/empty.jpg",
        f"{image_dir}/wide.png",
    ]
    assert f"skipped: {failed[1]['reason']}" == damaged


def test_stopped_prediction_keeps_its_rows(image_dir, tmp_path, monkeypatch):
    fake_models.replace_models(monkeypatch, stopping_after(2))

    result = running.run(
        "--mode=predict",
        "--model=x",
        f"--input={image_dir}",
        f"--output_dir={tmp_path}/out",
    )

    assert result.status == 128 + 2
    assert len(read_table(tmp_path / "out")) == 2
    assert "note: 2 of 3 images are done; the same command" in result.out


def stopping_after(count):
    """Makes a model that is interrupted after so many images."""
    done = []

    def segment(image):
        if len(done) == count:
            raise KeyboardInterrupt
        done.append(image)
        return np.zeros((*image.shape[:2], 1), np.float32)

    return segment


def test_image_whose_output_cannot_be_named_is_skipped(tmp_path, monkeypatch):
    fake_models.replace_models(monkeypatch, fake_models.constant(0))
    (tmp_path / "in").mkdir()
    long_name = "n" * 245
    for name in (long_name, "a", "z"):
        Image.new("RGB", (20, 20), "red").save(tmp_path / "in" / f"{name}.png")

    result = running.run(
        "--mode=predict",
        "--model=x",
        f"--input={tmp_path / 'in'}",
        f"--output_dir={tmp_path / 'out'}",
    )

    assert result.status == 1
    assert f"skipped: {tmp_path / 'in' / long_name}.png: " in result.out
    assert "File name too long; give a shorter name." in result.out
    assert [row["id"] for row in read_table(tmp_path / "out")] == ["a", "z"]


def test_full_disk_ends_a_prediction_in_one_line(
    image_dir, tmp_path, monkeypatch
):
    fake_models.replace_models(monkeypatch, fake_models.constant(0))

    def fail(path, *_, **__):
        raise OSError(errno.ENOSPC, "No space left on device", path)

    monkeypatch.setattr(prediction_files, "write_label_map", fail)

    result = running.run(
        "--mode=predict",
        "--model=x",
        f"--input={image_dir}",
        f"--output_dir={tmp_path}",
    )

    assert result.status == 1
    assert "(No space left on device); make room and run" in result.err
    assert result.err.count("error: ") == 1


def test_ids_and_labels_that_make_one_name_are_an_error(tmp_path, monkeypatch):
    names = labels_lib.Labels(("b c", "c"), multiclass=False)
    fake_models.replace_models(
        monkeypatch, fake_models.constant(0), labels=names
    )
    (tmp_path / "in").mkdir()
    for name in ("a", "a_b"):
        Image.new("RGB", (20, 20), "red").save(tmp_path / "in" / f"{name}.png")

    error = running.error_of(
        "--mode=predict",
        "--model=x",
        f"--input={tmp_path / 'in'}",
        f"--output_dir={tmp_path / 'out'}",
    )

    assert "would write the same a_b_c.png; rename one." in error


def test_ids_that_differ_by_case_are_an_error_where_the_disk_ignores_case(
    image_dir, tmp_path, monkeypatch
):
    fake_models.replace_models(monkeypatch, fake_models.constant(0))
    (image_dir / "WIDE.png").write_bytes((image_dir / "wide.png").read_bytes())
    command = (
        "--mode=predict",
        "--model=x",
        f"--input={image_dir}",
        f"--output_dir={tmp_path}/out",
    )
    assert running.run(*command).status == 0  # this disk tells them apart

    monkeypatch.setattr(prediction_files, "ignores_case", lambda *_: True)

    error = running.error_of(*command)
    assert f"{image_dir}/WIDE.png and {image_dir}/wide.png would" in error


def test_second_prediction_into_a_folder_is_rejected(image_dir, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    with run_lock.hold(str(out)):
        error = running.error_of(
            "--mode=predict", f"--input={image_dir}", f"--output_dir={out}"
        )
    assert f"--output_dir ({out}) is in use by another prediction" in error
    assert f"process {os.getpid()} on" in error


def test_name_with_a_line_break_is_reported_in_one_line(
    image_dir, tmp_path, monkeypatch
):
    fake_models.replace_models(monkeypatch, fake_models.constant(0))
    (image_dir / "a\nerror: b.png").write_bytes(b"no image")
    result = running.run(
        "--mode=predict",
        "--model=x",
        f"--input={image_dir}",
        f"--output_dir={tmp_path}/out",
    )
    (line,) = [x for x in result.out.splitlines() if x.startswith("skipped: ")]
    assert "a\\nerror: b.png" in line
    assert not any(x.startswith("error: b") for x in result.out.splitlines())


@pytest.mark.parametrize("names", ["[1]", '[["a"]]', '"lesion"', '[""]', "{"])
def test_saved_model_with_odd_label_names_is_an_error(
    models, names, tmp_path, image_dir
):
    folder = tmp_path / "model"
    shutil.copytree(models["SavedModel"], folder)
    labels = folder / "assets.extra" / "labels.json"
    labels.write_text(
        f'{{"label_names": {names}, "label_kind": "multiclass"}}', "utf-8"
    )
    error = running.error_of(
        "--mode=predict",
        f"--model={folder}",
        f"--input={image_dir}",
        f"--output_dir={tmp_path}/out",
    )
    assert f"{labels}, which names the 1 label(s) of the model, cannot" in error


def test_output_dir_must_not_be_the_input_folder(image_dir):
    before = sorted(os.listdir(image_dir))
    for source in (image_dir, image_dir / "wide.png"):
        error = running.error_of(
            "--mode=predict", f"--input={source}", f"--output_dir={image_dir}"
        )
        assert "is the folder of the images; give another" in error
    assert sorted(os.listdir(image_dir)) == before


def test_description_names_the_loaded_file(models):
    described = Predictor(models["model_dir"]).description
    assert described.endswith("/checkpoints/best/ckpt-2")
    assert Predictor(models["TFLite"]).description == models["TFLite"]


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("pixels", "probability_map"), "its input is pixels, not image"),
        (("images", "logits"), "its output is logits, not probability_map"),
    ],
)
def test_saved_model_with_other_tensor_names_is_an_error(names, said, tmp_path):
    module = tf.Module()
    module.call = tf.function(lambda **images: {names[1]: images[names[0]]})
    spec = tf.TensorSpec((None, None, None, 3), tf.uint8, name=names[0])
    tf.saved_model.save(
        module,
        str(tmp_path),
        signatures={
            "probabilities": module.call.get_concrete_function(
                **{names[0]: spec}
            )
        },
    )
    with pytest.raises(config.UserError, match=f"SavedModel .*{said}"):
        Predictor(str(tmp_path))


def test_saved_model_without_the_signature_is_an_error(tmp_path):
    module = tf.Module()
    spec = tf.TensorSpec((None, None, None, 3), tf.uint8, name="images")
    module.call = tf.function(lambda images: {"same": images}, [spec])
    tf.saved_model.save(module, str(tmp_path), signatures=module.call)
    words = "its signature is serving_default, not probabilities"
    with pytest.raises(config.UserError, match=words):
        Predictor(str(tmp_path))


def test_tflite_model_with_other_tensor_names_is_an_error(tmp_path):
    module = tf.Module()
    module.call = tf.function(lambda x: {"y": x + 1})
    signature = module.call.get_concrete_function(
        tf.TensorSpec((1, 8, 8, 3), tf.float32, name="x")
    )
    path = tmp_path / "other.tflite"
    tf.saved_model.save(module, str(tmp_path / "m"), signatures=signature)
    converter = tf.lite.TFLiteConverter.from_saved_model(str(tmp_path / "m"))
    path.write_bytes(converter.convert())
    with pytest.raises(config.UserError, match="its input is x, not image"):
        Predictor(str(path))


@pytest.mark.parametrize("content", [b"", b"not a model", b"\0" * 4096])
def test_file_that_is_no_tflite_model_is_an_error(content, image_dir, tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(content)
    error = running.error_of(
        "--mode=predict",
        f"--input={image_dir}",
        f"--model={path}",
        f"--output_dir={tmp_path}/out",
    )
    assert f"--model ({path}) is not a TFLite file of this program" in error
    assert not (tmp_path / "out").exists()


def test_truncated_tflite_model_is_an_error(export_dir, image_dir, tmp_path):
    whole = os.path.join(export_dir, "segan_none.tflite")
    path = shutil.copy(whole, tmp_path)
    os.truncate(path, os.path.getsize(path) // 2)
    error = running.error_of(
        "--mode=predict", f"--input={image_dir}", f"--model={path}"
    )
    assert "is not a TFLite file of this program" in error


def test_folder_without_a_whole_saved_model_is_an_error(
    export_dir, image_dir, tmp_path
):
    given = "--mode=predict", f"--input={image_dir}"
    above = os.path.join(export_dir, "saved_model")
    error = running.error_of(*given, f"--model={above}")
    assert "SavedModel folder (<export_dir>/saved_model/<version>)" in error
    garbage = tmp_path / "garbage"
    garbage.mkdir()
    (garbage / "saved_model.pb").write_bytes(b"garbage")
    error = running.error_of(*given, f"--model={garbage}")
    assert f"--model ({garbage}): saved_model.pb cannot be read" in error
    weightless = shutil.copytree(f"{above}/2", tmp_path / "weightless")
    shutil.rmtree(weightless / "variables")
    error = running.error_of(*given, f"--model={weightless}")
    assert f"--model ({weightless}) cannot be loaded as a SavedModel" in error


def test_multiclass_label_map_has_numbers_in_color(
    image_dir, tmp_path, monkeypatch
):
    fake_models.replace_models(monkeypatch, *halves(True))
    (row,) = predict("any", image_dir / "small.png", tmp_path / "out")
    assert sorted(os.listdir(tmp_path / "out")) == [
        "legend.png",
        "prediction.json",
        "predictions.csv",
        "small_label_map.png",
        "small_overlay.jpg",
    ]
    numbers = read(
        tmp_path / "out" / "small_label_map.png"
    )  # a palette's numbers
    assert (numbers[:, :8] == 2).all()
    assert (numbers[:, 8:] == 1).all()
    with Image.open(tmp_path / "out" / "small_label_map.png") as image:
        seen = np.asarray(image.convert("RGB"))
    assert tuple(seen[0, 0]) == labels_lib.COLORS[1]
    assert (row["a_part_area_px"], row["b_area_px"]) == ("128", "128")
    assert row["a_part_fraction"] == "0.500000"
    assert row["b_mean_probability"] == "0.700000"
    # What was written is read as the same labels.
    labels = labels_lib.Labels(("a part", "b"))
    label_map = label_maps.read_label_file(
        tmp_path / "out" / "small_label_map.png", labels
    )
    assert label_map[0, 0].tolist() == [0, 1]


def test_multilabel_label_maps_have_a_file_each(
    image_dir, tmp_path, monkeypatch
):
    fake_models.replace_models(monkeypatch, *halves(False))
    (row,) = predict("any", image_dir / "small.png", tmp_path / "out")
    assert (read(tmp_path / "out" / "small_b.png") == 255).all()
    a_part = read(tmp_path / "out" / "small_a_part.png")
    assert (a_part[:, :8] == 0).all()
    assert (a_part[:, 8:] == 255).all()
    assert row["b_fraction"] == "1.000000"


@pytest.fixture(scope="module")
def models_of_three(tmp_path_factory):
    """Trains on three multiclass labels, and exports."""
    folder = tmp_path_factory.mktemp("three")
    exporting = f"--export_dir={folder / 'exported'}", "--quantizations=none"
    for mode, given in (("train", running.TINY), ("export", exporting)):
        result = running.run(
            f"--mode={mode}",
            f"--model_dir={folder / 'run'}",
            "--num_labels=3",
            *given,
        )
        assert result.status == 0, result.err
    return {
        "model_dir": folder / "run",
        "SavedModel": folder / "exported" / "saved_model" / "1",
        "TFLite": folder / "exported" / "segan_none.tflite",
    }


def test_exported_models_name_their_labels(models_of_three):
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    maps = []
    for path in models_of_three.values():
        predictor = Predictor(str(path))
        assert predictor.labels.names == ("lesion", "hair", "ruler mark")
        assert predictor.labels.multiclass
        maps.append(predictor.probability_map(image))
    for other in maps[1:]:
        np.testing.assert_allclose(maps[0], other, atol=1e-4)


def test_served_model_names_its_labels(models_of_three):
    with c_loader.CSession(models_of_three["SavedModel"]) as session:
        answer = session.run(
            "probabilities", {"images": np.zeros((2, 20, 30, 3), np.uint8)}
        )
    assert (
        answer["label_names"].tolist()
        == [[b"lesion", b"hair", b"ruler mark"]] * 2
    )


def test_tta_averages_flips_each_flipped_back():
    seen = []

    def corner(image):
        seen.append(image)
        found = np.zeros((*image.shape[:2], 1), np.float32)
        found[0, 0] = 1  # whatever is in the upper left corner
        return found

    image = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    averaged = np.mean(flipped_views(corner, image, "both"), 0)
    # Each corner of the image is there once in four views.
    expected = [[1 / 4, 0, 1 / 4], [1 / 4, 0, 1 / 4]]
    np.testing.assert_array_equal(averaged[..., 0], expected)
    corners = [view[0, 0].tolist() for view in seen]
    assert corners == [
        image[row, column].tolist()
        for row, column in ((0, 0), (1, 0), (0, 2), (1, 2))
    ]


def test_tta_works_with_exported_models(models, image_dir, tmp_path):
    with Image.open(next(pathlib.Path(image_dir).iterdir())) as file:
        image = np.array(file.convert("RGB"))
    plain = Predictor(models["TFLite"])
    flipped = Predictor(models["TFLite"], tta=True)
    expected = np.mean(flipped_views(plain.probability_map, image, "both"), 0)
    np.testing.assert_array_equal(flipped.probability_map(image), expected)
    assert flipped.labels == plain.labels
