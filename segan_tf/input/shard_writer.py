"""Writes decoded pairs to a TFRecord file."""

from collections.abc import Iterable

import numpy as np
import tensorflow as tf

from segan_tf import files
from segan_tf.datasets import pairs

# Around every record of a TFRecord file: its length and the length's checksum;
# the record's checksum.
_HEADER_BYTES = 8 + 4
_FOOTER_BYTES = 4


def write(
    path: str, decoded: Iterable[tuple[pairs.Pair, str, np.ndarray]]
) -> list[int]:
    """Writes a file, whole or not at all.

    Args:
      path: of the file.
      decoded: pairs with their style, or "", and their record, uint8 [size,
        size, 3 + labels].

    Returns:
      Where the pixels of each record begin in the file, in bytes.

    Raises:
      OSError, tf.errors.OpError: the file cannot be written.
    """
    offsets = []
    begin = 0
    # TensorFlow opens the temporary file a second time, to write into it.
    with (
        files.replacing(path) as file,
        tf.io.TFRecordWriter(files.literal(file.name)) as writer,
    ):
        for pair, style, record in decoded:
            pixels = record.tobytes()
            data = _make_example(pair, style, record.shape, pixels)
            writer.write(data)
            begin += _HEADER_BYTES
            offsets.append(begin + data.index(pixels))
            begin += len(data) + _FOOTER_BYTES
        writer.flush()
    return offsets


def _make_example(
    pair: pairs.Pair, style: str, shape: tuple[int, ...], pixels: bytes
) -> bytes:
    texts = {"id": pair.id, "split": pair.split, "style": style}
    features = {
        name: tf.train.Feature(
            bytes_list=tf.train.BytesList(value=[files.encode(text)])
        )
        for name, text in texts.items()
    }
    features["pixels"] = tf.train.Feature(
        bytes_list=tf.train.BytesList(value=[pixels])
    )
    features["shape"] = tf.train.Feature(
        int64_list=tf.train.Int64List(value=shape)
    )
    example = tf.train.Example(features=tf.train.Features(feature=features))
    # Equal pairs give equal files.
    return example.SerializeToString(deterministic=True)
