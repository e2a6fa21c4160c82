"""The table of critics: how each is built and how it compares label maps.

To add a critic, write its functions in a file and add a row here. This file
imports no TensorFlow, so that flags are checked before anything slow starts.
"""

import dataclasses
import functools
import pkgutil
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras
    import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Critic:
    """A row of the table: functions, as "module:name".

    Attributes:
      builder: has the arguments of `critic.build_critic`; its model may have
        no trainable weights.
      features: has the arguments and the result of `critic.compute_features`.
      distances: compares the features of the predicted label map, its first
        argument, and of the true one, as `losses.scale_distances` does.
    """

    builder: str
    features: str = "segan_tf.models.critic:compute_features"
    distances: str = "segan_tf.losses:scale_distances"

    def build(self, **settings: object) -> "keras.Model":
        """Builds the model with random weights."""
        return _function(self.builder)(**settings)

    def compute_distances(
        self,
        model: "keras.Model",
        form: str,
        image: "tf.Tensor",
        label_maps: "Sequence[tf.Tensor]",
        *,
        style: "tf.Tensor | None" = None,
    ) -> "tf.Tensor":
        """Computes the distance at every scale.

        Args:
          model: from `build`.
          form: one of config.CRITIC_FORMS.
          image: float32 [batch, height, width, 3], normalized.
          label_maps: the predicted and the true one, float32 [batch, height,
            width, labels] in [0, 1].
          style: float32 [batch, styles], for a critic with styles.

        Returns:
          float32 [batch, views, scales]; see `critic.compute_features`.
        """
        compute_features = _function(self.features)
        features = [
            compute_features(model, form, image, label_map, style=style)
            for label_map in label_maps
        ]
        return _function(self.distances)(*features)


CRITICS = {"segan": Critic("segan_tf.models.critic:build_critic")}


@functools.cache  # AutoGraph does not look into it
def _function(path: str) -> Callable[..., Any]:
    return pkgutil.resolve_name(path)
