"""Tests that training on shards is training on the folder they were made of."""

import json
import re
import shutil

import blobs
import checkpoint_values
import pytest
import running

from segan_tf.input import conversion_parts

FLAGS = (
    "--image_size=32",
    "--width=2",
    "--batch_size=4",
    "--num_test=4",
    "--num_validation=4",
    "--augment=strong",
    "--skip_bad_pairs",
)
COUNT = 30
IN_TRAINING = COUNT - 4 - 4 - 2  # two cannot be read


def spoil(path, *, keep):
    """Cuts a file off after so many bytes."""
    data = path.read_bytes()
    path.write_bytes(data[:keep])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Draws pairs, spoils two, and converts them; not to be changed."""
    folder = tmp_path_factory.mktemp("folder")
    data = folder / "data"
    blobs.write_pairs(str(data), COUNT)
    spoil(data / "images" / "blob_007.png", keep=2000)  # only decoding tells
    spoil(data / "label_maps" / "blob_011.png", keep=10)  # the header tells
    styles = [f"blob_{i:03},{'wide' if i % 2 else 'tight'}" for i in range(20)]
    (data / "styles.csv").write_text("\n".join(["id,style", *styles]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conversion_parts, "SHARD_BYTES", 7 * 40 * 40 * 4)
        result = running.run(
            "--mode=convert",
            f"--data_dir={data}",
            f"--output_dir={folder / 'shards'}",
            "--image_size=32",
            "--skip_bad_pairs",
        )
    assert result.status == 0, result.err
    assert (folder / "shards" / "pairs-00004.tfrecord").exists()
    return folder


def train(folder, data, name, *more):
    result = running.run(
        "--mode=train",
        f"--data_dir={folder / data}",
        f"--model_dir={folder / name}",
        *FLAGS,
        *more,
    )
    assert result.status == 0, result.err
    return result.out


@pytest.fixture(scope="module")
def runs(folder):
    """Trains on the folder, and on the shards; returns what was printed."""
    return [
        train(folder, data, f"on_{data}", "--epochs=2")
        for data in ("data", "shards")
    ]


def test_weights_are_those_of_the_folder_bit_by_bit(folder, runs):
    checkpoint_values.assert_equal(folder / "on_shards", folder / "on_data")


def test_both_say_the_same_of_the_pairs(runs):
    lines, others = (
        [line for line in text.splitlines() if ".png" in line] for text in runs
    )
    assert lines == others
    assert any("blob_007.png is damaged" in line for line in lines)
    assert any("blob_011.png" in line for line in lines)
    for text in runs:
        # Of the training pairs that cannot be read, headers tell one.
        assert f"{IN_TRAINING + 1} pairs for training" in text
        assert "2 annotation styles (tight, wide)" in text


def test_both_record_the_same_pairs_and_splits(folder, runs):
    for name in ("pairs.json", "splits.json", "styles.json"):
        content, other = (
            json.loads((folder / run / name).read_text())
            for run in ("on_data", "on_shards")
        )
        assert content == other


@pytest.mark.any_edition
def test_run_on_the_folder_goes_on_with_its_shards(folder, runs):
    train(folder, "data", "changing", "--epochs=1")
    text = train(folder, "shards", "changing", "--epochs=2")
    assert "resuming at step" in text
    checkpoint_values.assert_equal(folder / "changing", folder / "on_data")


def test_run_on_shards_is_evaluated_on_them_and_says_so(folder, runs):
    result = running.run(
        "--mode=evaluate", f"--model_dir={folder / 'on_shards'}"
    )
    assert result.status == 0, result.err
    assert "are scored at 40x40 pixels" in result.out
    assert "(of shards, at 40x40 pixels)" in result.out
    (found,) = (folder / "on_shards").glob("evaluation_test*/results.json")
    assert found.parent.name != "evaluation_test"
    assert json.loads(found.read_text())["run"]["scored_side"] == 40


def test_run_on_shards_is_evaluated_on_its_own_split_of_the_folder(
    folder, runs
):
    result = running.run(
        "--mode=evaluate",
        f"--model_dir={folder / 'on_shards'}",
        f"--data_dir={folder / 'data'}",
        "--skip_bad_pairs",
    )
    assert result.status == 0, result.err
    assert "may be images that the model was trained on" not in result.out
    found = [
        json.loads(path.read_text())
        for path in (folder / "on_shards").glob("evaluation_test*/results.json")
    ]
    (own,) = (each for each in found if "scored_side" not in each["run"])
    assert own["image_count"] == 4
    assert not own["run"]["may_include_trained_images"]


def test_other_image_size_is_one_line(folder, tmp_path):
    error = running.error_of(
        "--mode=train",
        f"--data_dir={folder / 'shards'}",
        f"--model_dir={tmp_path}",
        "--image_size=64",
    )
    assert "--image_size (64) is not the 32 that the shards in" in error
    assert "give --image_size=32, or convert again with" in error


def test_cache_of_shards_is_one_line(folder, tmp_path):
    error = running.error_of(
        "--mode=train",
        f"--data_dir={folder / 'shards'}",
        f"--model_dir={tmp_path}",
        "--image_size=32",
        "--cache=disk",
    )
    assert "--cache (disk) has no effect on shards" in error


@pytest.mark.any_edition
def test_shard_that_is_spoiled_while_training_is_named(folder, tmp_path):
    shards = shutil.copytree(folder / "shards", tmp_path / "shards")
    for number in range(5):  # the pairs of any shard may be for testing
        path = shards / f"pairs-0000{number}.tfrecord"
        listed = json.loads(path.with_suffix(".json").read_text())
        data = bytearray(path.read_bytes())
        for pair in listed["pairs"]:
            data[pair["offset"]] ^= 1
        path.write_bytes(data)
    error = running.error_of(
        "--mode=train",
        f"--data_dir={shards}",
        f"--model_dir={tmp_path / 'run'}",
        *FLAGS,
        "--epochs=1",
    )
    assert re.search(
        r"pairs-0000\d\.tfrecord is damaged \(pair blob_\d+\); copy it again "
        r"from where it is whole, or convert again; nothing is saved yet\.",
        error,
    )
