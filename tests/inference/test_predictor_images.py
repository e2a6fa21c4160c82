"""Tests of what a predictor takes as an image."""

import keras
import numpy as np
import pytest
from PIL import Image

from segan_tf.imaging import images
from segan_tf.inference import predictor


@pytest.fixture(scope="module")
def predict():
    """Returns a predictor whose probabilities follow the colors."""
    inputs = keras.Input((16, 16, 3))
    layer = keras.layers.Conv2D(
        1, 1, activation="sigmoid", kernel_initializer="ones"
    )
    return predictor.Predictor(keras.Model(inputs, layer(inputs)))


def draw(mode):
    """Draws 48x32 pixels of noise; it has no symmetry."""
    rng = np.random.default_rng(0)
    if mode == "I;16":
        return Image.fromarray(rng.integers(0, 65536, (32, 48), np.uint16))
    noise = rng.integers(0, 256, (32, 48, 4), np.uint8)
    return Image.fromarray(noise, "RGBA").convert(mode)


@pytest.mark.parametrize("mode", ["RGB", "L", "1", "P", "RGBA", "LA", "I;16"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_array_path_and_pil_image_give_the_same(
    predict, tmp_path, mode, orientation
):
    path = tmp_path / "a.png"
    exif = Image.Exif()
    exif[0x0112] = orientation
    draw(mode).save(path, exif=exif)
    expected = predict(images.read_image(path))

    with Image.open(path) as opened:
        found = [predict(opened), predict(path), predict(str(path))]

    height, width = (32, 48) if orientation == 1 else (48, 32)
    assert expected.label_map.shape == (height, width, 1)
    for prediction in found:
        np.testing.assert_array_equal(
            prediction.probability_map, expected.probability_map
        )


@pytest.mark.parametrize(
    ("image", "found"),
    [
        (np.zeros((16, 16, 3)), r"float64 \[16, 16, 3\]"),
        (np.zeros((16, 16), np.uint8), r"uint8 \[16, 16\]"),
        ([[0]], "list"),
    ],
)
def test_other_objects_are_a_type_error(predict, image, found):
    with pytest.raises(TypeError, match=f"an image must be .*, not {found}"):
        predict(image)
