"""Tests of --mode=calibrate, with a model whose maps are the images."""

import json

import numpy as np
import pytest
from PIL import Image

from segan_tf import decision
from segan_tf.config import Config, UserError
from segan_tf.decision import Decision
from segan_tf.evaluation import calibrate
from segan_tf.inference import backends
from segan_tf.labels import LESION
from segan_tf.styles import Styles

STYLES = Styles(("red", "green"), (0.25, 0.75))
SIZE = 48


def model_map(image):
    """Predicts a probability of red / 255."""
    return np.float32(image[..., :1]) / 255


def styled_map(image, style):
    """Predicts what is red in one style, and what is green in the other."""
    return np.float32(image[..., :2] @ np.float32(style)[:, None]) / 255


@pytest.fixture
def use(monkeypatch):
    """Returns a function that sets the styles of the model that is opened."""

    def use(styles):
        backend = backends.Backend(
            LESION,
            "a function",
            model_map,
            styles=styles,
            styled_map=styled_map if styles.count else None,
        )
        monkeypatch.setattr(backends, "open_backend", lambda *_, **__: backend)

    use(Styles())
    return use


def draw_spot(rng):
    """Draws what fades from 255 around a place: uint8 [SIZE, SIZE]."""
    rows, columns = np.mgrid[:SIZE, :SIZE]
    row, column = rng.uniform(0.4 * SIZE, 0.6 * SIZE, 2)
    distance = np.hypot(rows - row, columns - column) / SIZE
    return np.clip(255 * (1.1 - 2 * distance), 0, 255).astype(np.uint8)


def write_pairs(folder, thresholds, style=(1.0, 0.0)):
    """Writes a pair for each threshold, above which its label map is drawn."""
    for name in ("images", "label_maps"):
        (folder / name).mkdir(parents=True)
    for number, threshold in enumerate(thresholds):
        rng = np.random.default_rng(number)
        spots = [draw_spot(rng), draw_spot(rng)]
        image = np.stack([*spots, spots[0] // 3], -1)
        drawn = styled_map(image, style)[..., 0] > threshold
        label_map = np.uint8(255 * drawn)
        name = f"pair_{number:03}.png"
        Image.fromarray(image).save(folder / "images" / name)
        Image.fromarray(label_map).save(folder / "label_maps" / name)
    return str(folder)


def run(folder, thresholds, style=(1.0, 0.0), **settings):
    data_dir = write_pairs(folder / "data", thresholds, style)
    path = str(folder / "clinic.json")
    given = {"model": "any", "decision": path, **settings}
    return calibrate.calibrate(Config(data_dir=data_dir, **given)), path


def test_threshold_of_the_pairs_is_found_and_written(tmp_path, use, capsys):
    found, path = run(tmp_path, [0.7] * 12)

    assert found.is_proven
    assert decision.read_file(path) == Decision((0.7,)) == found.decision
    with open(path, encoding="utf-8") as file:
        fitted = json.load(file)["fitted"]
    assert fitted["pairs"] == 12
    assert fitted["dice_after"] == 1.0
    assert fitted["gain"] == pytest.approx(1 - fitted["dice_before"])
    assert 0 < fitted["low"] <= fitted["gain"] <= fitted["high"]
    assert found.summary().startswith(
        "threshold 0.7 instead of threshold 0.5: Dice 0."
    )
    out = capsys.readouterr().out
    assert "calibrating a function on 12 pairs\n" in out
    assert "warning: 12 of the 12 pairs may be images that the model" in out


@pytest.mark.parametrize(
    ("threshold", "style", "text"),
    [
        (0.5, (0.0, 1.0), "threshold 0.5, style green instead of"),
        (0.35, (0.5, 0.5), "threshold 0.35, style red+green instead of"),
        (0.7, (0.25, 0.75), "threshold 0.7, style mean instead of"),
    ],
)
def test_style_of_the_pairs_is_found(tmp_path, use, threshold, style, text):
    use(STYLES)
    found, _ = run(tmp_path, [threshold] * 12, style)
    assert found.is_proven
    assert found.decision.thresholds == (threshold,)
    assert (found.decision.style or STYLES.mean) == style
    assert found.summary().startswith(text)


def test_pairs_that_prove_nothing_change_nothing(tmp_path, use):
    found, _ = run(tmp_path, [0.3, 0.7] * 8)

    assert not found.is_proven
    assert not (tmp_path / "clinic.json").exists()
    assert found.summary().startswith("nothing is changed: ")
    assert "\n" not in found.summary()


def test_model_that_suits_the_pairs_stays_as_it_is(tmp_path, use):
    found, _ = run(tmp_path, [0.5] * 10)
    assert found.summary() == (
        "nothing is changed: threshold 0.5 suits the pairs best"
    )


def test_present_decision_is_replaced_only_by_a_better_one(tmp_path, use):
    path = tmp_path / "clinic.json"
    decision.write_file(Decision((0.7,)), path)
    found, _ = run(tmp_path, [0.7] * 10)
    assert found.summary() == (
        "nothing is changed: threshold 0.7 suits the pairs best"
    )

    found, _ = run(tmp_path / "other", [0.3] * 10, decision=str(path))
    assert found.summary().startswith(
        "threshold 0.3 instead of threshold 0.7: Dice "
    )
    assert decision.read_file(path) == Decision((0.3,))


def test_200_of_more_pairs_are_drawn(tmp_path, use, monkeypatch, capsys):
    monkeypatch.setattr(calibrate, "MAX_PAIRS", 15)
    found, _ = run(tmp_path, [0.7] * 17)
    assert found.fitted["pairs"] == 15
    assert "note: 15 of the 17 pairs are drawn" in capsys.readouterr().out


def test_expected_dice_is_fitted_to_30_pairs(tmp_path, use):
    # Label maps drawn at random thresholds: the model is sure of none.
    rng = np.random.default_rng(0)
    thresholds = rng.uniform(0.3, 0.7, 32)
    found, path = run(tmp_path, thresholds)

    assert set(found.doubts) == {"thresholds", "views"}
    assert 0 < found.doubts["thresholds"]["mean_absolute_error"] < 0.3
    written = decision.read_file(path)
    assert set(written.expected_dice) == {"thresholds", "views"}
    assert "\nthe expected Dice is off by 0." in found.summary()
    assert "\nthe expected Dice with --tta is off by 0." in found.summary()
    assert found.summary().endswith(f"\nwritten to {path}")
    assert written == Decision(found.decision.thresholds * found.is_proven)


def test_nine_pairs_are_too_few(tmp_path, use):
    with pytest.raises(UserError, match="holds 9 pairs, and .* 10 to 200"):
        run(tmp_path, [0.7] * 9)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": "any"}, "--data_dir is missing"),
        ({"model": "any", "data_dir": "."}, "--decision is missing: any is"),
        (
            {"model": "any", "data_dir": ".", "decision": "no/where/a.json"},
            r"--decision \(no/where/a.json\) must be a file in a folder",
        ),
    ],
)
def test_missing_setting_is_one_line(settings, message):
    with pytest.raises(UserError, match=message):
        calibrate.calibrate(Config(**settings))
