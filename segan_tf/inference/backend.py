"""A model of any kind as a function of the image."""

import dataclasses
from collections.abc import Callable

import numpy as np

from segan_tf import decision as decision_lib
from segan_tf import labels as labels_lib
from segan_tf import styles as styles_lib


@dataclasses.dataclass(frozen=True)
class Backend:
    """A model of any kind as a function of the image.

    Attributes:
      labels: of the channels of its maps.
      description: the file or release that was opened, for the log.
      probability_map: uint8 [height, width, 3] RGB -> float32 [height, width,
        labels] in [0, 1].
      flip: the flips that it was trained with. Exported models do not say;
        those of one label count as trained with both.
      decision: that its maps are made with, unless another is given.
      styles: that it can draw in.
      styled_map: like `probability_map`, which draws in the mean style, with
        the weight of each style; None for a model without styles.
    """

    labels: labels_lib.Labels
    description: str
    probability_map: Callable[[np.ndarray], np.ndarray]
    flip: str = ""
    decision: decision_lib.Decision = decision_lib.DEFAULT
    styles: styles_lib.Styles = styles_lib.PLAIN
    styled_map: Callable[[np.ndarray, tuple[float, ...]], np.ndarray] | None = (
        None
    )

    def __post_init__(self) -> None:
        if not self.flip:
            flip = "both" if self.labels.count == 1 else "none"
            object.__setattr__(self, "flip", flip)
