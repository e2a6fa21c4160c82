"""SegAN: adversarial medical image segmentation with TensorFlow and Keras."""

__version__ = "0.1.0"
