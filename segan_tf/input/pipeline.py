"""The tf.data pipelines: cached records in, batches for the models out."""

import numpy as np
import tensorflow as tf

from segan_tf import config
from segan_tf.imaging import preprocessing
from segan_tf.input import augmentation, cached_dataset

# With TensorFlow's own 4, neighbors stay neighbors a third too often.
_SHUFFLE_ROUNDS = 8


def steps_per_epoch(count: int, batch_size: int) -> int:
    """Counts the whole batches of an epoch; the rest waits for the next one.

    Raises:
      UserError: there are fewer pairs than one batch needs.
    """
    if count < batch_size:
        remedy = f"use at most {count}" if count else "give pairs to train on"
        raise config.UserError(
            f"--batch_size ({batch_size}) is more than the {count} training "
            f"pairs; {remedy}."
        )
    return count // batch_size


def make_training_dataset(
    records: cached_dataset.CachedDataset,
    *,
    batch_size: int,
    image_size: int,
    first_step: int,
    last_step: int,
    seed: int,
    strong: bool = False,
) -> tf.data.Dataset:
    """Makes the batches of the steps first_step, ..., last_step - 1.

    Which pair stands at which place, and how it is changed, follows from the
    seed and the step alone: starting at step 100 gives what a run from step 0
    sees from there. Every epoch is a new permutation of the pairs; those over
    after the last whole batch are left out of that epoch.

    Args:
      records: the training pairs.
      batch_size: images per batch, the global batch.
      image_size: side of the images in pixels.
      first_step: step of the first batch.
      last_step: step after the last batch.
      seed: of order and augmentation.
      strong: see `augmentation.augment_pair`.

    Returns:
      A dataset of (image float32 [batch_size, image_size, image_size, 3],
      normalized; true_label_map float32 [batch_size, image_size, image_size,
      labels] in {0, 1}).
    """
    per_epoch = batch_size * steps_per_epoch(records.count, batch_size)

    def make_example(position: tf.Tensor):
        epoch, place = position // per_epoch, position % per_epoch
        index = _shuffle(place, records.count, tf.stack([seed, epoch]))
        image, label_map = _read(records, index)
        image, label_map = augmentation.augment_pair(
            image,
            label_map,
            tf.stack([tf.cast(seed, tf.int64), position]),
            image_size=image_size,
            strong=strong,
        )
        return preprocessing.normalize(image), label_map

    positions = tf.data.Dataset.range(
        first_step * batch_size, last_step * batch_size
    )
    return (
        positions.map(make_example, tf.data.AUTOTUNE, deterministic=True)
        .batch(batch_size, drop_remainder=True)
        .prefetch(2)
    )


def _shuffle(place: tf.Tensor, count: int, seed: tf.Tensor) -> tf.Tensor:
    """Returns what stands at a place of the seed's permutation of ``count``.

    Below 65,537 pairs the operation uses the low 8 bits of each of its three
    seeds: seed and epoch themselves would repeat the order every 256 epochs.
    """
    return tf.raw_ops.RandomIndexShuffle(
        index=place,
        seed=tf.random.stateless_uniform(
            [3], seed, minval=None, maxval=None, dtype=tf.uint32
        ),
        max_index=tf.cast(count - 1, tf.int64),
        rounds=_SHUFFLE_ROUNDS,
    )


def make_evaluation_dataset(
    records: cached_dataset.CachedDataset, *, batch_size: int, image_size: int
) -> tf.data.Dataset:
    """Makes batches of every pair once, in order, resized and unchanged.

    Returns:
      A dataset as `make_training_dataset`'s; the last batch may be smaller.
    """

    def make_example(index: tf.Tensor):
        image, label_map = _read(records, index)
        size = (image_size, image_size)
        image = preprocessing.resize_image(image, *size)
        label_map = preprocessing.resize_label_map(label_map, *size)
        return preprocessing.normalize(image), tf.cast(label_map, tf.float32)

    return (
        tf.data.Dataset.range(records.count)
        .map(make_example, tf.data.AUTOTUNE, deterministic=True)
        .batch(batch_size)
        .prefetch(2)
    )


def _read(records: cached_dataset.CachedDataset, index: tf.Tensor):
    record = tf.numpy_function(
        lambda i: np.ascontiguousarray(records.read(i)), [index], tf.uint8
    )
    record = tf.ensure_shape(record, records.shape)
    return record[..., :3], record[..., 3:]
