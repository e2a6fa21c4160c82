"""Tests that shards are TFRecord files that TensorFlow reads."""

import numpy as np
import pytest
import tensorflow as tf

from segan_tf.datasets import pairs
from segan_tf.input import shard_writer

RECORDS = np.random.default_rng(0).integers(0, 256, (3, 5, 5, 4), np.uint8)
PAIRS = [
    (pairs.Pair("a", "a.png", ("a_mask.png",)), "T1", RECORDS[0]),
    (pairs.Pair("größe", "b.png", (), split="test"), "", RECORDS[1]),
    (pairs.Pair("c", "c.png", ()), "T1+T2", RECORDS[2]),
]


@pytest.mark.parametrize("name", ["shard", "lr[0.1]*", "b\udce9"])
def test_pixels_begin_at_the_offsets(tmp_path, name):
    folder = tmp_path / name
    folder.mkdir()
    path = folder / "a.tfrecord"
    offsets = shard_writer.write(str(path), PAIRS)
    data = path.read_bytes()
    for offset, record in zip(offsets, RECORDS, strict=True):
        assert data[offset : offset + 100] == record.tobytes()
    assert [p.name for p in folder.iterdir()] == ["a.tfrecord"]


def test_tensorflow_reads_every_feature(tmp_path):
    path = str(tmp_path / "a.tfrecord")
    shard_writer.write(path, PAIRS)
    text = tf.io.FixedLenFeature([], tf.string)
    features = {
        **dict.fromkeys(("id", "split", "style", "pixels"), text),
        "shape": tf.io.FixedLenFeature([3], tf.int64),
    }
    # Reading checks the checksums of TFRecord.
    read = list(tf.data.TFRecordDataset(path))
    assert len(read) == 3
    for data, (pair, style, record) in zip(read, PAIRS, strict=True):
        found = tf.io.parse_single_example(data, features)
        assert found["id"].numpy().decode() == pair.id
        assert found["split"].numpy().decode() == pair.split
        assert found["style"].numpy().decode() == style
        pixels = tf.io.decode_raw(found["pixels"], tf.uint8)
        np.testing.assert_array_equal(
            tf.reshape(pixels, found["shape"]), record
        )


def test_equal_pairs_give_equal_files(tmp_path):
    for name in ("a", "b"):
        shard_writer.write(str(tmp_path / name), PAIRS)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_failed_writing_leaves_nothing(tmp_path):
    def fail():
        yield PAIRS[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        shard_writer.write(str(tmp_path / "a"), fail())
    assert list(tmp_path.iterdir()) == []
