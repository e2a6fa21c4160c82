"""Segmentation metrics.

`Dice` and `IoU` are Keras metrics, for `model.compile`; they are imported when
they are first used, since Keras takes seconds to start. `per_image` has NumPy
functions for evaluation at the images' own size.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from segan_tf.metrics.overlap import Dice as Dice
    from segan_tf.metrics.overlap import IoU as IoU

__all__ = ["Dice", "IoU"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from segan_tf.metrics import overlap

    return getattr(overlap, name)
