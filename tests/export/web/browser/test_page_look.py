"""Tests of looking at the border: zoom, hiding, tightness, scale, time."""

import shutil

import numpy as np
import pytest
import web_exports
from PIL import Image

from segan_tf import labels, styles

pytestmark = pytest.mark.browser

# Where nothing else runs it takes less than 30, see docs/web.md; other programs
# share the cores of tests. Comparing 36 neighbors of every pixel took 1200.
MOST_OUTLINE_MS = 150


def test_wheel_fingers_and_buttons_zoom(play, image):
    touch = {"hasTouch": True}
    saw = play("lookClosely", "float_one", image=image, context=touch)

    # The wheel by 400 pixels, fit, a button, two fingers twice as far apart.
    assert saw["zooms"] == [1, round(1.0015**400, 2), 1, 1.5, 2]


def test_outline_is_hidden_while_the_button_is_held(play, image):
    touch = {"hasTouch": True}
    saw = play("lookClosely", "float_one", image=image, context=touch)

    before, held, after = saw["inked"]
    assert before > 1000
    assert held == 0
    assert after == before


def test_slider_moves_the_threshold_of_a_model_without_styles(play, image):
    values = [-100, -50, 0, 100]
    saw = play("adjust", "float_one", image=image, values=values)

    tight, less_tight, calibrated, generous = (
        one["shares"][0] for one in saw["saw"]
    )
    assert tight < less_tight < calibrated < generous
    assert [calibrated] == saw["calibrated"]
    assert [one["text"] for one in saw["saw"]] == [
        *("100 % tighter", "50 % tighter", "as calibrated"),
        "100 % more generous",
    ]
    assert f"{100 * generous:.1f} %" in saw["saw"][3]["legend"]


def test_ends_of_the_slider_are_thresholds_of_0_1_and_0_9(play, site, image):
    saw = play("adjust", "float_one", image=image, values=[-100, 100])

    seen = play("segment", "float_one", way="choose", image=image)
    from segan_tf.imaging import preprocessing

    probability_map = preprocessing.resize_probability_map(
        np.float32(seen["probabilities"]).reshape(1, *seen["shape"]),
        seen["size"]["height"],
        seen["size"]["width"],
    ).numpy()
    shares = [one["shares"][0] for one in saw["saw"]]
    expected = [np.mean(probability_map > limit) for limit in (0.9, 0.1)]
    np.testing.assert_allclose(shares, expected, atol=1e-4)


@pytest.fixture(scope="module")
def styled(site):
    """Bundles a page whose model takes the style; returns its name."""
    from export.tflite import convert
    from export.web import bundle

    export_dir = site[0] / "styled"
    runtime = site[0] / "float_one" / ".litertjs"
    shutil.copytree(runtime, export_dir / ".litertjs")
    convert.export_tflite(
        web_exports.build_styled_segmentor(),
        str(export_dir / "segan_none_styles.tflite"),
        quantization="none",
        labels=labels.LESION,
        version=1,
        styles=styles.Styles(("T1", "T2"), (0.5, 0.5)),
    )
    bundle.bundle_page(str(export_dir))
    return "styled"


def test_slider_goes_from_the_tightest_style_to_the_most_generous(
    play, site, styled, image
):
    from segan_tf.inference.predictor import Predictor

    saw = play("adjust", styled, image=image, values=[-100, 0, 100])

    shares = [one["shares"][0] for one in saw["saw"]]
    path = str(site[0] / styled / "segan_none_styles.tflite")
    expected = {
        style: Predictor(path, style=style)(image).label_map.mean()
        for style in ("T1", "T2", "mean")
    }
    np.testing.assert_allclose(shares[1], expected["mean"], atol=2e-3)
    assert expected["T1"] < expected["mean"] - 0.01 < expected["T2"] - 0.02
    np.testing.assert_allclose(shares[0], expected["T1"], atol=2e-3)
    np.testing.assert_allclose(shares[2], expected["T2"], atol=2e-3)


def test_two_ends_of_a_ruler_give_areas(play, image):
    # The image has 317 x 240 pixels, of which 100 are 10 mm.
    saw = play(
        "markRuler", "float_one", image=image, millimeters=10, pixels=100
    )

    assert saw["pixelsPerMm"] == pytest.approx(10, rel=0.02)
    assert saw["pressed"] == "false"
    share = play("segment", "float_one", way="choose", image=image)["shares"][0]
    area = float(saw["legend"].split("\n")[-1].removesuffix(" mm²"))
    assert area == pytest.approx(share * 317 * 240 / 10**2, rel=0.05)


def test_scale_of_all_images_is_that_of_later_ones(play, image):
    saw = play("scaleAll", "float_one", image=image, pixelsPerMm=12.5)

    share = play("segment", "float_one", way="choose", image=image)["shares"][0]
    area = share * 317 * 240 / 12.5**2
    assert saw["next"]["legend"].endswith(f"{area:.3g} mm²")
    assert saw["next"]["pixelsPerMm"] == "12.50"
    assert "mm²" not in saw["last"]


@pytest.fixture(scope="module")
def photograph(tmp_path_factory):
    """Returns the path of 12 million pixels with a large uneven lesion."""
    y, x = np.mgrid[:3000, :4000].astype(np.float32)
    across, down = (x - 2000) / 1400, (y - 1500) / 1150
    radius = np.hypot(across, down)
    radius += 0.05 * np.sin(9 * np.arctan2(down, across))
    colors = np.uint8([[225, 180, 160], [110, 70, 55]])
    path = tmp_path_factory.mktemp("large") / "photograph.jpg"
    Image.fromarray(colors[np.uint8(radius < 1)]).save(path, quality=90)
    return str(path)


def test_outline_of_12_million_pixels_is_quick(play, photograph):
    saw = play("timeOutline", "float_one", image=photograph, times=3)

    assert saw["size"] == {"width": 4000, "height": 3000}
    assert saw["corners"] > 4000
    ordered = sorted(saw["measured"])
    median = ordered[len(ordered) // 2]
    # For docs/web.md.
    print(f"outline: {ordered[0]:.0f}, {median:.0f}, {ordered[-1]:.0f} ms")
    assert median < MOST_OUTLINE_MS
    for times in saw["times"]:
        # What is shown is until the outline is seen, decoding included.
        assert times["all"] > times["model"] + times["outline"] + 50


def test_axe_finds_nothing_in_any_state(play, image, tmp_path):
    import conftest

    axe = conftest.INSTALLED / "node_modules/axe-core/axe.min.js"
    if not axe.exists():
        pytest.skip("axe-core missing; run scripts/browser")
    bad = tmp_path / "notes.txt"
    bad.write_text("no image")
    for scheme in ("light", "dark"):
        saw = play(
            "checkAccessibility",
            "float_one",
            image=image,
            bad=str(bad),
            axe=str(axe),
            context={"colorScheme": scheme},
        )

        states = ("empty", "result", "unfolded", "many", "problem")
        assert saw["found"] == {state: [] for state in states}, scheme
