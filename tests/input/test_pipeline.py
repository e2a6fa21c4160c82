"""Tests of the batches: their order, resuming and values.

Most images have one color, by which they are recognized despite augmentation.
"""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from segan_tf import config, labels
from segan_tf.datasets import pairs
from segan_tf.imaging import preprocessing
from segan_tf.input import cached_dataset, pipeline

SIZE = 16
WORKING_SIZE = 2 * SIZE


def make_records(images, label_maps=None):
    """Replaces opened pairs."""
    if label_maps is None:
        label_maps = np.zeros((*images.shape[:3], 1), np.uint8)
    both = np.concatenate([images, label_maps], axis=-1)
    return cached_dataset.CachedDataset(
        len(both), both.shape[1:], both.__getitem__, {}
    )


def numbered_records(count):
    """Returns pairs of one color: 2 for number 0, 4 for number 1, ..."""
    shape = (count, WORKING_SIZE, WORKING_SIZE, 3)
    numbers = np.arange(count, dtype=np.uint8).reshape(-1, 1, 1, 1)
    return make_records(np.broadcast_to(2 * numbers + 2, shape))


def noise_records(count):
    rng = np.random.default_rng(0)
    shape = (count, WORKING_SIZE, WORKING_SIZE)
    return make_records(
        rng.integers(0, 256, (*shape, 3), dtype=np.uint8),
        rng.integers(0, 2, (*shape, 1), dtype=np.uint8),
    )


def train(records, *, first_step=0, last_step, batch_size=4, seed=0, **options):
    return list(
        pipeline.make_training_dataset(
            records,
            batch_size=batch_size,
            image_size=SIZE,
            first_step=first_step,
            last_step=last_step,
            seed=seed,
            **options,
        ).as_numpy_iterator()
    )


def evaluate(records, batch_size):
    return list(
        pipeline.make_evaluation_dataset(
            records, batch_size=batch_size, image_size=SIZE
        ).as_numpy_iterator()
    )


def numbers(batches):
    """Returns which of the numbered pairs each batch holds, one row each."""
    return [
        ((preprocessing.denormalize(image)[:, 0, 0, 0] - 2) / 2)
        .numpy()
        .round()
        .astype(int)
        .tolist()
        for image, _ in batches
    ]


def epochs(count, *, batch_size, number, **options):
    """Returns the order of the pairs in each of some epochs."""
    steps = pipeline.steps_per_epoch(count, batch_size)
    batches = train(
        numbered_records(count),
        batch_size=batch_size,
        last_step=number * steps,
        **options,
    )
    return np.reshape(numbers(batches), (number, steps * batch_size)).tolist()


@pytest.mark.parametrize("strong", [False, True])
def test_starting_later_gives_the_batches_of_a_run_from_step_0(strong):
    records = noise_records(10)
    whole = train(records, last_step=6, strong=strong)

    for first_step in (1, 4):  # within and between epochs of two steps
        rest = train(records, first_step=first_step, last_step=6, strong=strong)

        assert len(rest) == 6 - first_step
        for expected, found in zip(whole[first_step:], rest, strict=True):
            np.testing.assert_array_equal(found[0], expected[0])
            np.testing.assert_array_equal(found[1], expected[1])


@pytest.mark.parametrize("first_step", [0, 3])  # the start, and an epoch's 2nd
def test_workers_read_their_parts_of_the_batches_of_one(first_step):
    read = []
    records = noise_records(10)
    counted = dataclasses.replace(
        records, read=lambda i: read.append(i) or records.read(i)
    )
    options = {"strong": True, "first_step": first_step, "last_step": 6}
    whole = train(records, **options)
    # Two workers of two replicas each: every batch is of one of four replicas.
    parts = [
        train(counted, worker=w, num_workers=2, num_replicas=4, **options)
        for w in range(2)
    ]
    assert [len(part) for part in parts] == [2 * (6 - first_step)] * 2
    # Of each batch of 4, a worker reads 2.
    assert len(read) == 4 * (6 - first_step)
    for number, batch in enumerate(whole):
        pieces = [part[2 * number + i] for part in parts for i in range(2)]
        for field, expected in enumerate(batch):
            found = np.concatenate([piece[field] for piece in pieces])
            np.testing.assert_array_equal(found, expected)


def test_each_part_of_a_batch_is_shared_by_all_replicas():
    records = numbered_records(16)
    (whole,) = numbers(train(records, last_step=1, batch_size=16))
    # Two workers of two replicas; each takes 4 images, in 2 parts.
    shares = [
        numbers(
            train(
                records,
                last_step=1,
                batch_size=16,
                worker=worker,
                num_workers=2,
                num_replicas=4,
                parts=2,
            )
        )
        for worker in range(2)
    ]
    replicas = [share for worker in shares for share in worker]
    for part in range(2):
        held = [share[2 * part : 2 * part + 2] for share in replicas]
        expected = whole[8 * part : 8 * part + 8]
        np.testing.assert_array_equal(np.concatenate(held), expected)


def test_longer_run_starts_with_the_same_batches():
    short = train(noise_records(10), last_step=3)
    long = train(noise_records(10), last_step=5)
    np.testing.assert_array_equal(
        [x for x, _ in short], [x for x, _ in long[:3]]
    )


def test_every_epoch_is_a_permutation_of_all_pairs():
    orders = epochs(12, batch_size=4, number=20)
    for order in orders:
        assert sorted(order) == list(range(12))
    assert len({tuple(order) for order in orders}) == 20


def test_pairs_left_out_differ_between_epochs():
    orders = epochs(10, batch_size=4, number=20)
    left = [frozenset(range(10)) - set(order) for order in orders]
    assert all(len(pairs_left) == 10 - 2 * 4 for pairs_left in left)
    assert len(set(left)) > 10
    assert set().union(*left) == set(range(10))


def test_every_pair_comes_first_about_equally_often():
    first = [order[0] for order in epochs(8, batch_size=8, number=320)]
    # 40 of 320 each, with a deviation of sqrt(320 * 1 / 8 * 7 / 8) = 5.9.
    counts = np.bincount(first, minlength=8)
    assert np.all(np.abs(counts - 320 / 8) < 4 * 5.9), counts


def test_one_pair_alone_is_every_batch():
    assert epochs(1, batch_size=1, number=3) == [[0], [0], [0]]


def test_order_does_not_repeat_after_256_epochs():
    # The shuffling operation looks at the last 8 bits of its seeds only.
    steps = 16 // 8
    records = numbered_records(16)
    orders = [
        numbers(train(records, batch_size=8, first_step=f, last_step=f + steps))
        for f in (0, 256 * steps)
    ]
    assert orders[0] != orders[1]


@pytest.mark.parametrize("seed", [1, 256, 2**31])
def test_another_seed_gives_another_order(seed):
    same, first, other = (
        epochs(16, batch_size=8, number=2, seed=s) for s in (0, 0, seed)
    )
    assert first == same
    assert first[0] != other[0]
    assert first[1] != other[1]


def test_pair_is_augmented_differently_by_epoch_and_seed():
    records = noise_records(1)
    batches = train(records, batch_size=1, last_step=30)
    # About 15 are cropped, each elsewhere, and 15 resized, in four flips.
    assert len({image.tobytes() for image, _ in batches}) > 12
    other = train(records, batch_size=1, last_step=30, seed=1)
    assert any(
        not np.array_equal(a, b)
        for (a, _), (b, _) in zip(batches, other, strict=True)
    )


def test_strong_is_passed_on():
    basic = train(numbered_records(4), last_step=1)
    strong = train(numbered_records(4), last_step=1, strong=True)
    assert np.ptp(basic[0][0][0, ..., 0]) == 0
    assert not np.allclose(basic[0][0], strong[0][0], atol=1e-3)


def test_training_batches_have_their_static_shape():
    dataset = pipeline.make_training_dataset(
        noise_records(10),
        batch_size=4,
        image_size=SIZE,
        first_step=0,
        last_step=3,
        seed=0,
    )
    assert dataset.element_spec == (
        tf.TensorSpec((4, SIZE, SIZE, 3), tf.float32),
        tf.TensorSpec((4, SIZE, SIZE, 1), tf.float32),
    )
    assert dataset.cardinality() == 3


def test_no_pipeline_has_the_autotuner_that_is_slow_to_end():
    records = noise_records(4)
    size = {"batch_size": 4, "image_size": SIZE}
    for dataset in (
        pipeline.make_evaluation_dataset(records, **size),
        pipeline.make_training_dataset(
            records, **size, first_step=0, last_step=1, seed=0
        ),
    ):
        assert dataset.options().autotune.enabled is False


def halves(left, right):
    image = np.empty((WORKING_SIZE, WORKING_SIZE, 3), np.uint8)
    image[:, :SIZE], image[:, SIZE:] = left, right
    return image


# By hand: red 255 is (1 - 0.485) / 0.229, green 0 is -0.456 / 0.224 and blue
# 51 is (51 / 255 - 0.406) / 0.225.
COLOR = (255, 0, 51)
NORMALIZED = ((1 - 0.485) / 0.229, -0.456 / 0.224, (0.2 - 0.406) / 0.225)


def test_training_images_are_normalized_and_label_maps_are_not():
    images = halves(COLOR, COLOR)[None]
    marked = np.ones((1, WORKING_SIZE, WORKING_SIZE, 2), np.uint8)
    marked[..., 1] = 0

    ((image, label_map),) = train(
        make_records(images, marked), batch_size=1, last_step=1
    )

    expected = np.broadcast_to(np.float32(NORMALIZED), (1, SIZE, SIZE, 3))
    np.testing.assert_allclose(image, expected, rtol=1e-5)
    np.testing.assert_array_equal(label_map[..., 0], 1.0)
    np.testing.assert_array_equal(label_map[..., 1], 0.0)


def test_evaluation_resizes_normalizes_and_changes_nothing_else():
    marked = np.zeros((1, WORKING_SIZE, WORKING_SIZE, 1), np.uint8)
    marked[:, :SIZE] = 1
    records = make_records(halves(COLOR, (0, 0, 0))[None], marked)

    ((image, label_map),) = evaluate(records, batch_size=1)

    half = SIZE // 2
    assert (image.dtype, label_map.dtype) == (np.float32, np.float32)
    np.testing.assert_allclose(
        image[0, 3, : half - 1], [NORMALIZED] * (half - 1), rtol=1e-5
    )
    black = [-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225]
    np.testing.assert_allclose(
        image[0, 3, half + 1 :], [black] * (half - 1), rtol=1e-5
    )
    np.testing.assert_array_equal(label_map[0, :half], 1.0)
    np.testing.assert_array_equal(label_map[0, half:], 0.0)


def test_evaluation_gives_every_pair_once_in_order():
    batches = evaluate(numbered_records(10), batch_size=4)
    assert numbers(batches) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_evaluation_of_no_pair_gives_no_batch():
    records = cached_dataset.CachedDataset(
        0, (WORKING_SIZE, WORKING_SIZE, 4), None, {}
    )
    assert evaluate(records, batch_size=4) == []


@pytest.mark.parametrize("kind", ["memory", "disk", "none"])
def test_every_cache_feeds_the_same_batches(tmp_path, kind):
    split = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        paths = [str(tmp_path / f"{seed}{end}.png") for end in ("", "_mask")]
        noise = rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)
        Image.fromarray(noise).save(paths[0])
        Image.fromarray((noise[..., 0] > 99) * np.uint8(255)).save(paths[1])
        split.append(pairs.Pair(str(seed), paths[0], (paths[1],)))
    decoded = np.stack(
        [
            cached_dataset.decode(
                p, size=WORKING_SIZE, labels=labels.LESION
            ).record
            for p in split
        ]
    )
    expected = train(
        make_records(decoded[..., :3], decoded[..., 3:]), last_step=3
    )

    records = cached_dataset.open_records(
        split,
        cache=kind,
        cache_dir=str(tmp_path),
        size=WORKING_SIZE,
        labels=labels.LESION,
    )

    for found, wanted in zip(
        train(records, last_step=3), expected, strict=True
    ):
        np.testing.assert_array_equal(found[0], wanted[0])
        np.testing.assert_array_equal(found[1], wanted[1])


def test_steps_of_an_epoch_are_its_full_batches():
    assert pipeline.steps_per_epoch(10, 4) == 2
    assert pipeline.steps_per_epoch(8, 4) == 2
    assert pipeline.steps_per_epoch(4, 4) == 1


@pytest.mark.parametrize(
    ("count", "remedy"), [(3, "use at most 3"), (0, "give pairs to train on")]
)
def test_batch_larger_than_the_training_split_is_an_error(count, remedy):
    message = (
        rf"--batch_size \(4\) is more than the {count} training pairs; {remedy}"
    )
    with pytest.raises(config.UserError, match=message):
        pipeline.steps_per_epoch(count, 4)
    with pytest.raises(config.UserError, match=message):
        train(numbered_records(count), last_step=1)
