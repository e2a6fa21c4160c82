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
_DRAWN, _DRAWN_TEST = 400, 100
_VALIDATION = 300  # images of a screening of ISIC 2017
_EVERY_PATIENT = 4  # tests a screening of heart MRI
SCREENING = "_screening"  # ending of a folder
TEST_IDS = "test_ids.txt"


@dataclasses.dataclass(frozen=True)
class Regime:
    """Data and network.

    Attributes:
      title: for tables.
      folder: of the pairs, below the data folder.
      network: settings of `segan_tf.config.Config`.
      family: the screening that chooses its losses.
      labels: more settings of `segan_tf.config.Config`.
      is_thin: whether the labels have a centerline.
      is_grouped: whether several images are of one patient, whom the id begins
        with.
    """

    title: str
    folder: str
    network: Mapping[str, Any]
    family: str
    labels: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    is_thin: bool = False
    is_grouped: bool = False


_THREE = {"num_labels": 3, "flip": "none"}
_THIN_NAMES = ("hair", "ruler mark")
_THIN = {
    "num_labels": 2,
    "label_kind": "multilabel",
    "label_names": ",".join(_THIN_NAMES),
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
        is_grouped=True,
    ),
    "thin": Regime(
        "hair and ruler marks",
        "thin",
        SEGAN,
        "thin",
        _THIN,
        is_thin=True,
    ),
}
SCREENED = tuple(dict.fromkeys(regime.family for regime in REGIMES.values()))


# A split: the pairs that train, and those that test.
Pairs = Mapping[str, tuple[pathlib.Path, pathlib.Path]]


def prepare(data: pathlib.Path, out: pathlib.Path) -> None:
    """Makes the folders of all regimes; keeps those that exist.

    Screenings have folders of their own, which hold none of the test pairs.

    Args:
      data: holds isic2017 and cardiac.
      out: where the folders go.
    """
    isic = _isic_pairs(data / "isic2017")
    test = (data / "isic2017" / "random_500_test.txt").read_text().split()
    training = sorted(set(isic) - set(test))
    random.Random(0).shuffle(training)
    validation = training[-_VALIDATION:]
    for count in (25, 50, 100, 400, 1500):
        _link(out / f"isic_{count}", isic, training[:count], test)
    for count in (100, 1500):
        few = training[: min(count, len(training) - _VALIDATION)]
        _link(out / f"isic_{count}{SCREENING}", isic, few, validation)
    tools = _tools(data / "isic2017" / "annotation_tools.csv")
    generous = [name for name in training if tools.get(name) == "T1"]
    tight = [name for name in test if tools.get(name) == "T2"]
    _link(out / "noisy", isic, generous, tight)
    drawn = _drawn_pairs(out / "drawn_lesions", labels_lib.LESION)
    _link(out / "shifted", {**isic, **drawn}, sorted(drawn), test)
    _link_cardiac(data / "cardiac", out)
    _link_thin(out)


def _isic_pairs(isic: pathlib.Path) -> Pairs:
    maps = isic / "ISIC-2017_Training_Part1_GroundTruth"
    return {
        image.stem: (image, maps / f"{image.stem}_segmentation.png")
        for image in (isic / "ISIC-2017_Training_Data").glob("ISIC_*.jpg")
    }


def _drawn_pairs(folder: pathlib.Path, labels: labels_lib.Labels) -> Pairs:
    """Draws images; several labels are of hair and ruler marks."""
    lesions.draw_folder(
        str(folder), count=_DRAWN, seed=labels.count - 1, labels=labels
    )
    return {
        image.stem: (image, folder / "label_maps" / f"{image.stem}.png")
        for image in (folder / "images").iterdir()
    }


def _tools(path: pathlib.Path) -> dict[str, str]:
    with path.open(newline="") as file:
        return {row["id"]: row["tools"] for row in csv.DictReader(file)}


def _link_cardiac(cardiac: pathlib.Path, out: pathlib.Path) -> None:
    """Splits the slices by patient."""
    with (cardiac / "groups.csv").open(newline="") as file:
        patients = {row["id"]: row["group"] for row in csv.DictReader(file)}
    pairs = {
        image.stem: (image, cardiac / "label_maps" / f"{image.stem}.png")
        for image in (cardiac / "images").iterdir()
    }
    test = (cardiac / "test_ids.txt").read_text().split()
    training = sorted(set(pairs) - set(test))
    # Patients are in the order of their diseases.
    held_out = sorted({patients[name] for name in training})[::_EVERY_PATIENT]
    validation = [name for name in training if patients[name] in held_out]
    few = sorted(set(training) - set(validation))
    _link(out / "cardiac", pairs, training, test)
    _link(out / f"cardiac{SCREENING}", pairs, few, validation)
    for folder in ("cardiac", f"cardiac{SCREENING}"):
        _link_file(cardiac / "labels.json", out / folder / "labels.json")


def _link_thin(out: pathlib.Path) -> None:
    labels = labels_lib.make_labels(
        _THIN_NAMES, where="regimes.py", multiclass=False
    )
    pairs = _drawn_pairs(out / "drawn_structures", labels)
    names = sorted(pairs)
    test, validation = names[:_DRAWN_TEST], names[-_DRAWN_TEST:]
    _link(out / "thin", pairs, names[_DRAWN_TEST:], test)
    few = names[_DRAWN_TEST:-_DRAWN_TEST]
    _link(out / f"thin{SCREENING}", pairs, few, validation)


def _link(
    folder: pathlib.Path,
    pairs: Pairs,
    training: Sequence[str],
    test: Sequence[str],
) -> None:
    """Links pairs into images/ and label_maps/ and lists the test ids.

    Raises:
      ValueError: a pair is in both.
    """
    if set(training) & set(test):
        raise ValueError(f"{folder} would test on training pairs")
    if (folder / TEST_IDS).exists():
        return
    for inner in ("images", "label_maps"):
        (folder / inner).mkdir(parents=True, exist_ok=True)
    for name, new in _repeated(training, test):
        image, label_map = pairs[name]
        _link_file(image, folder / "images" / f"{new}{image.suffix}")
        # A map of several labels that overlap has a file for each.
        for part in label_map.parent.glob(f"{label_map.stem}*.png"):
            ending = part.stem.removeprefix(label_map.stem)
            _link_file(part, folder / "label_maps" / f"{new}{ending}.png")
    (folder / TEST_IDS).write_text("\n".join(test))


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
