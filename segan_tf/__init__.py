"""SegAN: adversarial medical image segmentation with TensorFlow and Keras."""

__version__ = "0.1.0"


def load_pretrained():
    """Loads the released segmentor; see `segan_tf.pretrained.load`.

    Returns:
      A Keras model: image float32 [batch, image_size, image_size, 3],
      normalised -> float32 [batch, image_size, image_size, 1] in [0, 1].
    """
    from segan_tf import pretrained  # only now TensorFlow, which takes seconds

    return pretrained.load()
