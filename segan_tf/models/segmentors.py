"""The table of segmentors: how each is built and what it needs.

To add a segmentor, write a file with its builder and add a row here. This file
imports no TensorFlow, so that flags are checked before anything slow starts.
"""

import dataclasses
import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras


@dataclasses.dataclass(frozen=True)
class Segmentor:
    """A row of the table.

    Attributes:
      module: file of the builder, `segan_tf.models.<module>`.
      builder: name of a function with the arguments and the result of
        `segan.build_segan`.
      size_multiple: image_size must be a multiple of it, in pixels.
      pretrained_encoder: name of the encoder whose ImageNet weights
        `load_imagenet_weights` in `module` loads into a new model; "" where
        none are published.
    """

    module: str
    builder: str
    size_multiple: int
    pretrained_encoder: str = ""

    def build(self, **settings: object) -> "keras.Model":
        """Builds the model with random weights."""
        return self._function(self.builder)(**settings)

    def load_imagenet_weights(self, model: "keras.Model") -> None:
        """Replaces the encoder's random weights with ImageNet's.

        Raises:
          UserError: the package with the weights is missing or damaged.
        """
        self._function("load_imagenet_weights")(model, self.pretrained_encoder)

    def _function(self, name: str) -> Callable[..., Any]:
        module = importlib.import_module(f"segan_tf.models.{self.module}")
        return getattr(module, name)


SEGMENTORS = {
    "segan": Segmentor("segan", "build_segan", size_multiple=16),
    **{
        encoder: Segmentor(
            "efficientnet",
            f"build_{encoder}",
            size_multiple=32,
            pretrained_encoder=encoder,
        )
        for encoder in (
            "efficientnet_lite0",
            "efficientnet_lite1",
            "efficientnet_lite2",
        )
    },
}
