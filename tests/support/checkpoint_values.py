"""Reads what a checkpoint holds, to compare runs bit by bit."""

import os

import numpy as np
import tensorflow as tf


def read(
    model_dir: str | os.PathLike[str], which: str = "last"
) -> dict[str, np.ndarray]:
    """Returns every variable of a run's last or best checkpoint by its name."""
    path = tf.train.latest_checkpoint(
        os.path.join(model_dir, "checkpoints", which)
    )
    reader = tf.train.load_checkpoint(path)
    return {
        name: reader.get_tensor(name)
        for name in reader.get_variable_to_shape_map()
        if name.endswith("VARIABLE_VALUE")
        and not name.startswith("save_counter")  # counts the files
    }


def assert_equal(
    model_dir: str | os.PathLike[str],
    other: str | os.PathLike[str],
    *,
    which: str = "last",
) -> None:
    """Compares the last, or best, checkpoints of two runs, bit by bit."""
    values, expected = read(model_dir, which), read(other, which)
    assert values.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(values[name], value, err_msg=name)
