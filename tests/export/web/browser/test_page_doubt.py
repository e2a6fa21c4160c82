"""Tests of the expected Dice on the page, and of its warnings."""

import json
import shutil

import numpy as np
import pytest
import web_exports

from segan_tf import decision, expected_dice, labels
from segan_tf.expected_dice import Curve
from segan_tf.imaging import images
from segan_tf.inference.predictor import Predictor

pytestmark = pytest.mark.browser

# By what is expected of most images.
CURVES = {
    "sure": Curve((0.0, 1.0), (0.71, 0.99)),
    "doubtful": Curve((0.0, 1.0), (0.2, 0.69)),
}


@pytest.fixture(scope="module", params=CURVES)
def expecting(request, site):
    """Bundles a page whose model knows the expected Dice.

    Returns:
      The name of the curve and of the page, and the path of the model.
    """
    from export.tflite import convert
    from export.web import bundle

    name = f"expecting_{request.param}"
    export_dir = site[0] / name
    runtime = site[0] / "float_one" / ".litertjs"
    shutil.copytree(runtime, export_dir / ".litertjs")
    path = convert.export_tflite(
        web_exports.build_segmentor(web_exports.ONE),
        str(export_dir / "segan_none.tflite"),
        quantization="none",
        labels=labels.LESION,
        version=1,
        decision=decision.Decision(
            expected_dice={"thresholds": CURVES[request.param]}
        ),
    )
    bundle.bundle_page(str(export_dir))
    return request.param, name, path


def test_page_shows_the_expected_dice_of_the_predictor(play, expecting, image):
    kind, name, path = expecting

    saw = play("segment", name, way="choose", image=image)

    expected = Predictor(path)(image).expected_dice
    assert 0.01 < expected - CURVES[kind].dice[0] < 0.9  # not all or nothing
    # A probability may differ by 1e-3, and so may a few pixels.
    assert saw["expectedDice"] == pytest.approx(expected, abs=1e-3)
    shown = f"{saw['expectedDice']:.2f}"
    assert saw["expected"].startswith(f"Expected Dice\n{shown}")
    assert f"Expected Dice {shown}." in saw["announcement"]
    warning = expected_dice.warning(expected, is_empty=False)
    if warning:
        assert saw["warning"] == f"{warning.capitalize()}."
        assert saw["warning"] in saw["announcement"]
    else:
        assert saw["warning"] is None
    assert bool(warning) == (kind == "doubtful")
    assert saw["complaints"] == []


def test_page_warns_where_nothing_was_found(play, expecting, tmp_path):
    _, name, path = expecting
    white = str(tmp_path / "white.png")
    images.write_png(white, np.full((300, 400, 3), 255, np.uint8))

    saw = play("segment", name, way="choose", image=white)

    assert saw["warning"] == "Nothing was found."
    assert saw["announcement"].count("Nothing was found.") == 1
    assert saw["expected"] is None  # there is no outline to be right
    expected = Predictor(path)(white).expected_dice
    assert saw["expectedDice"] == pytest.approx(expected, abs=1e-3)


def test_model_without_a_curve_shows_no_expected_dice(play, image):
    saw = play("segment", "float_one", way="choose", image=image)

    assert saw["expectedDice"] is None
    assert saw["expected"] is None
    assert saw["warning"] is None
    assert "Dice" not in saw["announcement"]


def test_contract_without_a_limit_gives_no_warning(play, site, image):
    # As earlier versions wrote it.
    page = site[0] / "no_limit" / "web"
    shutil.copytree(site[0] / "float_one" / "web", page)
    contract = json.loads((page / "model.json").read_text())
    curve = {"agreement": [0.0, 1.0], "dice": [0.2, 0.6]}
    contract["expected_dice"] = {"thresholds": curve}
    (page / "model.json").write_text(json.dumps(contract))

    saw = play("segment", "no_limit", way="choose", image=image)

    assert 0.2 < saw["expectedDice"] < 0.6
    assert saw["warning"] is None
