"""TensorBoard summaries: curves, label maps and confusion of labels."""

import contextlib
import os
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from segan_tf import config, console, files
from segan_tf import labels as labels_lib
from segan_tf.imaging import preprocessing
from segan_tf.models import restore

_FOLDER = "tensorboard"
_IMAGES = 4  # shown per panel


class SummaryWriter:
    """Writes scalars and images below <model_dir>/tensorboard."""

    def __init__(self, folder: str) -> None:
        """Creates the event file in a folder below this one.

        Raises:
          UserError: it cannot be written.
        """
        self.open(folder)

    def open(self, folder: str) -> None:
        """Writes to an event file below this folder from now on.

        Raises:
          UserError: it cannot be written.
        """
        path = os.path.join(folder, _FOLDER)
        try:
            os.makedirs(folder, exist_ok=True)
            self._writer: tf.summary.SummaryWriter | None = (
                tf.summary.create_file_writer(
                    os.path.join(files.without_patterns(folder), _FOLDER)
                )
            )
        except (tf.errors.OpError, OSError) as error:
            raise config.UserError(
                f"--model_dir ({folder}): {path} cannot be written "
                f"({restore.reason_of(error)}); make room and start again."
            ) from error

    def close(self) -> None:
        """Closes the event file, whose folder may then be moved."""
        with self._writing() as writer:
            writer.close()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[tf.summary.SummaryWriter]:
        """Gives the writer; without room the curves end with a warning.

        They are only for looking at: the training itself continues.
        """
        writer = self._writer or tf.summary.create_noop_writer()
        try:
            with writer.as_default():
                yield writer
            writer.flush()
        except tf.errors.OpError as error:
            if self._writer is not None:
                console.say(
                    "warning: the curves of TensorBoard end here, because they "
                    f"cannot be written ({restore.reason_of(error)}); training "
                    "continues"
                )
            self._writer = None

    def write_scalars(
        self, group: str, values: dict[str, float], *, step: int
    ) -> None:
        """Adds a point to each curve."""
        with self._writing():
            for name, value in values.items():
                tf.summary.scalar(f"{group}/{name}", value, step=step)

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
        with self._writing():
            tf.summary.image(
                "image, true, predicted",
                tf.clip_by_value(panel, 0, 1),
                step=step,
                max_outputs=_IMAGES,
            )

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
        with self._writing():
            tf.summary.text("confusion", "\n".join(lines), step=step)


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
