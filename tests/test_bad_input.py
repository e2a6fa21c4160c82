"""Tests that bad input gives one clear error and that nothing is lost."""

import json
import os
import shutil

import numpy as np
import pytest
import running
from PIL import Image

from segan_tf.imaging import formats, images
from segan_tf.synthetic import lesions

pytestmark = pytest.mark.any_edition

TINY = ("--image_size=32", "--width=2", "--epochs=1", "--batch_size=4")
GOOD = 12


def draw_pairs(folder, count=GOOD):
    """Draws pairs good_0, good_1, ... into images/ and masks/."""
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    for index in range(count):
        drawing = lesions.draw_lesion(index, 2, size=(32, 48))
        image = Image.fromarray(drawing.image)
        image.save(folder / "images" / f"good_{index}.jpg")
        images.write_png(
            folder / "masks" / f"good_{index}.png",
            drawing.label_maps[..., 0] * 255,
        )
    return folder


def add_pair(folder, name, image):
    """Adds a pair with this image and a label map of its size."""
    image.save(folder / "images" / name)
    label_map = Image.new("L", image.size)
    label_map.paste(255, (0, 0, image.size[0] // 2, image.size[1] // 2))
    label_map.save(folder / "masks" / f"{os.path.splitext(name)[0]}.png")


def add_unusual_images(folder):
    """Adds CMYK, palette, alpha and 16-bit images."""
    gray = Image.linear_gradient("L").resize((48, 32))
    rgb = Image.merge("RGB", (gray, gray, gray))
    add_pair(folder, "cmyk.jpg", rgb.convert("CMYK"))
    add_pair(folder, "palette.png", rgb.quantize(16))
    transparent = rgb.copy()
    transparent.putalpha(gray)
    add_pair(folder, "alpha.png", transparent)
    deep = np.asarray(gray).astype(np.uint16) * 257
    add_pair(folder, "deep.png", Image.fromarray(deep))


def read_json(*path):
    with open(os.path.join(*path), encoding="utf-8") as file:
        return json.load(file)


@pytest.fixture
def run_copy(model_dir, tmp_path):
    """Returns a copy of the trained run, for a test to damage."""
    return shutil.copytree(model_dir, tmp_path / "run")


@pytest.fixture
def image_path(tmp_path):
    """Returns the path of a good image."""
    path = tmp_path / "image.png"
    images.write_png(path, np.full((20, 30, 3), 128, np.uint8))
    return path


@pytest.mark.parametrize("mode", ["check", "train"])
def test_missing_empty_or_unknown_data_folder_is_named(mode, tmp_path):
    given = f"--mode={mode}", f"--model_dir={tmp_path}/run"
    missing, empty = tmp_path / "missing", tmp_path / "empty"
    strange = tmp_path / "strange"
    empty.mkdir()
    (strange / "letters").mkdir(parents=True)
    for folder, message in (
        (missing, "does not exist; give the folder where it is now."),
        (empty, "is empty; known layouts are ISIC 2016"),
        (strange, "has no known layout; known layouts are"),
    ):
        error = running.error_of(*given, f"--data_dir={folder}")
        assert f"--data_dir ({folder}) {message}" in error
    error = running.error_of(
        *given, f"--image_dir={missing}", f"--label_map_dir={empty}"
    )
    assert f"--image_dir ({missing}) does not exist" in error


def test_input_without_images_is_named(tmp_path):
    (tmp_path / "notes.txt").write_text("no image")
    for source, message in (
        (tmp_path / "missing", "is neither an image nor a folder; give one."),
        (
            tmp_path,
            f"holds no {formats.format_names()} image; give another folder.",
        ),
    ):
        error = running.error_of("--mode=predict", f"--input={source}")
        assert error == f"error: --input ({source}) {message}"


def test_folder_without_a_run_is_no_model(image_path, tmp_path):
    for mode in ("evaluate", "export"):
        error = running.error_of(f"--mode={mode}", f"--model_dir={tmp_path}/x")
        assert f"--model_dir ({tmp_path}/x) holds no trained model" in error
        assert error.endswith(f"--mode=train --model_dir={tmp_path}/x.")
    error = running.error_of(
        "--mode=predict", f"--input={image_path}", f"--model={tmp_path}"
    )
    assert f"--model ({tmp_path}) is neither a model_dir with" in error


def test_run_without_a_checkpoint_is_no_model(run_copy, image_path):
    shutil.rmtree(run_copy / "checkpoints")
    for mode in ("evaluate", "export", "predict"):
        given = [f"--mode={mode}", f"--model_dir={run_copy}"]
        if mode == "predict":
            given.append(f"--input={image_path}")
        error = running.error_of(*given)
        assert f"--model_dir ({run_copy}) holds no checkpoint" in error


def test_all_bad_pairs_are_named_and_can_be_skipped(tmp_path):
    folder = draw_pairs(tmp_path / "data")
    add_unusual_images(folder)
    shutil.copy(folder / "masks/good_0.png", folder / "masks/lonely.png")
    (folder / "images" / "good_1.jpg").write_bytes(b"")
    Image.new("RGB", (1, 1)).save(folder / "images" / "good_2.jpg")
    cut = folder / "images" / "good_3.jpg"
    os.truncate(cut, os.path.getsize(cut) - 100)
    given = f"--data_dir={folder}", f"--model_dir={tmp_path}/run"

    report = running.run("--mode=check", *given)
    assert report.status == 1
    rejected = running.run("--mode=train", *given, "--num_test=0", *TINY)
    assert rejected.status == 1
    for text in (report.out, rejected.err):
        assert (
            f"label map without image, not used: {folder}/masks/lonely" in text
        )
        assert f"{folder}/images/good_1.jpg is empty (zero bytes)" in text
        assert f"{folder}/images/good_2.jpg is 1x1 pixels" in text
    assert f"{cut} is damaged or truncated" in report.out
    assert str(cut) not in rejected.err
    assert "training would end with an error" in report.out
    # Its header is valid, so the damage is found when it is decoded.
    for name in ("images/good_1.jpg", "images/good_2.jpg", "masks/lonely.png"):
        os.remove(folder / name)
    for name in ("good_1.png", "good_2.png"):
        os.remove(folder / "masks" / name)
    rejected = running.run(
        "--mode=train", *given, "--num_test=0", "--num_validation=0", *TINY
    )
    assert rejected.status == 1
    assert f"{cut} is damaged or truncated" in rejected.err
    assert "--skip_bad_pairs" in rejected.err
    assert not (tmp_path / "run" / "flags.json").exists()

    accepted = running.run(
        "--mode=train",
        *given,
        "--num_test=0",
        "--num_validation=0",
        "--skip_bad_pairs",
        "--noadversarial",  # faster to build
        *TINY,
    )
    assert accepted.status == 0, accepted.err
    assert "continuing without 1 file:\n" in accepted.out
    assert f"{cut} is damaged or truncated" in accepted.out
    # The good ones without three, and CMYK, palette, alpha and 16-bit images.
    steps = (GOOD - 3 + 4) // 4
    assert read_json(tmp_path, "run", "training.json")["last_step"] == steps


def test_unusual_images_are_predicted(export_dir, tmp_path):
    folder = draw_pairs(tmp_path / "data", count=0)
    add_unusual_images(folder)
    result = running.run(
        "--mode=predict",
        f"--model={export_dir}/segan_none.tflite",
        f"--input={folder / 'images'}",
        f"--output_dir={tmp_path}/out",
    )
    assert result.status == 0, result.err
    assert "\n4 of 4 images have" in result.out
    for name in ("cmyk", "palette", "alpha", "deep"):
        with Image.open(tmp_path / "out" / f"{name}_label_map.png") as written:
            assert written.size == (48, 32)


def test_file_in_place_of_an_output_folder_is_named(
    model_dir, export_dir, image_path, tmp_path
):
    for name, given in (
        ("model_dir", ("--mode=train",)),
        (
            "output_dir",
            (
                "--mode=predict",
                f"--input={image_path}",
                f"--model={export_dir}/segan_none.tflite",
            ),
        ),
        (
            "export_dir",
            (
                "--mode=export",
                f"--model_dir={model_dir}",
                "--quantizations=none",
            ),
        ),
    ):
        in_place = tmp_path / name
        in_place.write_text("not a folder")
        error = running.error_of(*given, f"--{name}={in_place}")
        assert f"--{name}" in error
        assert str(in_place) in error
        assert "write" in error or "written" in error
        assert in_place.read_text() == "not a folder"


def test_folder_without_permission_is_rejected_before_any_work(
    tmp_path, monkeypatch
):
    # Root may write anywhere, so the answer is simulated.
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    error = running.error_of(
        "--mode=train", f"--model_dir={tmp_path}", "--data_dir=nowhere"
    )
    assert error == (
        f"error: --model_dir ({tmp_path}) cannot be written (no permission); "
        "give a folder that can."
    )


@pytest.mark.parametrize("mode", ["evaluate", "predict", "export"])
def test_checkpoint_of_another_width_is_rejected(mode, run_copy, image_path):
    record = read_json(run_copy, "flags.json")
    record["flags"]["width"] = 4
    (run_copy / "flags.json").write_text(json.dumps(record))
    written_by = {
        "evaluate": (),
        "predict": (f"--input={image_path}", f"--output_dir={run_copy}/out"),
        "export": (f"--export_dir={run_copy}/out",),
    }
    error = running.error_of(
        f"--mode={mode}", f"--model_dir={run_copy}", *written_by[mode]
    )
    assert (
        f"{run_copy}/checkpoints/best/ckpt-2 is of another configuration"
        in error
    )
    assert not (run_copy / "out").exists()


def test_truncated_checkpoint_is_rejected(run_copy, image_path):
    data = run_copy / "checkpoints" / "best" / "ckpt-2.data-00000-of-00001"
    os.truncate(data, 100)
    error = running.error_of(
        "--mode=predict", f"--input={image_path}", f"--model={run_copy}"
    )
    assert "ckpt-2 is damaged" in error


@pytest.mark.parametrize(
    "text", ["", "{}", '{"flags": 3}', '{"flags": {"epochs": "ten"}}']
)
def test_record_of_flags_that_cannot_be_read_is_named(text, run_copy):
    (run_copy / "flags.json").write_text(text)
    for mode in ("evaluate", "train"):
        error = running.error_of(f"--mode={mode}", f"--model_dir={run_copy}")
        assert f"{run_copy}/flags.json cannot be understood" in error


def test_unknown_setting_in_a_record_of_flags_is_noted_and_ignored(run_copy):
    record = read_json(run_copy, "flags.json")
    record["flags"]["depth"] = 3
    (run_copy / "flags.json").write_text(json.dumps(record))
    result = running.run("--mode=evaluate", f"--model_dir={run_copy}")
    assert (result.status, result.out.splitlines()[0]) == (
        0,
        f"note: {run_copy}/flags.json has the unknown setting depth, ignored",
    )


def test_batch_larger_than_the_training_split_is_rejected(tmp_path):
    folder = draw_pairs(tmp_path / "data")
    error = running.error_of(
        "--mode=train",
        f"--data_dir={folder}",
        f"--model_dir={tmp_path}/run",
        *TINY[:3],
        "--batch_size=9",
    )
    # 12 // 4 for testing, at least 1 of the other 9 for validation.
    assert "--batch_size (9) is more than the 8 training pairs" in error


def test_mistake_is_one_line_of_the_program(tmp_path):
    result = running.run_program(
        "--mode=train", f"--model_dir={tmp_path}", "--data_dir=nowhere"
    )
    assert (result.status, result.out, result.err) == (
        1,
        "",
        "error: --data_dir (nowhere) does not exist; give the folder where it "
        "is now.\n",
    )
