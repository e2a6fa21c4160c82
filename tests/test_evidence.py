"""Tests of the pictures that exported models are judged by."""

import dataclasses
import os

import blobs
import numpy as np
import pytest

from segan_tf import config
from segan_tf.data import sources, splits
from segan_tf.evaluation import evidence


@pytest.fixture
def run(tmp_path):
    """Returns a run of 12 pairs: 8 train, 1 validates, 3 test."""
    blobs.write_pairs(str(tmp_path / "data"), 12)
    run = config.Config(
        data_dir=str(tmp_path / "data"),
        model_dir=str(tmp_path / "run"),
        image_size=32,
    )
    os.makedirs(run.model_dir)
    divided = sources.load_splits(run, progress=lambda pairs, **_: pairs)
    splits.write_splits(divided, run.model_dir)
    return run


def test_calibration_and_scoring_take_their_own_splits(run):
    found = evidence.find_evidence(run, given=())

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


def test_without_int8_nothing_is_read_to_calibrate_it(run):
    run = dataclasses.replace(run, quantizations=("none",), split="train")

    found = evidence.find_evidence(run, given=("split",))

    assert found.calibration_images == []
    assert len(list(found.pairs)) == 8


def test_drawings_stand_in_for_data_that_are_gone(run, capsys):
    gone = dataclasses.replace(run, data_dir="gone")

    found = evidence.find_evidence(gone, given=())

    said = "Dice cannot be measured: --data_dir (gone) does not exist"
    assert capsys.readouterr().out.startswith(said)
    assert found.calibration_images == []
    assert [true for _, true in found.pairs] == [None] * evidence.DRAWN


@pytest.mark.parametrize("named", ["data_dir", "split", "num_test"])
def test_data_that_the_command_names_have_to_be_there(run, named):
    gone = dataclasses.replace(run, data_dir="gone")

    with pytest.raises(config.UserError, match=r"--data_dir \(gone\)"):
        evidence.find_evidence(gone, given=(named,))


def test_a_damaged_pair_is_named_or_left_out(run):
    ids = splits.read_split_ids(run.model_dir)["test"]
    path = os.path.join(run.data_dir, "images", f"{ids[0]}.png")
    os.truncate(path, 100)
    with pytest.raises(config.UserError, match=ids[0]):
        list(evidence.find_evidence(run, given=()).pairs)

    skipping = dataclasses.replace(run, skip_bad_pairs=True)

    assert len(list(evidence.find_evidence(skipping, given=()).pairs)) == 2


def test_pairs_are_spread_over_the_whole_split():
    assert evidence._spread(range(7), 3) == [0, 3, 6]
    assert evidence._spread(range(3), 3) == range(3)


def test_scores_are_means_over_the_labels():
    true = np.zeros((2, 2, 2), np.uint8)
    true[0, :, 0] = 1
    predicted = np.zeros_like(true)
    predicted[:, 0, 0] = 1

    scores = evidence.measure(predicted, true)

    # Of the first label 1 pixel of 2 and 2 agrees; the second is empty.
    assert scores["dice"] == (2 * 1 / (2 + 2) + 1) / 2
    assert scores["iou"] == (1 / 3 + 1) / 2
