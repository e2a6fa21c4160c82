"""By what an artifact is judged, and how far it may be from Keras."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class Check:
    """What an artifact is judged by.

    Attributes:
      measure: its name, a key of table.JUDGED.
      value: what was measured; NaN is beyond any limit.
      limit: the largest allowed value.
      label: what it is of; "" for all together.
      style: that was drawn in; "" for an artifact that does not take it.
    """

    measure: str
    value: float
    limit: float
    label: str = ""
    style: str = ""

    @property
    def within_limit(self) -> bool:
        """Whether the value is allowed."""
        return bool(self.value <= self.limit)

    @property
    def used(self) -> float:
        """The share of the limit that the value uses."""
        if np.isnan(self.value) or self.limit == 0:
            return 0 if self.within_limit else np.inf
        return self.value / self.limit


@dataclasses.dataclass(frozen=True)
class Tolerance:
    """How far an artifact may differ from Keras.

    Attributes:
      difference: see quantizations.Quantization.difference_limit.
      dice_loss: see dice_loss_limit there.
      disagreement: see disagreement_limit there.
      served_difference: the largest difference allowed on the few drawings of
        Artifact.compare.
    """

    difference: float | None = None
    dice_loss: float | None = 0.005
    disagreement: float = 0.02
    served_difference: float = 1e-3

    def judge(
        self, row: Mapping[str, Any], keras_row: Mapping[str, Any]
    ) -> list[Check]:
        """Lists what an artifact is judged by, for all labels and for each.

        One that takes the style is judged in each.

        Args:
          row: its summary, see parity_stats.ParityStats; `styles` may hold
            others by style.
          keras_row: that of Keras.
        """
        checks = []
        if "styles" in row:
            for style, part in row["styles"].items():
                keras_part = keras_row["styles"][style]
                checks += self._judge_labels(part, keras_part, style)
        else:
            checks += self._judge_labels(row, keras_row, "")
        if row["served_difference"] is not None:
            checks.append(
                Check(
                    "served_difference",
                    row["served_difference"],
                    self.served_difference,
                )
            )
        return checks

    def _judge_labels(
        self, row: Mapping[str, Any], keras_row: Mapping[str, Any], style: str
    ) -> list[Check]:
        checks = self._judge_part(row, keras_row)
        if len(row["labels"]) > 1:
            for label, part in row["labels"].items():
                found = self._judge_part(part, keras_row["labels"][label])
                checks += [
                    dataclasses.replace(check, label=label) for check in found
                ]
        return [dataclasses.replace(check, style=style) for check in checks]

    def _judge_part(
        self, part: Mapping[str, Any], keras_part: Mapping[str, Any]
    ) -> list[Check]:
        checks = []
        if self.difference is not None:
            checks.append(
                Check("difference", part["difference"], self.difference)
            )
        if keras_part["dice"] is not None and self.dice_loss is not None:
            loss = keras_part["dice"] - part["dice"]
            checks.append(Check("dice_loss", loss, self.dice_loss))
        elif part["dice_to_keras"] is not None:
            apart = 1 - part["dice_to_keras"]
            checks.append(Check("disagreement", apart, self.disagreement))
        return checks
