"""Trains your own Keras model with SegAN's losses and metrics.

Usage: python examples/keras_fit.py

The model is a small U-Net of plain Keras layers, the data are drawn lesions;
replace `build_model` and `draw_pairs` by your own. It takes about half a
minute on two CPU cores.
"""

from __future__ import annotations

import keras
import numpy as np

from segan_tf import losses, metrics
from segan_tf.imaging import preprocessing
from segan_tf.synthetic import lesions

IMAGE_SIZE = 64
BATCH_SIZE = 8


def draw_pairs(
    count: int, *, image_size: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Draws images and the label maps of their lesions.

    Returns:
      Normalized images float32 [count, image_size, image_size, 3], and label
      maps float32 [count, image_size, image_size, 1] in {0, 1}.
    """
    drawings = [
        lesions.draw_lesion(index, seed, size=(image_size, image_size))
        for index in range(count)
    ]
    images = np.stack([drawing.image for drawing in drawings])
    label_maps = np.stack([drawing.label_maps[..., :1] for drawing in drawings])
    normalized = preprocessing.normalize(images).numpy()
    return normalized, label_maps.astype(np.float32)


def build_model(*, image_size: int, width: int = 16) -> keras.Model:
    """Builds a U-Net of three levels: image -> probability of the lesion."""
    layers = keras.layers

    def convolve(x: keras.KerasTensor, channels: int) -> keras.KerasTensor:
        x = layers.Conv2D(channels, 3, padding="same", use_bias=False)(x)
        return layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))

    image = keras.Input((image_size, image_size, 3))
    fine = convolve(image, width)
    middle = convolve(layers.MaxPooling2D()(fine), 2 * width)
    x = convolve(layers.MaxPooling2D()(middle), 4 * width)
    for skip, channels in ((middle, 2 * width), (fine, width)):
        x = layers.UpSampling2D(interpolation="bilinear")(x)
        x = convolve(layers.Concatenate()([x, skip]), channels)
    return keras.Model(image, layers.Conv2D(1, 1, activation="sigmoid")(x))


def main(
    *,
    num_training: int = 200,
    num_test: int = 40,
    image_size: int = IMAGE_SIZE,
    epochs: int = 3,
) -> dict[str, float]:
    """Trains and evaluates the model, and prints its Dice and IoU.

    Returns:
      The loss and the metrics on the test images, by their names.
    """
    training = draw_pairs(num_training, image_size=image_size, seed=0)
    test = draw_pairs(num_test, image_size=image_size, seed=1)
    keras.utils.set_random_seed(0)
    model = build_model(image_size=image_size)
    model.compile(
        optimizer=keras.optimizers.Adam(0.003),
        loss=losses.CrossEntropyDice(),
        metrics=[metrics.Dice(), metrics.IoU()],
    )
    model.fit(*training, batch_size=BATCH_SIZE, epochs=epochs, verbose=2)
    results = model.evaluate(
        *test, batch_size=BATCH_SIZE, return_dict=True, verbose=0
    )
    print(
        f"{num_test} test images: Dice {results['dice']:.3f}, "
        f"IoU {results['iou']:.3f}"
    )
    return results


if __name__ == "__main__":
    main()
