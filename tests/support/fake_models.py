"""Functions of the image that take the place of trained models."""

import numpy as np
import pytest

from segan_tf import labels as labels_lib
from segan_tf.inference import backends, predictor


def replace_models(monkeypatch, probability_map, labels=labels_lib.LESION):
    """Makes a function the model that is opened, whatever its path.

    Args:
      monkeypatch: ends the replacement.
      probability_map: uint8 [h, w, 3] -> float32 [h, w, labels].
      labels: of the channels.
    """
    backend = backends.Backend(labels, "a function", probability_map)
    monkeypatch.setattr(
        backends, "open_backend", lambda *args, **kwargs: backend
    )


def replace_styled_models(monkeypatch, styled_map, styles):
    """Makes a function of image and mixture the model that is opened.

    Args:
      monkeypatch: ends the replacement.
      styled_map: (uint8 [h, w, 3], mixture) -> float32 [h, w, 1].
      styles: that the model can draw in.
    """
    backend = backends.Backend(
        labels_lib.LESION,
        "a function",
        lambda image: styled_map(image, styles.mean),
        styles=styles,
        styled_map=styled_map,
    )
    monkeypatch.setattr(
        backends, "open_backend", lambda *args, **kwargs: backend
    )


def make_predictor(probability_map, labels=labels_lib.LESION):
    """Makes a predictor of a function; see `replace_models`."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        replace_models(monkeypatch, probability_map, labels)
        return predictor.Predictor("any")


def constant(probability):
    """Makes a function that finds one probability everywhere."""
    return lambda image: np.full((*image.shape[:2], 1), probability, "float32")
