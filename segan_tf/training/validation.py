"""Measures the segmentor on the validation split."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from segan_tf import labels as labels_lib
from segan_tf import metrics
from segan_tf.config import Config
from segan_tf.input import cached_dataset, pipeline
from segan_tf.metrics import batch as batch_metrics
from segan_tf.training import summaries

# From a normalized image to its predicted label map and the decided one.
Segment = Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


def compute_label_dice(
    config: Config,
    records: cached_dataset.CachedDataset,
    segment: Segment,
    *,
    labels: labels_lib.Labels,
    summary_writer: summaries.SummaryWriter,
    step: int,
) -> np.ndarray:
    """Computes each label's mean Dice, and writes the panels of TensorBoard.

    Args:
      config: of the run.
      records: of the validation split.
      segment: predicts label maps.
      labels: of the run.
      summary_writer: shows the first images and the confusion of labels.
      step: of the segmentor.

    Returns:
      float [labels], at image_size, see `metrics.Dice`; NaN for a label that
      no label map of the split has, if there are others that one has.
    """
    confusion = tf.zeros((), tf.int32)
    dice = metrics.Dice(config.num_labels, config.multiclass)
    counts_pixels = config.num_labels > 1 and config.multiclass
    dataset = pipeline.make_evaluation_dataset(
        records, batch_size=config.batch_size, image_size=config.image_size
    )
    for number, (image, true_label_map) in enumerate(dataset):
        predicted, decided = segment(image)
        if number == 0:
            summary_writer.write_images(
                image, true_label_map, predicted, step=step
            )
        dice.update_state(true_label_map, predicted)
        if counts_pixels:
            confusion += batch_metrics.confusion_matrix(decided, true_label_map)
    if counts_pixels:
        summary_writer.write_confusion(confusion.numpy(), labels, step=step)
    label_dice = dice.per_label().numpy()
    marked = [fact.marked for fact in records.facts.values()]
    if np.any(marked):
        label_dice[~np.any(marked, axis=0)] = np.nan
    return label_dice
