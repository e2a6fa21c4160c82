"""Checks the values of a `config.Config`, before anything slow starts."""

import dataclasses
import math
import numbers
import os
import typing
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

from segan_tf import quantizations
from segan_tf.errors import UserError
from segan_tf.models.segmentors import SEGMENTORS

if TYPE_CHECKING:
    from segan_tf.config import Config

QUANTIZATIONS = tuple(quantizations.QUANTIZATIONS)
MAX_LABELS = 255  # label maps have one byte per pixel
MAX_INT = 2**31 - 1  # of TensorFlow's sizes
_KINDS: dict[type, tuple[Any, str]] = {
    bool: (bool, "true or false"),
    int: (numbers.Integral, "a whole number"),
    float: (numbers.Real, "a number"),
    str: (str | os.PathLike, "a text"),
}


def check(config: "Config") -> None:
    """Checks every value, alone and together with the others.

    Raises:
      UserError: a value is impossible; names the flag and the possible values.
    """
    for field in dataclasses.fields(config):
        _check_field(field, getattr(config, field.name))
    _check_quantizations(config)
    _check_numbers(config)
    _check_image_size(config)
    _check_label_weights(config)
    _check_labels_per_step(config)
    _check_folders(config)
    _check_shard(config)
    _check_workers(config)


def check_mode(
    config: "Config", mode: str, *, recipe: Collection[str] = ()
) -> "Config":
    """Checks that every given setting matters in a mode.

    Args:
      config: the settings.
      mode: one of `config.MODES`.
      recipe: settings that a flagfile gives. It may serve several modes, so
        those of them that have no effect are left out instead.

    Returns:
      The configuration, whose ``given`` names only what has an effect.

    Raises:
      UserError: another setting has no effect; names it.
    """
    idle = idle_settings(config, mode)
    for name, reason in idle.items():
        if name not in recipe:
            raise UserError(f"--{name} has no effect {reason}")
    return config.with_given(config.given - set(idle))


def idle_settings(config: "Config", mode: str) -> dict[str, str]:
    """Finds the given settings that have no effect in a mode.

    Returns:
      The reason for each, as the end of a sentence with its remedy.
    """
    idle = {}
    for field in dataclasses.fields(config):
        if field.name in config.given:
            reason = _idle_in_mode(field, mode) or _idle_with_others(
                config, field, mode
            )
            if reason:
                idle[field.name] = reason
    return idle


def _idle_in_mode(field: dataclasses.Field, mode: str) -> str:
    modes = field.metadata["modes"]
    if mode in modes:
        return ""
    return f"with --mode={mode}, only with {' or '.join(modes)}; leave it out."


def _idle_with_others(
    config: "Config", field: dataclasses.Field, mode: str
) -> str:
    """Explains why a setting has no effect with the values of the others."""
    for other, value in field.metadata["needs"].items():
        # Otherwise a value that is not given may come from the run.
        known = mode in ("check", "train") or other in config.given
        if known and getattr(config, other) != value:
            return f"with {_shown(config, other)}; leave one out."
    special = _SPECIAL_RULES.get(field.name)
    return special(config) if special else ""


def _shown(config: "Config", name: str) -> str:
    value = getattr(config, name)
    flag = config.flag_of(name)
    return flag if isinstance(value, bool) else f"{flag}={value}"


def _idle_encoder_weights(config: "Config") -> str:
    if not SEGMENTORS[config.segmentor].pretrained_encoder:
        return f"with {_shown(config, 'segmentor')}; leave it out."
    if config.start_from:
        return f"with {_shown(config, 'start_from')}; leave one out."
    return ""


def _idle_label_weights(config: "Config") -> str:
    if config.num_labels == 1:
        return "with one label; leave it out."
    per_image = ("dice_loss", "cross_entropy")
    weighted = any(config.loss_weights[name] for name in per_image)
    if config.critic_form == "stacked" and not weighted:
        return (
            "with --critic_form=stacked alone; give --dice_weight or "
            "--cross_entropy_weight too, or another --critic_form."
        )
    return ""


def _idle_calibration_images(config: "Config") -> str:
    table = quantizations.QUANTIZATIONS
    if any(table[name].calibrated for name in config.quantizations):
        return ""
    calibrated = " or ".join(q for q in table if table[q].calibrated)
    shown = ",".join(config.quantizations)
    return f"without {calibrated} in --quantizations ({shown}); leave it out."


def _idle_serve_port(config: "Config") -> str:
    return "" if config.web else "without --web; give both."


_SPECIAL_RULES: dict[str, Callable[["Config"], str]] = {
    "encoder_weights": _idle_encoder_weights,
    "label_weights": _idle_label_weights,
    "calibration_images": _idle_calibration_images,
    "serve_port": _idle_serve_port,
}


def _check_field(field: dataclasses.Field, value: object) -> None:
    kinds = typing.get_args(field.type) or (field.type,)
    if not isinstance(field.default, tuple):
        if value is None and type(None) in kinds:
            return
        _check_kind(field.name, value, kinds[0])
    choices = field.metadata["choices"]
    if choices and value not in choices:
        raise UserError(
            f"--{field.name} ({value}) must be one of {', '.join(choices)}."
        )
    if isinstance(value, numbers.Real) and not isinstance(value, bool):
        _check_range(field, value)


def _check_kind(name: str, value: object, kind: type) -> None:
    """Checks the type of a value, which a file or a program may give."""
    types, words = _KINDS[kind]
    # A bool is an int for Python.
    if not isinstance(value, types) or (
        isinstance(value, bool) and kind is not bool
    ):
        raise UserError(f"--{name} ({value!r}) must be {words}.")


def _check_range(field: dataclasses.Field, value: numbers.Real) -> None:
    minimum, maximum = field.metadata["minimum"], field.metadata["maximum"]
    if minimum is not None and not (math.isfinite(value) and value >= minimum):
        raise UserError(
            f"--{field.name} ({value}) must be a number of at least {minimum}."
        )
    if isinstance(value, numbers.Integral) and value > maximum:
        raise UserError(f"--{field.name} ({value}) must be at most {maximum}.")


def _check_quantizations(config: "Config") -> None:
    unknown = [q for q in config.quantizations if q not in QUANTIZATIONS]
    if unknown or not config.quantizations:
        raise UserError(
            f"--quantizations ({','.join(config.quantizations)}) must be some "
            f"of {','.join(QUANTIZATIONS)}."
        )


def _check_numbers(config: "Config") -> None:
    for name in ("learning_rate", "decay_rate"):
        value = getattr(config, name)
        if not math.isfinite(value) or not 0 < value <= 1:
            raise UserError(
                f"--{name} ({value}) must be above 0 and at most 1."
            )
    for name in ("ema", "style_dropout"):
        value = getattr(config, name)
        if not 0 <= value < 1:
            raise UserError(f"--{name} ({value}) must be from 0 to below 1.")
    if not any(config.loss_weights.values()):
        terms = {
            field.name: field.metadata["loss_term"]
            for field in dataclasses.fields(config)
            if field.metadata["loss_term"]
        }
        shown = ", ".join(
            f"--{name} ({config.loss_weights[term]})"
            for name, term in terms.items()
        )
        raise UserError(
            f"{shown} leave the segmentor no loss; give one of them a number "
            "above 0."
        )


def _check_image_size(config: "Config") -> None:
    multiple = SEGMENTORS[config.segmentor].size_multiple
    if config.image_size % multiple:
        below = config.image_size // multiple * multiple
        raise UserError(
            f"--image_size ({config.image_size}) must be a multiple of "
            f"{multiple} for --segmentor={config.segmentor}; use "
            f"{nearest(below, multiple)}."
        )


def _check_label_weights(config: "Config") -> None:
    given = config.label_weights
    shown = ",".join(map(str, given))
    try:
        weights = tuple(float(weight) for weight in given)
    except (ValueError, TypeError) as error:
        raise UserError(
            f"--label_weights ({shown}) must be numbers, one for each label."
        ) from error
    if given and len(given) != config.num_labels:
        raise UserError(
            f"--label_weights ({shown}) must be as many as --num_labels "
            f"({config.num_labels})."
        )
    if not all(0 <= w < math.inf for w in weights) or (
        given and not sum(weights)
    ):
        raise UserError(
            f"--label_weights ({shown}) must be 0 or more, and not all 0."
        )
    object.__setattr__(config, "label_weights", weights)


def _check_labels_per_step(config: "Config") -> None:
    if config.num_labels > MAX_LABELS:
        raise UserError(
            f"--num_labels ({config.num_labels}) must be at most {MAX_LABELS}."
        )
    sampled = config.critic_labels_per_step
    if sampled > config.num_labels:
        raise UserError(
            f"--critic_labels_per_step ({sampled}) is more than the "
            f"--num_labels ({config.num_labels}); use 0 for all."
        )
    if 0 < sampled < config.num_labels and config.critic_form != "shared":
        raise UserError(
            f"--critic_labels_per_step ({sampled}) needs "
            f"--critic_form=shared, not {config.critic_form}."
        )


def _check_folders(config: "Config") -> None:
    if bool(config.image_dir) != bool(config.label_map_dir):
        given = "image_dir" if config.image_dir else "label_map_dir"
        other = "label_map_dir" if config.image_dir else "image_dir"
        raise UserError(
            f"--{given} ({getattr(config, given)}) needs --{other} too."
        )
    if config.data_dir and config.image_dir:
        raise UserError(
            f"--data_dir ({config.data_dir}) and --image_dir "
            f"({config.image_dir}) exclude each other; give one."
        )


def _check_shard(config: "Config") -> None:
    if config.shard >= config.num_shards:
        raise UserError(
            f"--shard ({config.shard}) must be below --num_shards "
            f"({config.num_shards})."
        )


def _check_workers(config: "Config") -> None:
    count, index = config.num_workers, config.worker_index
    for name, value, other in (
        ("worker_index", index, "coordinator"),
        ("coordinator", config.coordinator or None, "worker_index"),
    ):
        if value is not None and count == 1:
            raise UserError(
                f"--{name} ({value}) needs --num_workers, of 2 or more."
            )
        if value is not None and getattr(config, other) in (None, ""):
            raise UserError(f"--{name} ({value}) needs --{other} too.")
    if index is not None and index >= count:
        raise UserError(
            f"--worker_index ({index}) must be below --num_workers ({count})."
        )
    if config.coordinator:
        _check_address(config.coordinator)
    if count > 1 and config.virtual_devices > 1:
        raise UserError(
            f"--virtual_devices ({config.virtual_devices}) and --num_workers "
            f"({count}) exclude each other; give one."
        )


def is_address(text: str) -> bool:
    """Tells whether a text is HOST:PORT."""
    host, _, port = text.rpartition(":")
    return bool(host) and port.isdecimal() and 0 < int(port) < 2**16


def _check_address(coordinator: str) -> None:
    if not is_address(coordinator):
        raise UserError(
            f"--coordinator ({coordinator}) must be HOST:PORT, such as "
            "10.0.0.1:2222."
        )


def nearest(below: int, step: int) -> str:
    """Names the multiples of ``step`` around a value between them."""
    return f"{below} or {below + step}" if below else str(step)
