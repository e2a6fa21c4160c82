"""TensorBoard summaries: curves, label maps and confusion of labels."""

import os

import numpy as np
import tensorflow as tf

from segan_tf import config
from segan_tf import labels as labels_lib
from segan_tf.imaging import preprocessing
from segan_tf.models import restore

_IMAGES = 4  # shown per panel


class SummaryWriter:
    """Writes scalars and images below <model_dir>/tensorboard."""

    def __init__(self, model_dir: str) -> None:
        """Creates the event file.

        Raises:
          UserError: it cannot be written.
        """
        folder = os.path.join(model_dir, "tensorboard")
        try:
            self._writer = tf.summary.create_file_writer(folder)
        except tf.errors.OpError as error:
            raise config.UserError(
                f"--model_dir ({model_dir}): {folder} cannot be written "
                f"({restore.reason_of(error)}); make room and start again."
            ) from error

    def write_scalars(
        self, group: str, values: dict[str, float], *, step: int
    ) -> None:
        """Adds a point to each curve."""
        with self._writer.as_default():
            for name, value in values.items():
                tf.summary.scalar(f"{group}/{name}", value, step=step)
        self._writer.flush()

    def write_images(
        self,
        image: tf.Tensor,
        true_label_map: tf.Tensor,
        predicted_label_map: tf.Tensor,
        *,
        step: int,
    ) -> None:
        """Writes images with their true and predicted label maps.

        Args:
          image: float32 [batch, height, width, 3], normalized.
          true_label_map: float32 [batch, height, width, labels].
          predicted_label_map: the same shape, in [0, 1].
          step: the step of the prediction.
        """
        image = preprocessing.denormalize(image[:_IMAGES]) / 255
        maps = [
            _color(label_map[:_IMAGES])
            for label_map in (true_label_map, predicted_label_map)
        ]
        panel = tf.concat([image, *maps], axis=2)
        with self._writer.as_default():
            tf.summary.image(
                "image, true, predicted",
                tf.clip_by_value(panel, 0, 1),
                step=step,
                max_outputs=_IMAGES,
            )
        self._writer.flush()

    def write_confusion(
        self, confusion: np.ndarray, labels: labels_lib.Labels, *, step: int
    ) -> None:
        """Writes which share of each true label was predicted as which.

        Args:
          confusion: int [labels + 1, labels + 1], rows true, see
            `metrics.batch.confusion_matrix`.
          labels: their names are the titles of rows and columns.
          step: the step of the prediction.
        """
        names = ("background", *labels.names)
        lines = ["| true / predicted | " + " | ".join(names) + " |"]
        lines.append("|---" * (len(names) + 1) + "|")
        for name, row in zip(names, confusion, strict=True):
            shares = row / max(1, row.sum())
            cells = " | ".join(f"{share:.1%}" for share in shares)
            lines.append(f"| {name} | {cells} |")
        with self._writer.as_default():
            tf.summary.text("confusion", "\n".join(lines), step=step)
        self._writer.flush()


def _color(label_map: tf.Tensor) -> tf.Tensor:
    """Paints labels in their colors; a single one is white.

    Args:
      label_map: float32 [batch, height, width, labels] in [0, 1].

    Returns:
      float32 [batch, height, width, 3] in [0, 1].
    """
    count = label_map.shape[-1]
    if count == 1:
        return tf.repeat(label_map, 3, axis=-1)
    names = labels_lib.default_names(count)
    colors = tf.constant(labels_lib.Labels(names).colors, tf.float32) / 255
    return tf.minimum(tf.einsum("bhwk,kc->bhwc", label_map, colors), 1.0)
