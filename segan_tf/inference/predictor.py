"""Segments images of any size with a trained model of any kind.

Does everything between an image and its label map: resizes to the model's
size, normalizes, runs the model, resizes back and decides.
"""

import dataclasses
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from segan_tf import decision as decision_lib
from segan_tf import labels as labels_lib
from segan_tf.config import PRETRAINED, UserError
from segan_tf.imaging import images, preprocessing
from segan_tf.inference import backends

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
    """

    probability_map: np.ndarray
    label_map: np.ndarray


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

        Raises:
          UserError: the path is none of these, the model is damaged, it does
            not know the style, the decision is for another model, or it was
            trained without flips and `tta` is set.
        """
        backend = backends.open_backend(model, labels=labels)
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
        if tta and backend.flip not in _FLIPPED_AXES:
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
    def from_pretrained(cls, *, tta: bool = False) -> "Predictor":
        """Loads the released model for skin lesions, see docs/model_card.md."""
        return cls(PRETRAINED, tta=tta)

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
        probability_map = self.probability_map(images.as_rgb(image))
        return Prediction(probability_map, self.decide(probability_map))

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
        mixture = self._mixture(style) if style else self._style

        def segment(view: np.ndarray) -> np.ndarray:
            if self._backend.styled_map is None:
                return self._backend.probability_map(view)
            return self._backend.styled_map(view, mixture)

        if self._tta:
            return average_flips(segment, self._backend.flip)(image)
        return segment(image)

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
        decided = preprocessing.decide_label_map(
            probability_map,
            multiclass=self.labels.multiclass,
            thresholds=self.decision.thresholds if is_own else (),
        )
        return decided.numpy().astype(np.uint8)

    def _mixture(self, style: str) -> tuple[float, ...]:
        """Returns the weights of a style; those of the decision for ""."""
        if style:
            return self.styles.mixture(style)
        return self.decision.style or self.styles.mean


def average_flips(
    probability_map: Callable[[np.ndarray], np.ndarray], flip: str = "both"
) -> Callable[[np.ndarray], np.ndarray]:
    """Averages the probabilities of an image and its flips.

    Each is flipped back. A lesion has no preferred orientation, so all four
    views are equally good.

    Args:
      probability_map: uint8 [height, width, 3] -> float32 [height, width,
        labels].
      flip: "both" for four views, "horizontal" for two.

    Returns:
      A function of the same kind.
    """

    def averaged(image: np.ndarray) -> np.ndarray:
        views = []
        for axes in _FLIPPED_AXES[flip]:
            view = np.ascontiguousarray(np.flip(image, axes))
            views.append(np.flip(probability_map(view), axes))
        return np.mean(views, axis=0)

    return averaged
