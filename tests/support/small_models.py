"""A segmentor that exports in a second, and images to feed it."""

import keras
import numpy as np

from segan_tf import labels
from segan_tf.models import layers as own_layers
from segan_tf.models import segan

SIZE = 32
MULTICLASS = labels.Labels(("core", "rim", "halo"))
MULTILABEL = labels.Labels(("spot", "shade"), multiclass=False)
# Labels for `build_for_labels`, with thresholds.
DECISIONS = {
    "one label": (labels.LESION, (0.7,)),
    "multiclass": (MULTICLASS, (0.3, 0.5, 0.8)),
    "multilabel": (MULTILABEL, (0.1, 0.9)),
}
TWO_LABELS = labels.Labels(("lesion", "hair"), multiclass=False)
MEAN = np.float32([0.485, 0.456, 0.406])
STD = np.float32([0.229, 0.224, 0.225])


def build_segmentor(seed: int = 1, *, num_labels: int = 1) -> keras.Model:
    """Builds a small segmentor with every kind of layer a real one has."""
    layers = keras.layers
    image = keras.Input((SIZE, SIZE, 3), name="image")
    x = layers.Conv2D(8, 4, strides=2, padding="same", name="down")(image)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.LeakyReLU(name="leaky")(x)
    x = layers.UpSampling2D(interpolation="bilinear", name="up")(x)
    x = layers.Concatenate(name="skip")([x, image])
    x = layers.Conv2D(num_labels, 3, padding="same", name="logits")(x)
    x = layers.Activation("sigmoid", name="label_map")(x)
    segmentor = keras.Model(image, x, name="segmentor")
    draw_weights(segmentor, seed=seed)
    return segmentor


def build_for_labels(wanted: labels.Labels) -> keras.Model:
    """Builds a small segmentor, with the background of multiclass labels."""
    if wanted.count == 1 or not wanted.multiclass:
        return build_segmentor(num_labels=wanted.count)
    plain = build_segmentor(num_labels=wanted.count + 1)
    logits = plain.get_layer("logits").output
    softmax = keras.layers.Softmax(name="softmax")(logits)
    return keras.Model(plain.input, softmax[..., 1:], name="segmentor")


def build_color_reader(num_labels: int, *, size: int) -> keras.Model:
    """Builds a segmentor whose probabilities are red, green, blue of 255."""
    image = keras.Input((size, size, 3), name="image")
    undo = keras.layers.Conv2D(num_labels, 1, name="undo_normalizing")
    segmentor = keras.Model(image, undo(image))
    undo.set_weights(
        [np.diag(STD)[None, None, :, :num_labels], MEAN[:num_labels]]
    )
    return segmentor


def draw_weights(
    model: keras.Model, *, scale: float = 0.2, seed: int = 1
) -> None:
    """Draws every weight and statistic, so that none is 0 or 1 by default.

    Args:
      model: is changed.
      scale: standard deviation of the kernels.
      seed: of the draw.
    """
    rng = np.random.default_rng(seed)
    model.set_weights(
        [
            rng.uniform(0.5, 1.5, weights.shape)  # batch norm and offsets
            if weights.ndim == 1
            else rng.normal(0, scale, weights.shape)
            for weights in model.get_weights()
        ]
    )


def build_styled_segmentor(
    num_styles: int = 2, *, num_labels: int = 1
) -> keras.Model:
    """Builds a small segmentor whose maps differ much from style to style."""
    segmentor = segan.build_segan(
        image_size=SIZE, width=4, num_labels=num_labels, num_styles=num_styles
    )
    draw_weights(segmentor)
    rng = np.random.default_rng(3)
    for layer in segmentor.layers:
        if isinstance(layer, own_layers.StyleModulation):
            shapes = [weights.shape for weights in layer.get_weights()]
            layer.set_weights([rng.uniform(-0.8, 0.8, s) for s in shapes])
    return segmentor


def draw_images(*shapes: tuple[int, int], seed: int = 0) -> list[np.ndarray]:
    """Draws noise: uint8 [height, width, 3] each."""
    rng = np.random.default_rng(seed)
    return [
        rng.integers(0, 256, (*shape, 3), dtype=np.uint8) for shape in shapes
    ]


def draw_calibration_images(count: int = 100) -> list[np.ndarray]:
    """Draws so many different images of the segmentor's size."""
    return draw_images(*[(SIZE, SIZE)] * count, seed=1)


def segment(segmentor: keras.Model, images: np.ndarray) -> np.ndarray:
    """Runs the segmentor on plain pixels of its own size."""
    normalized = (np.float32(images) / 255 - MEAN) / STD
    return segmentor(normalized, training=False).numpy()
