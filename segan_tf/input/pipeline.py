"""The tf.data pipelines from cached records to batches."""

import dataclasses
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from segan_tf import config, environment
from segan_tf.imaging import preprocessing
from segan_tf.input import augmentation, cached_dataset

# With TensorFlow's default of 4, neighbors stay neighbors a third too often.
_SHUFFLE_ROUNDS = 8

_Example = tuple[tf.Tensor, ...]  # image, label map and maybe a style
_STYLE_STREAM = 1  # of random numbers, apart from that of the augmentation


@dataclasses.dataclass(frozen=True)
class StyleRows:
    """The annotation styles of a data set's pairs.

    Attributes:
      rows: float32 [pairs, styles], weights that sum to 1.
      mean: float32 [styles], the style of pairs where none is known.
      dropout: the share of the examples that get the mean style.
    """

    rows: np.ndarray
    mean: np.ndarray
    dropout: float


def steps_per_epoch(count: int, batch_size: int) -> int:
    """Returns the number of full batches in an epoch.

    Raises:
      UserError: there are fewer pairs than a batch needs.
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
    flip: str = "both",
    styles: StyleRows | None = None,
    worker: int = 0,
    num_workers: int = 1,
    num_replicas: int = 1,
    parts: int = 1,
) -> tf.data.Dataset:
    """Makes the training batches of the steps first_step to last_step - 1.

    The order and the augmentation of the pairs depend on the seed and the step
    alone: starting at step 100 gives the batches that a run from step 0 sees
    from there on. Every epoch is a new permutation of the pairs; what remains
    after the last full batch is left out of that epoch.

    Each replica gets its part of every global batch, and a worker reads only
    those of its own replicas: of batches of 8, worker 1 of 2 reads places 4 to
    7. Where a batch is taken in parts, each replica gets its share of every
    part: of 2 parts, worker 1 reads places 2 and 3, and then 6 and 7.

    Args:
      records: the training pairs.
      batch_size: images per global batch.
      image_size: side of the images in pixels.
      first_step: step of the first batch.
      last_step: step after the last batch.
      seed: of order and augmentation.
      strong: see `augmentation.augment_pair`.
      flip: see there.
      styles: of the pairs, if the segmentor has styles.
      worker: whose parts to make, from 0.
      num_workers: with equally many replicas.
      num_replicas: of all workers; they divide batch_size.
      parts: ``gradient_accumulation_steps``; they divide a replica's batch.

    Returns:
      A dataset of (image float32 [batch, image_size, image_size, 3],
      normalized; true_label_map float32 [batch, image_size, image_size,
      labels] in {0, 1}); with styles also style float32 [batch, styles]. The
      batches are of one replica, in the order of the worker's replicas.
    """
    per_epoch = batch_size * steps_per_epoch(records.count, batch_size)
    share = batch_size // num_workers  # of each global batch
    of_replica = batch_size // num_replicas
    of_part = of_replica // parts

    def find_position(number: tf.Tensor) -> tf.Tensor:
        """Returns the position among the examples of all workers."""
        step, place = number // share, number % share
        replica = worker * (num_replicas // num_workers) + place // of_replica
        part, place = place % of_replica // of_part, place % of_part
        place += (part * num_replicas + replica) * of_part
        return step * batch_size + place

    def make_example(number: tf.Tensor) -> _Example:
        position = find_position(number)
        epoch, place = position // per_epoch, position % per_epoch
        index = _shuffle(place, records.count, tf.stack([seed, epoch]))
        image, label_map = _read(records, index)
        draw = tf.stack([tf.cast(seed, tf.int64), position])
        image, label_map = augmentation.augment_pair(
            image,
            label_map,
            draw,
            image_size=image_size,
            strong=strong,
            flip=flip,
        )
        example = preprocessing.normalize(image), label_map
        if styles is None:
            return example
        return (*example, _draw_style(styles, index, draw))

    numbers = tf.data.Dataset.range(first_step * share, last_step * share)
    examples = _map_in_parallel(numbers, make_example)
    return examples.batch(of_replica, drop_remainder=True).prefetch(2)


def _map_in_parallel(
    numbers: tf.data.Dataset, make_example: Callable[[tf.Tensor], _Example]
) -> tf.data.Dataset:
    """Makes examples in order, one per core at once.

    The number is fixed, and so is the rest of the pipeline: with its autotuner,
    TensorFlow 2.21 sometimes takes many seconds to end an iterator, waiting for
    the autotuner's thread to wake up.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return numbers.map(
        make_example, environment.count_cores(), deterministic=True
    ).with_options(options)


def _shuffle(place: tf.Tensor, count: int, seed: tf.Tensor) -> tf.Tensor:
    """Returns the index at a place of a random permutation of ``count``.

    Below 65,537 pairs the operation uses only the low 8 bits of each of its
    three seeds. With seed and epoch themselves the order would repeat every 256
    epochs, so random numbers are drawn from them.
    """
    return tf.raw_ops.RandomIndexShuffle(
        index=place,
        seed=tf.random.stateless_uniform(
            [3], seed, minval=None, maxval=None, dtype=tf.uint32
        ),
        max_index=tf.cast(count - 1, tf.int64),
        rounds=_SHUFFLE_ROUNDS,
    )


def _draw_style(
    styles: StyleRows, index: tf.Tensor, seed: tf.Tensor
) -> tf.Tensor:
    """Returns the style of a pair, or at random the mean style."""
    stream = tf.random.experimental.stateless_fold_in(seed, _STYLE_STREAM)
    dropped = tf.random.stateless_uniform([], stream) < styles.dropout
    own = tf.gather(tf.constant(styles.rows), index)
    return tf.where(dropped, tf.constant(styles.mean), own)


def make_evaluation_dataset(
    records: cached_dataset.CachedDataset, *, batch_size: int, image_size: int
) -> tf.data.Dataset:
    """Makes batches of every pair once, in order, without augmentation.

    Returns:
      A dataset like that of `make_training_dataset`; the last batch may be
      smaller.
    """

    def make_example(index: tf.Tensor) -> _Example:
        image, label_map = _read(records, index)
        size = (image_size, image_size)
        image = preprocessing.resize_image(image, *size)
        label_map = preprocessing.resize_label_map(label_map, *size)
        return preprocessing.normalize(image), tf.cast(label_map, tf.float32)

    examples = _map_in_parallel(
        tf.data.Dataset.range(records.count), make_example
    )
    return examples.batch(batch_size).prefetch(2)


def _read(records: cached_dataset.CachedDataset, index: tf.Tensor) -> _Example:
    def read(i: np.int64) -> np.ndarray:
        try:
            return np.ascontiguousarray(records.read(int(i)))
        except config.UserError as error:
            records.failures.append(error)
            raise

    record = tf.numpy_function(read, [index], tf.uint8)
    record = tf.ensure_shape(record, records.shape)
    return record[..., :3], record[..., 3:]
