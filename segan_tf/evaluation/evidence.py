"""The pictures that exported models are calibrated with and judged by."""

import dataclasses
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import TypeVar

import numpy as np

from segan_tf import config, progress
from segan_tf.data import (
    drawn_lesions,
    images,
    label_maps,
    pairs,
    preprocessing,
    sources,
)
from segan_tf.evaluation import evaluator, metrics

_Read = TypeVar("_Read")

# At most so many pairs are scored, spread over the split: the reference's
# test split is that large, and scoring takes minutes.
MOST_SCORED = 500
DRAWN = 4  # pictures, for what needs no pair of the run


@dataclasses.dataclass(frozen=True)
class Found:
    """What was found for an export.

    Attributes:
      calibration_images: of the training split, as the segmentor is fed them:
        uint8 [image_size, image_size, 3].
      examples: a few pictures, uint8 [height, width, 3].
      pairs: images, uint8 [height, width, 3], with their true label maps,
        uint8 [height, width, labels] in {0, 1}, or None; read as they are
        gone through.
      source: where the pairs are from.
    """

    calibration_images: Sequence[np.ndarray]
    examples: Sequence[np.ndarray]
    pairs: Iterable[tuple[np.ndarray, np.ndarray | None]]
    source: str


def find_evidence(run: config.Config, given: Collection[str]) -> Found:
    """Finds what int8 is calibrated with and what all are compared on.

    The run's own data may be gone where a model is exported. Drawings then
    stand in, whose label maps in the run's sense nobody knows; that is said.

    Args:
      run: the configuration of the run, with the flags given now.
      given: names of the flags given now: the data that they name have to be
        there.

    Raises:
      UserError: they are not; or a pair cannot be read and `skip_bad_pairs`
        is not set.
    """
    examples = [
        drawn_lesions.draw_lesion(number, 0).image for number in range(DRAWN)
    ]
    divide_anew = any(name in given for name in config.ANEW_FIELDS)
    try:
        labels = sources.load_labels(run)
        divided = evaluator.find_splits(run, labels, divide_anew=divide_anew)
        chosen = evaluator.choose_pairs(run, divided)
    except config.UserError as error:
        if divide_anew or "split" in given:
            raise
        progress.say(f"Dice cannot be measured: {error}")
        unscored = [(image, None) for image in examples]
        return Found([], examples, unscored, f"{DRAWN} drawings")
    calibration_images = []
    if "int8" in run.quantizations:
        calibration_images = _read_calibration_images(run, divided.train)
    pairs_read = _read_all(
        run,
        _spread(chosen, MOST_SCORED),
        lambda pair: label_maps.read_pair(pair, labels),
        description="comparing",
    )
    return Found(
        calibration_images, examples, pairs_read, f"the {run.split} split"
    )


def measure(predicted: np.ndarray, true: np.ndarray) -> dict[str, float]:
    """Measures Dice and IoU of an image, as means over the labels.

    Args:
      predicted: uint8 [height, width, labels] in {0, 1}.
      true: the same.
    """
    counts = [
        metrics.confusion(predicted[..., i], true[..., i])
        for i in range(true.shape[-1])
    ]
    return {
        "dice": float(np.mean([metrics.dice(count) for count in counts])),
        "iou": float(np.mean([metrics.iou(count) for count in counts])),
    }


def _read_calibration_images(
    run: config.Config, training: Sequence[pairs.Pair]
) -> list[np.ndarray]:
    size = run.image_size

    def read(pair: pairs.Pair) -> np.ndarray:
        image = images.read_image(pair.image_path)
        resized = preprocessing.resize_image(image, size, size).numpy()
        return np.uint8(np.rint(resized))

    chosen = _spread(training, run.calibration_images)
    return list(_read_all(run, chosen, read, description="calibrating"))


def _read_all(
    run: config.Config,
    chosen: Sequence[pairs.Pair],
    read: Callable[[pairs.Pair], _Read],
    *,
    description: str,
) -> Iterator[_Read]:
    for pair in progress.bar(chosen, desc=description, unit="image"):
        try:
            found = read(pair)
        except config.UserError as error:
            sources.refuse_or_tell(run, [str(error)], say=progress.say)
            continue
        yield found


def _spread(of_split: Sequence[pairs.Pair], count: int) -> Sequence[pairs.Pair]:
    """Takes every n-th, so that all of a split's sources are there."""
    if len(of_split) <= count:
        return of_split
    places = np.linspace(0, len(of_split) - 1, count).round().astype(int)
    return [of_split[place] for place in places]
