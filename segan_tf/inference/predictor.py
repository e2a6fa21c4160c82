"""Segments images of any size with a trained model of any kind.

Does everything between an image and its label map: resizes to the model's
size, normalizes, runs the model, resizes back and decides.
"""

import dataclasses
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from segan_tf import decision as decision_lib
from segan_tf import expected_dice
from segan_tf import labels as labels_lib
from segan_tf.config import PRETRAINED, UserError
from segan_tf.imaging import images, numpy_preprocessing
from segan_tf.inference import agreement, backends

if TYPE_CHECKING:
    import keras

# The views of test-time augmentation, by --flip: the axes that are flipped.
_FLIPPED_AXES = {
    "horizontal": ((), (1,)),
    "both": ((), (0,), (1,), (0, 1)),
}


@dataclasses.dataclass(frozen=True)
class Prediction:
    """The maps of one image, at the image's own size.

    Attributes:
      probability_map: float32 [height, width, labels] in [0, 1].
      label_map: uint8 [height, width, labels] in {0, 1}.
      expected_dice: of the label map with the true one; None if the model
        does not know it.
    """

    probability_map: np.ndarray
    label_map: np.ndarray
    expected_dice: float | None = None


class Predictor:
    """Segments images of any size.

    >>> predictor = Predictor.from_pretrained()
    >>> prediction = predictor("lesion.jpg")
    >>> prediction.label_map.shape
    (1024, 1536, 1)

    Attributes:
      labels: of the channels of the maps.
      styles: that the model can draw in.
      decision: the thresholds, and the style if none is told.
      can_flip: whether it was trained with flips, which `tta` needs.
      description: the file or release that was loaded, for the log.
    """

    def __init__(
        self,
        model: "str | os.PathLike[str] | keras.Model",
        *,
        labels: labels_lib.Labels | None = None,
        style: str = "",
        decision: decision_lib.Decision | None = None,
        tta: bool = False,
        runtime: str = backends.KERAS,
    ) -> None:
        """Loads a model.

        Args:
          model: a model_dir, a SavedModel folder, a TFLite file, "pretrained"
            for the released model, or a Keras segmentor: float32 [batch, size,
            size, 3], normalized -> float32 [batch, size, size, labels].
          labels: of a Keras segmentor's channels; lesion by default.
          style: to draw in: the name of one that the model was trained with,
            several joined by "+", or "mean"; by default that of the decision.
          decision: the thresholds and the style; by default the model's own,
            which is 0.5 and the mean style unless it was calibrated.
          tta: average over the image and the flips that the model was
            trained with (test-time augmentation), at two or four times the
            cost.
          runtime: of a released model: "keras", or "int8" for its TFLite
            model, which needs no TensorFlow.

        Raises:
          UserError: the path is none of these, the model is damaged, it does
            not know the style, the decision is for another model, or it was
            trained without flips and `tta` is set.
        """
        backend = backends.open_backend(model, labels=labels, runtime=runtime)
        self.labels = backend.labels
        self.description = backend.description
        self.styles = backend.styles
        self.decision = decision or backend.decision
        decision_lib.check_fits(
            self.decision,
            num_labels=self.labels.count,
            styles=self.styles,
            model=self.description,
        )
        self._style = self._mixture(style)
        self._backend = backend
        self._tta = tta
        self.can_flip = backend.flip in _FLIPPED_AXES
        if tta and not self.can_flip:
            raise UserError(
                "--tta averages over the flips that a model was trained "
                f"with, and {backend.description} has --flip="
                f"{backend.flip}; leave it out."
            )

    @property
    def decision_text(self) -> str:
        """What is decided with, in words; "" for the default decision."""
        used = self.decision
        if self._style != self._mixture(""):
            used = decision_lib.Decision(style=self._style)
        return decision_lib.describe(used, self.labels.names, self.styles)

    @classmethod
    def from_pretrained(
        cls, *, tta: bool = False, runtime: str = backends.KERAS
    ) -> "Predictor":
        """Loads the released model for skin lesions, see docs/model_card.md."""
        return cls(PRETRAINED, tta=tta, runtime=runtime)

    def __call__(
        self, image: "np.ndarray | Image.Image | str | os.PathLike[str]"
    ) -> Prediction:
        """Segments one image.

        Args:
          image: uint8 [height, width, 3] RGB, a PIL image, or the path of a
            JPEG, PNG or BMP file, whose EXIF orientation is applied.

        Returns:
          The probability map and the label map.

        Raises:
          TypeError: the array has another dtype or shape.
          UserError: the file cannot be read.
        """
        pixels = images.as_rgb(image)
        views = self.views(pixels)
        probability_map = _mean(views)
        return Prediction(
            probability_map,
            self.decide(probability_map),
            self.expect_dice(pixels, views),
        )

    def predict(
        self, image: "np.ndarray | Image.Image | str | os.PathLike[str]"
    ) -> Prediction:
        """Segments one image, as calling the predictor does."""
        return self(image)

    def probability_map(
        self, image: np.ndarray, *, style: str = ""
    ) -> np.ndarray:
        """Computes the probability of each label at each pixel.

        Args:
          image: uint8 [height, width, 3], RGB.
          style: to draw in instead of the predictor's.

        Returns:
          float32 [height, width, labels] in [0, 1].

        Raises:
          UserError: the model does not know the style.
        """
        return _mean(self.views(image, style=style))

    def views(self, image: np.ndarray, *, style: str = "") -> list[np.ndarray]:
        """Computes the probability map of each view, of the image if no `tta`.

        Arguments and errors are those of `probability_map`, its mean.
        """
        mixture = self._mixture(style) if style else self._style

        def segment(view: np.ndarray) -> np.ndarray:
            if self._backend.styled_map is None:
                return self._backend.probability_map(view)
            return self._backend.styled_map(view, mixture)

        if self._tta:
            return flipped_views(segment, image, self._backend.flip)
        return [segment(image)]

    def agreements(
        self, image: np.ndarray, views: Sequence[np.ndarray]
    ) -> dict[str, float]:
        """Measures how much outlines of an image agree, in [0, 1].

        Args:
          image: uint8 [height, width, 3], RGB.
          views: its probability maps, see `views`.

        Returns:
          By `expected_dice.KINDS`: of the image's own map at several
          thresholds, and with `tta` of those of all views, and of every style,
          which costs a run of the model each.
        """
        own = self._outlines(views[0])
        found = {expected_dice.THRESHOLDS: agreement.mean_pairwise_dice(own)}
        if len(views) > 1:
            maps = [*views]
            if self._backend.styled_map is not None:
                maps += [
                    self._backend.styled_map(image, self.styles.mixture(name))
                    for name in self.styles.names
                ]
            outlines = [one for each in maps for one in self._outlines(each)]
            found[expected_dice.VIEWS] = agreement.mean_pairwise_dice(outlines)
        return found

    def _outlines(self, probability_map: np.ndarray) -> list[np.ndarray]:
        return agreement.outlines(
            probability_map,
            multiclass=self.labels.multiclass,
            thresholds=self.decision.thresholds_of(self.labels.count),
        )

    def expect_dice(
        self, image: np.ndarray, views: Sequence[np.ndarray]
    ) -> float | None:
        """Returns the expected Dice; None if the model does not know it."""
        curve = self._curve
        if curve is None:
            return None
        return curve(self.agreements(image, views)[self._kind])

    @property
    def knows_expected_dice(self) -> bool:
        """Whether predictions have an expected Dice."""
        return self._curve is not None

    @property
    def _kind(self) -> str:
        return expected_dice.VIEWS if self._tta else expected_dice.THRESHOLDS

    @property
    def _curve(self) -> expected_dice.Curve | None:
        # It is for the style of the decision.
        if self._style != self._mixture(""):
            return None
        return self.decision.expected_dice.get(self._kind)

    def label_map(self, image: np.ndarray, *, style: str = "") -> np.ndarray:
        """Maps uint8 [h, w, 3] RGB to uint8 [h, w, labels] in {0, 1}."""
        return self.decide(self.probability_map(image, style=style), style)

    def decide(
        self, probability_map: np.ndarray, style: str = ""
    ) -> np.ndarray:
        """Decides which labels hold at each pixel.

        Args:
          probability_map: float32 [height, width, labels] in [0, 1].
          style: that it is in, if not in the predictor's. The thresholds of
            the decision are for its style; in others they are 0.5.

        Returns:
          uint8 of the same shape, in {0, 1}.
        """
        mixture = self._mixture(style) if style else self._style
        is_own = mixture == self._mixture("")
        return numpy_preprocessing.decide_label_map(
            probability_map,
            multiclass=self.labels.multiclass,
            thresholds=self.decision.thresholds if is_own else (),
        )

    def _mixture(self, style: str) -> tuple[float, ...]:
        """Returns the weights of a style; those of the decision for ""."""
        if style:
            return self.styles.mixture(style)
        return self.decision.style or self.styles.mean


def flipped_views(
    probability_map: Callable[[np.ndarray], np.ndarray],
    image: np.ndarray,
    flip: str,
) -> list[np.ndarray]:
    """Computes the probabilities of an image and its flips, flipped back.

    A lesion has no preferred orientation, so all views are equally good.

    Args:
      probability_map: uint8 [height, width, 3] -> float32 [height, width,
        labels].
      image: uint8 [height, width, 3], RGB.
      flip: "both" for four views, "horizontal" for two.

    Returns:
      A float32 [height, width, labels] for each view, first of the image.
    """
    views = []
    for axes in _FLIPPED_AXES[flip]:
        view = np.ascontiguousarray(np.flip(image, axes))
        views.append(np.flip(probability_map(view), axes))
    return views


def _mean(views: Sequence[np.ndarray]) -> np.ndarray:
    return views[0] if len(views) == 1 else np.mean(views, axis=0)
