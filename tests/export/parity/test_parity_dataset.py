"""Tests of the images that exported models are judged by."""

import os

import blobs
import numpy as np
import pytest

from export.parity import parity_dataset
from segan_tf import run_dir
from segan_tf.config import Config, UserError
from segan_tf.datasets import loading, splits


@pytest.fixture
def saved(tmp_path):
    """Returns a run's configuration: 8 pairs train, 1 validates, 3 test."""
    blobs.write_pairs(str(tmp_path / "data"), 12)
    config = Config(
        data_dir=str(tmp_path / "data"),
        model_dir=str(tmp_path / "run"),
        image_size=32,
    )
    os.makedirs(config.model_dir)
    divided = loading.load_splits(config, progress=lambda pairs, **_: pairs)
    splits.write_splits(divided, config.model_dir)
    return config.with_given(())


def load(saved, **given):
    """Loads what a run with these settings given is compared on."""
    config = run_dir.merge(saved, Config(**given))
    return parity_dataset.load_parity_dataset(config)


def test_calibration_and_scoring_use_their_own_splits(saved):
    found = load(saved)

    pairs = list(found.pairs)
    calibration_images = np.stack(found.calibration_images)
    assert calibration_images.shape == (12 - 12 // 4 - 1, 32, 32, 3)
    assert calibration_images.dtype == np.uint8
    assert len(pairs) == 12 // 4
    assert found.source == "the test split"
    for image, true in pairs:
        assert (image.shape, true.shape) == ((64, 64, 3), (64, 64, 1))
        assert set(np.unique(true)) == {0, 1}
        # The disc is dark, so the pair belongs together.
        assert image[true[..., 0] == 1].mean() < 100


def test_calibration_images_are_read_only_for_int8(saved):
    found = load(saved, quantizations=("none",), split="train")

    assert len(found.calibration_images) == 0
    assert len(list(found.pairs)) == 8


def test_drawings_replace_missing_data(saved, capsys):
    found = load(saved.with_given((), data_dir="gone"))

    said = "Dice cannot be measured: --data_dir (gone) does not exist"
    assert capsys.readouterr().out.startswith(said)
    assert len(found.calibration_images) == 0
    assert [true for _, true in found.pairs] == [None] * parity_dataset.DRAWN


@pytest.mark.parametrize(
    "given", [{"data_dir": "gone"}, {"split": "test"}, {"num_test": 3}]
)
def test_data_that_the_command_names_must_exist(saved, given):
    gone = saved.with_given((), data_dir="gone")

    with pytest.raises(UserError, match=r"--data_dir \(gone\)"):
        load(gone, **given)


def test_damaged_pair_is_an_error_unless_skipped(saved):
    ids = splits.read_split_ids(saved.model_dir)["test"]
    path = os.path.join(saved.data_dir, "images", f"{ids[0]}.png")
    os.truncate(path, 100)
    with pytest.raises(UserError, match=ids[0]):
        list(load(saved).pairs)

    assert len(list(load(saved, skip_bad_pairs=True).pairs)) == 2


def test_pairs_arespread_over_the_whole_split():
    assert parity_dataset.spread(range(7), 3) == [0, 3, 6]
    assert parity_dataset.spread(range(3), 3) == range(3)
