"""Tests on real dermoscopy images; skipped without them.

They are looked for in the folder that SEGAN_ISIC2017 names.
"""

import os
import pathlib

import pytest

from segan_tf.datasets import checks, pairs, splits

FOLDER = pathlib.Path(
    os.environ.get(
        "SEGAN_ISIC2017",
        pathlib.Path(__file__).parents[3] / "shared" / "data" / "isic2017",
    )
)

pytestmark = [
    pytest.mark.real_images,
    pytest.mark.skipif(
        not FOLDER.is_dir(),
        reason="SEGAN_ISIC2017 names no folder with ISIC 2017 Part 1",
    ),
]


def test_official_folders_give_the_official_splits():
    found = pairs.find_pairs(str(FOLDER))
    assert found.problems == ()
    names = [pair.split for pair in found.pairs]
    assert (names.count("train"), names.count("validation")) == (2000, 150)


def test_check_finds_the_near_duplicate_between_training_and_validation():
    found = pairs.find_pairs(str(FOLDER))
    kept = [p for p in found.pairs if p.id in ("ISIC_0012127", "ISIC_0012970")]
    report = checks.check_pairs(
        splits.Splits(
            train=tuple(p for p in kept if p.split == "train"),
            validation=tuple(p for p in kept if p.split == "validation"),
            test=(),
        ),
        progress=lambda items, **_: items,
    )
    assert [set(copy.names) for copy in report.leaks] == [
        {"ISIC_0012127", "ISIC_0012970"}
    ]
    assert not report.blocks_training
