"""The data that the losses are compared on.

Each regime is a folder of links: pairs of a training draw, repeated until there
are about 500 so that epochs are alike, and the test pairs.
"""

import csv
import dataclasses
import os
import pathlib
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from segan_tf import labels as labels_lib
from segan_tf.synthetic import lesions

BATCH_SIZE = 10
# Nothing but the loss differs within a regime.
_COMMON = {
    "batch_size": BATCH_SIZE,
    "schedule": "cosine",
    "ema": 0.99,
    "num_validation": 0,
}
LITE0 = {
    **_COMMON,
    "segmentor": "efficientnet_lite0",
    "learning_rate": 0.001,
}
SEGAN = {**_COMMON, "segmentor": "segan", "width": 16, "learning_rate": 0.002}
STEPS = {"efficientnet_lite0": 400, "segan": 800}
_PAIRS = 500  # of an epoch, about; more where a draw has more
_DRAWN = 400
_DRAWN_TEST = 100


@dataclasses.dataclass(frozen=True)
class Regime:
    """Data and network.

    Attributes:
      title: for tables.
      folder: of the pairs, below the data folder.
      network: settings of `segan_tf.config.Config`.
      family: the screening that chooses its losses.
      labels: more settings of `segan_tf.config.Config`.
      controls: losses that are compared whatever the screening says.
      is_thin: whether the labels have a centerline.
    """

    title: str
    folder: str
    network: Mapping[str, Any]
    family: str
    labels: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    controls: tuple[str, ...] = ()
    is_thin: bool = False


_THREE = {"num_labels": 3, "flip": "none"}
_THIN = {
    "num_labels": 2,
    "label_kind": "multilabel",
    "label_names": "hair,ruler mark",
}
REGIMES = {
    "isic_25": Regime("25 images", "isic_25", LITE0, "isic_100"),
    "isic_50": Regime("50 images", "isic_50", LITE0, "isic_100"),
    "isic_100": Regime("100 images", "isic_100", LITE0, "isic_100"),
    "isic_400": Regime("400 images", "isic_400", LITE0, "isic_100"),
    "isic_1500": Regime("1500 images", "isic_1500", LITE0, "isic_100"),
    "noisy": Regime(
        "trained on generous maps, tested on tight ones",
        "noisy",
        LITE0,
        "isic_100",
    ),
    "shifted": Regime(
        "trained on drawings, tested on dermoscopy",
        "shifted",
        LITE0,
        "isic_100",
    ),
    "isic_100_segan": Regime(
        "100 images, SegAN's segmentor", "isic_100", SEGAN, "isic_1500_segan"
    ),
    "isic_1500_segan": Regime(
        "1500 images, SegAN's segmentor", "isic_1500", SEGAN, "isic_1500_segan"
    ),
    "cardiac": Regime(
        "heart MRI, three labels",
        "cardiac",
        SEGAN,
        "cardiac",
        _THREE,
        controls=("dice",),
    ),
    "thin": Regime(
        "hair and ruler marks",
        "thin",
        SEGAN,
        "thin",
        _THIN,
        controls=("dice",),
        is_thin=True,
    ),
}
SCREENED = tuple(dict.fromkeys(regime.family for regime in REGIMES.values()))


def prepare(data: pathlib.Path, out: pathlib.Path) -> None:
    """Makes the folders of all regimes; keeps those that exist.

    Args:
      data: holds isic2017 and cardiac, as segan_tf's benchmarks expect.
      out: where the folders go.
    """
    isic = _isic_pairs(data / "isic2017")
    test = (data / "isic2017" / "random_500_test.txt").read_text().split()
    training = sorted(set(isic) - set(test))
    random.Random(0).shuffle(training)
    for count in (25, 50, 100, 400, 1500):
        _link(out / f"isic_{count}", isic, training[:count], test)
    tools = _tools(data / "isic2017" / "annotation_tools.csv")
    generous = [name for name in training if tools.get(name) == "T1"][:400]
    tight = [name for name in test if tools.get(name) == "T2"]
    _link(out / "noisy", isic, generous, tight)
    drawn = _drawn_pairs(out / "drawn_lesions")
    _link(out / "shifted", isic | drawn, sorted(drawn), test)
    _prepare_cardiac(data / "cardiac", out / "cardiac")
    _prepare_thin(out / "thin")


def test_ids(folder: pathlib.Path) -> str:
    """Returns the path of a regime's list of test ids."""
    return str(folder / "test_ids.txt")


Pairs = Mapping[str, tuple[pathlib.Path, pathlib.Path]]


def _isic_pairs(
    isic: pathlib.Path,
) -> dict[str, tuple[pathlib.Path, pathlib.Path]]:
    maps = isic / "ISIC-2017_Training_Part1_GroundTruth"
    return {
        image.stem: (image, maps / f"{image.stem}_segmentation.png")
        for image in (isic / "ISIC-2017_Training_Data").glob("ISIC_*.jpg")
        if "superpixels" not in image.stem
    }


def _drawn_pairs(
    folder: pathlib.Path,
) -> dict[str, tuple[pathlib.Path, pathlib.Path]]:
    lesions.draw_folder(str(folder), count=_DRAWN, seed=0)
    return {
        image.stem: (image, folder / "label_maps" / f"{image.stem}.png")
        for image in (folder / "images").iterdir()
    }


def _tools(path: pathlib.Path) -> dict[str, str]:
    with path.open(newline="") as file:
        return {row["id"]: row["tools"] for row in csv.DictReader(file)}


def _link(
    folder: pathlib.Path,
    pairs: Pairs,
    training: Sequence[str],
    test: Sequence[str],
) -> None:
    """Links pairs into images/ and label_maps/ and lists the test ids."""
    if (folder / "test_ids.txt").exists():
        return
    for inner in ("images", "label_maps"):
        (folder / inner).mkdir(parents=True, exist_ok=True)
    for name, new in _repeated(training, test):
        image, label_map = pairs[name]
        _link_file(image, folder / "images" / f"{new}{image.suffix}")
        _link_file(
            label_map, folder / "label_maps" / f"{new}{label_map.suffix}"
        )
    (folder / "test_ids.txt").write_text("\n".join(test))


def _repeated(
    training: Sequence[str], test: Sequence[str]
) -> Iterator[tuple[str, str]]:
    """Yields each pair with the names that it is linked by."""
    for name in training:
        for turn in range(max(1, _PAIRS // len(training))):
            yield name, f"{name}_{turn:02d}"
    for name in test:
        yield name, name


def _link_file(source: pathlib.Path, target: pathlib.Path) -> None:
    if not target.exists():
        os.symlink(source.resolve(), target)


def _prepare_cardiac(cardiac: pathlib.Path, folder: pathlib.Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("images", "label_maps", "labels.json", "test_ids.txt"):
        _link_file(cardiac / name, folder / name)


def _prepare_thin(folder: pathlib.Path) -> None:
    labels = labels_lib.make_labels(
        ("hair", "ruler mark"), where="regimes.py", multiclass=False
    )
    lesions.draw_folder(str(folder), count=_DRAWN, seed=1, labels=labels)
    names = [f"drawn_{index:04d}" for index in range(_DRAWN_TEST)]
    (folder / "test_ids.txt").write_text("\n".join(names))
