"""TensorBoard: the curves of a run, and what its label maps look like."""

import os

import tensorflow as tf

from segan_tf import config
from segan_tf.data import preprocessing
from segan_tf.training import checkpoints

_PICTURES = 4  # shown per panel


class Panels:
    """Writes scalars and pictures below <model_dir>/tensorboard."""

    def __init__(self, model_dir: str):
        """Opens the file of events.

        Raises:
          UserError: it cannot be written.
        """
        folder = os.path.join(model_dir, "tensorboard")
        try:
            self._writer = tf.summary.create_file_writer(folder)
        except tf.errors.OpError as error:
            raise config.UserError(
                f"--model_dir ({model_dir}): {folder} cannot be written "
                f"({checkpoints.reason_of(error)}); make room and start again."
            ) from error

    def write_scalars(
        self, group: str, values: dict[str, float], *, step: int
    ) -> None:
        """Adds a point to each curve."""
        with self._writer.as_default():
            for name, value in values.items():
                tf.summary.scalar(f"{group}/{name}", value, step=step)
        self._writer.flush()

    def write_pictures(
        self,
        image: tf.Tensor,
        true_label_map: tf.Tensor,
        predicted_label_map: tf.Tensor,
        *,
        step: int,
    ) -> None:
        """Shows image, true and predicted label map side by side.

        Args:
          image: float32 [batch, height, width, 3], normalised.
          true_label_map: float32 [batch, height, width, labels].
          predicted_label_map: the same shape, in [0, 1].
          step: the step the prediction is of.
        """
        image = preprocessing.denormalise(image[:_PICTURES]) / 255
        grey = [
            tf.repeat(tf.reduce_max(maps[:_PICTURES], -1, keepdims=True), 3, -1)
            for maps in (true_label_map, predicted_label_map)
        ]
        panel = tf.concat([image, *grey], axis=2)
        with self._writer.as_default():
            tf.summary.image(
                "image, true, predicted",
                tf.clip_by_value(panel, 0, 1),
                step=step,
                max_outputs=_PICTURES,
            )
        self._writer.flush()
