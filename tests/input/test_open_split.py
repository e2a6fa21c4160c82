"""Tests of opening a split at the working size, as the settings say."""

import os

import numpy as np
import pytest
from PIL import Image

from segan_tf import console
from segan_tf.config import Config, UserError
from segan_tf.datasets import loading
from segan_tf.input import cached_dataset

CACHES = ("memory", "disk", "none")
# Of ten pairs a quarter is for testing, a tenth of the rest for validation,
# at least one.
TRAINING = 10 - 10 // 4 - 1


@pytest.fixture
def folder(tmp_path):
    """Returns a folder of ten good pairs p0 to p9."""
    folder = tmp_path / "data"
    for name in ("images", "label_maps"):
        (folder / name).mkdir(parents=True)
    for seed in range(10):
        rng = np.random.default_rng(seed)
        for name, channels in (
            ("images/p{}.jpg", 3),
            ("label_maps/p{}.png", 1),
        ):
            noise = rng.integers(0, 2, (30, 40, channels), dtype=np.uint8)
            Image.fromarray(np.squeeze(255 * noise)).save(
                folder / name.format(seed)
            )
    return folder


def make_config(tmp_path, **settings):
    return Config(
        **{"model_dir": str(tmp_path / "run"), "image_size": 16, **settings}
    )


def training_pairs(config):
    return loading.load_splits(config, progress=console.no_bar).train


def open_split(config, say=print):
    return cached_dataset.open_split(
        config, training_pairs(config), progress=console.no_bar, say=say
    )


@pytest.mark.parametrize("kind", CACHES)
def test_records_have_the_working_size(folder, tmp_path, kind):
    config = make_config(tmp_path, data_dir=str(folder), cache=kind)

    records = open_split(config)

    assert records.shape == (1.25 * 16, 1.25 * 16, 3 + 1)
    assert records.read(0).shape == records.shape
    on_disk = os.path.exists(os.path.join(config.model_dir, "cache"))
    assert on_disk == (kind == "disk")


@pytest.fixture
def truncated_folder(folder):
    """Cuts p5 and p6 off where their headers do not tell it."""
    for name in ("p5", "p6"):
        path = folder / "images" / f"{name}.jpg"
        path.write_bytes(path.read_bytes()[:-400])
    return folder


def test_one_error_names_every_truncated_image(truncated_folder, tmp_path):
    config = make_config(
        tmp_path, data_dir=str(truncated_folder), num_test=0, num_validation=0
    )
    message = (
        r"2 files cannot be used(.|\n)*p5\.jpg is damaged(.|\n)*p6\.jpg is"
    )
    with pytest.raises(UserError, match=message):
        open_split(config)


def test_truncated_images_are_skipped_if_asked(truncated_folder, tmp_path):
    config = make_config(
        tmp_path,
        data_dir=str(truncated_folder),
        num_test=0,
        num_validation=0,
        skip_bad_pairs=True,
    )
    said = []

    records = open_split(config, said.append)

    assert records.count == 10 - 2
    assert "continuing without 2 files" in said[0]
    assert "p5.jpg is damaged or truncated" in said[0]


def write_meminfo(tmp_path, monkeypatch, *, free_kb, available_kb):
    path = tmp_path / "meminfo"
    path.write_text(
        f"MemTotal:  9999 kB\nMemFree:  {free_kb} kB\n"
        f"MemAvailable:  {available_kb} kB\nHugePages_Total:  0\n"
    )
    monkeypatch.setattr(cached_dataset, "MEMORY_FILE", str(path))


def test_records_that_do_not_fit_into_memory_are_an_error(
    folder, tmp_path, monkeypatch
):
    config = make_config(tmp_path, data_dir=str(folder), image_size=8000)
    write_meminfo(tmp_path, monkeypatch, free_kb=1, available_kb=1_000_000)
    needed = TRAINING * (1.25 * 8000) ** 2 * (3 + 1) / 1e9
    message = (
        rf"--cache \(memory\) needs {needed:.1f} GB and "
        rf"{1_000_000 * 1024 / 1e9:.1f} GB are free; use --cache=disk"
    )
    with pytest.raises(UserError, match=message):
        open_split(config)


@pytest.mark.parametrize("kind", ["disk", "none"])
def test_other_caches_need_no_memory(folder, tmp_path, monkeypatch, kind):
    write_meminfo(tmp_path, monkeypatch, free_kb=0, available_kb=0)
    config = make_config(tmp_path, data_dir=str(folder), cache=kind)
    assert open_split(config).count == TRAINING


def test_memory_that_holds_cached_files_counts_as_free(
    folder, tmp_path, monkeypatch
):
    write_meminfo(tmp_path, monkeypatch, free_kb=1, available_kb=10_000)
    config = make_config(tmp_path, data_dir=str(folder))
    assert open_split(config).count == TRAINING


def test_memory_is_not_checked_where_it_is_unknown(
    folder, tmp_path, monkeypatch
):
    monkeypatch.setattr(cached_dataset, "MEMORY_FILE", str(tmp_path / "none"))
    config = make_config(tmp_path, data_dir=str(folder))
    assert open_split(config).count == TRAINING
