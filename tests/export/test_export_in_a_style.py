"""Tests of exporting a run with styles: in one of them, and with all."""

import json

import blobs
import numpy as np
import pytest
import running
from PIL import Image

from segan_tf.config import Config, UserError
from segan_tf.imaging import images
from segan_tf.inference.predictor import Predictor

pytestmark = pytest.mark.any_edition

SETTINGS = (
    "--image_size=32",
    "--width=2",
    "--batch_size=4",
    "--num_test=4",
    "--num_validation=0",
    "--noadversarial",
    "--epochs=15",
    "--learning_rate=0.02",
)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    """Returns pairs in two styles: the loose label maps are whole images."""
    folder = tmp_path_factory.mktemp("data")
    blobs.write_pairs(str(folder), 24)
    rows = ["id,style"]
    for number in range(0, 24, 2):
        name = f"blob_{number:03}"
        (path,) = (folder / "label_maps").glob(f"{name}*")
        with Image.open(path) as image:
            Image.new("L", image.size, 255).save(path)
        rows += [f"{name},loose", f"blob_{number + 1:03},tight"]
    (folder / "styles.csv").write_text("\n".join(rows))
    return folder


@pytest.fixture(scope="module")
def run_folder(data_dir, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    result = running.run(
        "--mode=train",
        f"--data_dir={data_dir}",
        f"--model_dir={folder}",
        *SETTINGS,
    )
    assert result.status == 0, result.err
    return folder


def export(run_folder, export_dir, *flags):
    return running.run(
        "--mode=export",
        f"--model_dir={run_folder}",
        f"--export_dir={export_dir}",
        "--quantizations=none",
        *flags,
    )


def read_json(path):
    return json.loads(path.read_text(encoding="utf-8"))


def test_run_is_exported_in_the_style_that_is_given(
    run_folder, data_dir, tmp_path, unmeasured
):
    result = export(run_folder, tmp_path, "--style=loose")

    assert result.status == 0, result.err
    assert "exporting with style loose\n" in result.out
    assert read_json(tmp_path / "parity.json")["style"] == "loose"
    assert read_json(tmp_path / "segan_none.json")["style"] == "loose"
    image = images.read_image(next((data_dir / "images").iterdir()))
    expected, other = (
        Predictor(str(run_folder), style=style).probability_map(image)
        for style in ("loose", "mean")
    )
    assert np.abs(expected - other).max() > 0.05
    for model in ("segan_none.tflite", "saved_model/1"):
        found = Predictor(tmp_path / model).probability_map(image)
        np.testing.assert_allclose(found, expected, atol=1e-4)


def test_file_that_takes_the_style_predicts_as_the_run_does(
    run_folder, data_dir, tmp_path, unmeasured
):
    result = export(run_folder, tmp_path, "--style_input")
    assert result.status == 0, result.err
    assert "segan_none_styles.tflite" in result.out
    models = {
        "run": run_folder,
        "file": tmp_path / "segan_none_styles.tflite",
    }
    for style in ("tight", "mean", "all"):
        found = {}
        for name, model in models.items():
            out = tmp_path / style / name
            result = running.run(
                "--mode=predict",
                f"--model={model}",
                f"--input={data_dir}/images",
                f"--output_dir={out}",
                f"--style={style}",
            )
            assert result.status == 0, result.err
            found[name] = {
                path.name: path.read_bytes()
                for path in out.glob("*label_map.png")
            }
        assert found["file"] == found["run"]
        assert len(found["run"]) == (3 * 24 if style == "all" else 24)


def test_file_that_takes_the_style_is_evaluated_told_and_untold(
    run_folder, data_dir, tmp_path, unmeasured
):
    export(run_folder, tmp_path, "--style_input")
    found = []
    for model in (run_folder, tmp_path / "segan_none_styles.tflite"):
        result = running.run(
            "--mode=evaluate",
            f"--model_dir={run_folder}",
            f"--model={model}",
        )
        assert result.status == 0, result.err
        folder = result.out.splitlines()[-1].rpartition(" are in ")[2]
        with open(f"{folder}/results.json", encoding="utf-8") as file:
            results = json.load(file)
        found.append(
            [
                results["metrics"]["dice"]["mean"],
                results["styles"]["told"]["metrics"]["dice"]["mean"],
            ]
        )
    assert found[0] == pytest.approx(found[1], abs=1e-3)
    assert found[0][1] > found[0][0] + 0.02


@pytest.mark.parametrize("flag", ["--style=loose", "--style_input"])
def test_model_without_styles_is_one_line(model_dir, tmp_path, flag):
    error = running.error_of(
        "--mode=export",
        f"--model_dir={model_dir}",
        f"--export_dir={tmp_path}/out",
        flag,
    )
    assert f"has no effect on {model_dir}, which was trained without" in error
    error = running.error_of(
        "--mode=export",
        "--model=pretrained-1",
        f"--export_dir={tmp_path}/out",
        flag,
    )
    assert "has no effect on pretrained-1, which was trained without" in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("style", "words"),
    [
        ("all", r"--style \(all\) is for --mode=predict; give one style"),
        ("wide", "'wide' is no style of the model; it knows loose, tight, me"),
    ],
)
def test_style_that_cannot_be_exported_is_one_line(
    run_folder, tmp_path, style, words
):
    import segan_tf

    with pytest.raises(UserError, match=words):
        segan_tf.export(
            Config(
                model_dir=str(run_folder),
                export_dir=str(tmp_path / "out"),
                style=style,
            )
        )
    assert not (tmp_path / "out").exists()
