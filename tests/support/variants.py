"""Which segmentors are tested with both editions of TensorFlow."""

import pytest

_AS_LITE0 = ("efficientnet_lite1", "efficientnet_lite2")


def of_segmentors(names):
    """Returns parameters; those with the layers of Lite0 need one edition."""
    return [
        pytest.param(name, marks=pytest.mark.any_edition)
        if name in _AS_LITE0
        else name
        for name in names
    ]
