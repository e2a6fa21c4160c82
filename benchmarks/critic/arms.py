"""The losses that are compared, by name.

A loss of pixels and a critic together are named "loss+critic".
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from segan_tf.models.critics import CRITICS, Critic

DEFAULT = "ce_dice"  # of the product without a critic
SEGAN_ALONE = "segan_alone"
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


PIXEL_LOSSES = {
    "ce_dice": Arm(
        "cross-entropy + Dice",
        {"cross_entropy_weight": 1.0, "dice_weight": 1.0},
    ),
    "dice": Arm(
        "Dice alone", {"cross_entropy_weight": 0.0, "dice_weight": 1.0}
    ),
}
# The weights are from a first measurement of how strongly C pulls (pulls.py).
ADDED_CRITICS = {
    "segan": Arm("SegAN's critic", {"l1_weight": 10.0}),
    "relative": Arm(
        "relative distances, label map as scale 0",
        {"critic": "relative", "critic_clip": 0.0, "l1_weight": 0.5},
    ),
    "concat": Arm(
        "critic of image and label map",
        {"critic": "concat", "l1_weight": 20.0},
    ),
    "spectral": Arm(
        "spectral norm instead of clipping",
        {"critic": "spectral", "critic_clip": 0.0, "l1_weight": 0.1},
    ),
    "pyramid": Arm(
        "fixed ImageNet pyramid",
        {"critic": "pyramid", "critic_clip": 0.0, "l1_weight": 0.5},
    ),
    "projected": Arm(
        "ImageNet pyramid with trained projections",
        {"critic": "projected", "critic_clip": 0.0, "l1_weight": 0.3},
    ),
}


def with_critic(loss: str, critic: str) -> str:
    """Returns the name of a loss of pixels and a critic together."""
    return f"{loss}+{critic}"


def loss_of(arm: str) -> str:
    """Returns the name of an arm's loss of pixels, that without a critic."""
    return arm.partition("+")[0]


def critic_of(arm: str) -> str:
    """Returns the name of a loss's critic; "" if none is added."""
    return arm.partition("+")[2]


def short_title(arm: str) -> str:
    """Returns a loss's title, of an added critic the critic's alone."""
    if critic_of(arm):
        return f"+ {ADDED_CRITICS[critic_of(arm)].title}"
    return ARMS[arm].title


ARMS = {
    **{
        name: Arm(loss.title, {"adversarial": False, **loss.settings})
        for name, loss in PIXEL_LOSSES.items()
    },
    SEGAN_ALONE: Arm("SegAN's loss alone", _GAME),
    **{
        with_critic(name, critic): Arm(
            f"{loss.title} + {added.title}",
            {**_GAME, **loss.settings, **added.settings},
        )
        for name, loss in PIXEL_LOSSES.items()
        for critic, added in ADDED_CRITICS.items()
    },
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
