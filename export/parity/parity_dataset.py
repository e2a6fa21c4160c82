"""The images on which exported models are calibrated and compared."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import numpy as np

from segan_tf import console, run_dir
from segan_tf.config import RESPLIT_FIELDS, Config, UserError
from segan_tf.datasets import label_maps, loading, pairs
from segan_tf.imaging import preprocessing
from segan_tf.quantizations import QUANTIZATIONS
from segan_tf.synthetic import lesions

_Read = TypeVar("_Read")
_Item = TypeVar("_Item")

# At most so many pairs are scored, spread over the split: the paper's test
# split is that large, and scoring takes minutes.
MAX_SCORED = 500
DRAWN = 4  # images, for what needs no pair of the run


@dataclasses.dataclass(frozen=True)
class ParityDataset:
    """What exported models are calibrated with and compared on.

    Attributes:
      images: a few uint8 [height, width, 3] RGB, for what needs a batch.
      pairs: (image, true label map) of the split, the label map uint8 [height,
        width, labels] in {0, 1}, or None where it is unknown; can be iterated
        once, and read meanwhile.
      source: where the pairs are from.
      calibration_images: of the training split, as the segmentor is fed them:
        uint8 [image_size, image_size, 3].
    """

    images: Sequence[np.ndarray]
    pairs: Iterable[tuple[np.ndarray, np.ndarray | None]]
    source: str
    calibration_images: Sequence[np.ndarray] = ()


def draw_parity_dataset() -> ParityDataset:
    """Draws images, whose true label maps count as unknown."""
    images_drawn = [
        lesions.draw_lesion(number, 0).image for number in range(DRAWN)
    ]
    return ParityDataset(
        images=images_drawn,
        pairs=[(image, None) for image in images_drawn],
        source=f"{DRAWN} drawings",
    )


def load_parity_dataset(config: Config) -> ParityDataset:
    """Loads the images to calibrate int8 with and to compare all models on.

    The run's own data may be missing where a model is exported. Drawings then
    replace them, for which the true label maps are unknown; a message says so.

    Args:
      config: the configuration of the run with the settings given now; data
        that those name must exist.

    Raises:
      UserError: they do not; or a pair cannot be read and `skip_bad_pairs` is
        not set.
    """
    split_again = run_dir.gives(config, RESPLIT_FIELDS)
    try:
        labels = loading.load_labels(config)
        divided = loading.load_run_splits(
            config, labels, split_again=split_again
        )
        chosen = loading.choose_pairs(config, divided)
    except UserError as error:
        if split_again or "split" in config.given:
            raise
        console.say(f"Dice cannot be measured: {error}")
        return draw_parity_dataset()
    trained = ""
    if loading.find_trained(config, chosen):
        trained = " (may include trained images)"
    calibration_images: list[np.ndarray] = []
    if any(QUANTIZATIONS[name].calibrated for name in config.quantizations):
        calibration_images = _read_calibration_images(config, divided.train)
    pairs_read = _read_all(
        config,
        spread(chosen, MAX_SCORED),
        lambda pair: label_maps.read_pair(pair, labels),
        description="comparing",
    )
    return ParityDataset(
        images=draw_parity_dataset().images,
        pairs=pairs_read,
        source=f"the {config.split} split{trained}",
        calibration_images=calibration_images,
    )


def _read_calibration_images(
    config: Config, training: Sequence[pairs.Pair]
) -> list[np.ndarray]:
    size = config.image_size

    def read(pair: pairs.Pair) -> np.ndarray:
        image = label_maps.read_image(pair)
        resized = preprocessing.resize_image(image, size, size).numpy()
        return np.rint(resized).astype(np.uint8)

    chosen = spread(training, config.calibration_images)
    return list(_read_all(config, chosen, read, description="calibrating"))


def _read_all(
    config: Config,
    chosen: Sequence[pairs.Pair],
    read: Callable[[pairs.Pair], _Read],
    *,
    description: str,
) -> Iterator[_Read]:
    for pair in console.bar(chosen, desc=description, unit="image"):
        try:
            found = read(pair)
        except UserError as error:
            loading.report_problems(config, [str(error)], say=console.say)
            continue
        yield found


def spread(items: Sequence[_Item], count: int) -> Sequence[_Item]:
    """Takes at most so many at equal distances, from first to last."""
    if len(items) <= count:
        return items
    indices = np.linspace(0, len(items) - 1, count).round().astype(int)
    return [items[index] for index in indices]
