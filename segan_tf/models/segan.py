"""SegAN's segmentor S: a fully convolutional encoder-decoder."""

import keras

from segan_tf.models import blocks, layers


def build_segan(
    *,
    image_size: int = 128,
    width: int = 64,
    num_labels: int = 1,
    multiclass: bool = True,
    num_styles: int = 0,
    synchronized: bool = False,
    dtype: str = "float32",
) -> keras.Model:
    """Builds the paper's segmentor.

    Four 4x4 stride-2 convolutions (width x 1, 2, 4, 8), then resize x2 + 3x3
    convolutions (width x 4, 2, 1, labels) with a skip connection at every
    level for which the encoder has one of the same size; the output is a
    sigmoid, or a softmax for several multiclass labels.

    Args:
      image_size: side in pixels, a multiple of 16.
      width: channels of the first level (64 in the paper).
      num_labels: number of labels, background not counted.
      multiclass: whether a pixel has at most one label.
      num_styles: number of annotation styles; 0: a model of the image alone.
      synchronized: whether batch statistics span all replicas.
      dtype: Keras dtype policy; the last layer is always float32.

    Returns:
      A functional model ``segmentor``: image float32 [batch, image_size,
      image_size, 3], normalized -> predicted_label_map float32 [batch,
      image_size, image_size, num_labels] in [0, 1]. With styles the input is
      [image, style], style float32 [batch, num_styles], weights that sum to 1,
      which modulates the decoder (`blocks.modulate`).
    """
    image = keras.Input((image_size, image_size, 3), name="image")
    style = blocks.style_input(num_styles)

    # Encoder
    x, levels = image, []
    for level, multiple in enumerate(blocks.LEVEL_MULTIPLES, start=1):
        x = blocks.down(
            x,
            width * multiple,
            name=f"down{level}",
            normalized=level > 1,
            synchronized=synchronized,
            dtype=dtype,
        )
        levels.append(x)

    # Decoder
    for level in range(len(levels) - 1, 0, -1):
        x = blocks.up(
            x,
            levels[level - 1],
            width * blocks.LEVEL_MULTIPLES[level - 1],
            name=f"up{level}",
            style=style,
            synchronized=synchronized,
            dtype=dtype,
        )
    x = layers.ResizeConv(num_labels, name="logits", dtype=dtype)(x)

    label_map = blocks.label_map(x, multiclass=multiclass, name="label_map")
    return blocks.make_model(image, style, label_map, name="segmentor")
