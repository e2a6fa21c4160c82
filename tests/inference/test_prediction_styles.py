"""Tests of predicting in annotation styles, with maps that can be counted."""

import csv

import fake_models
import numpy as np
import pytest
from PIL import Image

from segan_tf import config, labels
from segan_tf.decision import DEFAULT, Decision
from segan_tf.inference import backends, prediction
from segan_tf.inference.predictor import Predictor
from segan_tf.styles import Styles

STYLES = Styles(("tight", "loose"), (0.5, 0.5))
TWO = labels.Labels(("left", "right"), multiclass=False)
SIZE = 60


def squares(image, style):
    """Draws a square of 20 pixels in the tight style, 40 in the loose one."""
    found = np.zeros((*image.shape[:2], 1), np.float32)
    for weight, margin in zip(style, (20, 10), strict=True):
        found[margin:-margin, margin:-margin] += weight
    return found


@pytest.fixture
def use(monkeypatch):
    """Returns a function that chooses the model: its labels and decision."""

    def use(named=labels.LESION, styles=STYLES, decision=DEFAULT):
        backend = backends.Backend(
            named,
            "squares",
            lambda image: np.repeat(
                squares(image, STYLES.mean), named.count, -1
            ),
            styles=styles,
            styled_map=lambda image, style: np.repeat(
                squares(image, style), named.count, -1
            ),
            decision=decision,
        )
        monkeypatch.setattr(backends, "open_backend", lambda *_, **__: backend)

    use()
    return use


@pytest.fixture
def image_path(tmp_path):
    path = tmp_path / "images" / "a.png"
    path.parent.mkdir()
    Image.fromarray(np.full((SIZE, SIZE, 3), 200, np.uint8)).save(path)
    return str(path)


def predict(image_path, folder, style, **given):
    """Predicts; returns the names of the files."""
    prediction.predict(
        config.Config(
            model="any",
            input=image_path,
            output_dir=str(folder),
            overlays="png",
            **({"style": style} if style else {}),
            **given,
        )
    )
    return sorted(path.name for path in folder.iterdir())


def area(path):
    with Image.open(path) as image:
        return np.count_nonzero(np.array(image))


@pytest.mark.parametrize(
    # At 0.5 the mean style has the pixels of both styles only.
    ("style", "side", "line"),
    [
        ("", 20, ""),
        ("mean", 20, ""),
        ("loose", 40, "deciding with style loose\n"),
        ("tight", 20, "deciding with style tight\n"),
    ],
)
def test_style_is_drawn_in(
    use, image_path, tmp_path, capsys, style, side, line
):
    names = predict(image_path, tmp_path / "out", style)
    assert names == [
        "a_label_map.png",
        "a_overlay.png",
        "prediction.json",
        "predictions.csv",
    ]
    assert area(tmp_path / "out" / "a_label_map.png") == side**2
    assert capsys.readouterr().out == f"predicting with squares\n{line}"


def test_all_styles_are_written_with_an_overlay_and_a_legend(
    use, image_path, tmp_path
):
    out = tmp_path / "out"
    assert predict(image_path, out, "all") == [
        "a_label_map.png",
        "a_loose_label_map.png",
        "a_overlay.png",
        "a_styles_overlay.png",
        "a_tight_label_map.png",
        "prediction.json",
        "predictions.csv",
        "styles_legend.png",
    ]
    assert area(out / "a_tight_label_map.png") == 20**2
    assert area(out / "a_loose_label_map.png") == 40**2
    with Image.open(out / "a_styles_overlay.png") as image:
        drawn = np.array(image)
    first, second = labels.COLORS[:2]
    # Lines are drawn inside; nothing is filled.
    assert tuple(drawn[20, 30]) == first
    assert tuple(drawn[10, 30]) == second
    assert tuple(drawn[30, 30]) == tuple(drawn[0, 0]) == (200, 200, 200)


def test_each_multilabel_label_is_written_in_each_style(
    use, image_path, tmp_path
):
    use(TWO)
    names = predict(image_path, tmp_path / "out", "all")
    assert [name for name in names if name.startswith("a_loose")] == [
        "a_loose_left.png",
        "a_loose_right.png",
    ]
    assert {"legend.png", "styles_legend.png"} < set(names)


def test_decision_has_a_style_of_its_own(use, image_path, tmp_path, capsys):
    use(decision=Decision((0.3,), (0.4, 0.6)))
    predict(image_path, tmp_path / "out", "")
    assert area(tmp_path / "out" / "a_label_map.png") == 40**2  # 0.6 > 0.3
    assert "style 0.40 tight, 0.60 loose\n" in capsys.readouterr().out
    with open(tmp_path / "out" / "predictions.csv", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert int(row["lesion_area_px"]) == 40**2


def test_thresholds_are_those_of_the_style_of_the_decision(use):
    use(decision=Decision((0.3,), (0.5, 0.5)))
    image = np.zeros((SIZE, SIZE, 3), np.uint8)
    predictor = Predictor("any")
    assert predictor.label_map(image).sum() == 40**2  # 0.5 > 0.3
    assert predictor.label_map(image, style="mean").sum() == 40**2
    use(decision=Decision((0.3,), (1.0, 0.0)))
    predictor = Predictor("any")
    # The mean style has 0.5 between the squares, and its threshold is 0.5.
    assert predictor.label_map(image, style="mean").sum() == 20**2


@pytest.mark.parametrize("style", ["mean", "all", "loose"])
def test_style_of_a_model_without_styles_is_an_error(
    monkeypatch, image_path, tmp_path, style
):
    fake_models.replace_models(monkeypatch, fake_models.constant(0.9))
    with pytest.raises(config.UserError, match=r"--style|no style"):
        predict(image_path, tmp_path / "out", style)


def test_unknown_style_is_an_error_that_names_the_known(
    use, image_path, tmp_path
):
    with pytest.raises(
        config.UserError, match="'T1' is no style .* tight, loose, mean"
    ):
        predict(image_path, tmp_path / "out", "T1")
