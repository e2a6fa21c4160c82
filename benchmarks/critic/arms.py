"""The losses that are compared; the first is the baseline."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from segan_tf.models.critics import CRITICS, Critic

BASELINE = "ce_dice"
PIXEL_LOSSES = (BASELINE, "dice")
_BOTH = {"cross_entropy_weight": 1.0, "dice_weight": 1.0}
_ALONE = {"adversarial": False}
_GAME = {"critic_form": "shared", "critic_width": 16}


@dataclasses.dataclass(frozen=True)
class Arm:
    """A loss.

    Attributes:
      title: for tables.
      settings: of `segan_tf.config.Config`.
    """

    title: str
    settings: Mapping[str, Any]


def _arm(title: str, **settings: Any) -> Arm:
    return Arm(title, {**_GAME, **_BOTH, **settings})


# Weights that make C's gradient, with respect to S's weights, about as long as
# that of the other terms; see pulls.py.
ARMS = {
    "ce_dice": Arm("cross-entropy + Dice", {**_ALONE, **_BOTH}),
    "dice": Arm("Dice alone", {**_ALONE, **_BOTH, "cross_entropy_weight": 0.0}),
    "segan_alone": Arm("SegAN's loss alone", _GAME),
    "segan": _arm("+ SegAN's critic", l1_weight=10.0),
    "relative": _arm(
        "+ relative distances, label map as scale 0",
        critic="relative",
        critic_clip=0.0,
        l1_weight=0.5,
    ),
    "concat": _arm(
        "+ critic of image and label map", critic="concat", l1_weight=20.0
    ),
    "spectral": _arm(
        "+ spectral norm instead of clipping",
        critic="spectral",
        critic_clip=0.0,
        l1_weight=0.1,
    ),
    "pyramid": _arm(
        "+ fixed ImageNet pyramid",
        critic="pyramid",
        critic_clip=0.0,
        l1_weight=0.5,
    ),
    "projected": _arm(
        "+ ImageNet pyramid with trained projections",
        critic="projected",
        critic_clip=0.0,
        l1_weight=0.3,
    ),
}
_CRITICS = {
    "relative": Critic(
        "segan_tf.models.critic:build_critic",
        "arm_critics:relative_features",
        "arm_critics:relative_distances",
    ),
    "concat": Critic("arm_critics:build_concat", "arm_critics:concat_features"),
    "spectral": Critic("arm_critics:build_spectral"),
    "pyramid": Critic(
        "arm_critics:build_pyramid",
        "arm_critics:pyramid_features",
        "arm_critics:feature_distances",
    ),
    "projected": Critic(
        "arm_critics:build_projected",
        "arm_critics:pyramid_features",
        "arm_critics:feature_distances",
    ),
}


def register() -> None:
    """Adds the critics of `arm_critics` to the product's table."""
    CRITICS.update(_CRITICS)
