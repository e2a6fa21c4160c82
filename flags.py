"""One absl flag for each setting of segan_tf/config.py, with its help."""

import dataclasses
import os
import sys
import typing
from collections.abc import Sequence
from typing import Any

from absl import flags

from segan_tf import config

FLAGS = flags.FLAGS
MODE_HELP = (
    "What to do: check reads every pair and reports; convert writes the pairs "
    "of an archive to shards for training; train; calibrate fits the "
    "thresholds of a model to a few pairs; evaluate scores a model; predict "
    "writes label maps of images; export writes SavedModel and TFLite."
)


def given() -> config.Config:
    """Makes a configuration from the flags that the command gives.

    Raises:
      UserError: a value is impossible, or empty.
    """
    settings: dict[str, Any] = {
        field.name: FLAGS[field.name].value
        for field in dataclasses.fields(config.Config)
        if FLAGS[field.name].present
    }
    for name, value in settings.items():
        if _is_empty(value):
            raise config.UserError(
                f"--{name} is given without a value, as by a shell variable "
                "that is not set; give one, or leave the flag out."
            )
    return config.Config(**settings)


def _is_empty(value: Any) -> bool:
    """Tells whether a flag's text, or any part of its list, is blank."""
    if isinstance(value, str):
        return not value.strip()
    if isinstance(value, list):
        return not value or any(not part.strip() for part in value)
    return False


def find_recipes(argv: Sequence[str]) -> list[str]:
    """Completes the paths of flagfiles that come with the program."""
    folder = os.path.dirname(os.path.abspath(__file__))
    found = []
    for arg in argv:
        option, _, path = arg.partition("=")
        own = os.path.join(folder, path)
        is_flagfile = option.lstrip("-") == "flagfile"
        if is_flagfile and "=" in arg and not path.strip():
            raise flags.Error("--flagfile is given without a file")
        if is_flagfile and not os.path.exists(path):
            arg = f"--flagfile={own}" if os.path.exists(own) else arg
        found.append(arg)
    return found


def in_flagfile(argv: Sequence[str]) -> set[str]:
    """Names the settings that a flagfile gives and the command does not."""
    named = {arg.lstrip("-").partition("=")[0] for arg in argv[1:]}
    return {
        name
        for name in FLAGS
        if not named & {name, f"no{name}", *_old_names_of(name)}
    }


def _old_names_of(name: str) -> list[str]:
    old = [o for o, new in config.RENAMED_SETTINGS.items() if new == name]
    return [*old, *(f"no{o}" for o in old)]


def notes(given: config.Config, used: config.Config) -> list[str]:
    """Lists what the user should know: old names, flags without effect.

    Args:
      given: the configuration from the flags.
      used: the same without what has no effect.
    """
    lines = [
        f"--{old} is now --{new}"
        for old, new in config.RENAMED_SETTINGS.items()
        if FLAGS[old].present
    ]
    for name, values in config.RENAMED_VALUES.items():
        value = str(FLAGS[name].value)
        if value in values:
            lines.append(f"--{name}={value} is now --{name}={values[value]}")
    idle = sorted(given.given - used.given)
    if idle:
        listed = ", ".join(given.flag_of(name) for name in idle)
        lines.append(f"of the flagfile, these have no effect here: {listed}")
    return lines


def _define(field: dataclasses.Field) -> None:
    name, facts = field.name, field.metadata
    default: Any = field.default
    kind = typing.get_args(field.type) or (field.type,)
    if facts["choices"]:
        old = config.RENAMED_VALUES.get(name, {})
        values = [*facts["choices"], *old]
        flags.DEFINE_enum(name, default, values, facts["help"])
    elif facts["is_repeated"]:
        flags.DEFINE_multi_string(name, list(default), facts["help"])
        FLAGS[name].help = facts["help"]  # absl adds to it
    elif isinstance(default, tuple):
        flags.DEFINE_list(name, list(default), facts["help"])
    elif bool in kind:
        flags.DEFINE_boolean(name, default, facts["help"])
    elif int in kind:
        flags.DEFINE_integer(
            name, default, facts["help"], lower_bound=facts["minimum"]
        )
    elif float in kind:
        flags.DEFINE_float(
            name, default, facts["help"], lower_bound=facts["minimum"]
        )
    else:
        flags.DEFINE_string(name, default, facts["help"])


def _define_all() -> dict[str, tuple[str, ...]]:
    """Defines every flag; returns the names by section."""
    flags.DEFINE_enum("mode", None, config.MODES, MODE_HELP)
    sections: dict[str, tuple[str, ...]] = {"Mode": ("mode",)}
    for title, section in config.SECTIONS.items():
        for field in dataclasses.fields(section):
            _define(field)
        sections[title] = tuple(f.name for f in dataclasses.fields(section))
    for old, new in config.RENAMED_SETTINGS.items():
        flags.DEFINE_alias(old, new)
    return sections


GROUPS = _define_all()


def program() -> str:
    """Names the program as the user started it."""
    name = os.path.basename(sys.argv[0])
    return name if name == "segan-tf" else "python main.py"


def help_text() -> str:
    """Describes every flag, by section."""
    lines = [
        f"usage: {program()} --mode=MODE [--flag=value]",
        f"MODE: {', '.join(config.MODES)}",
        "--flagfile=FILE reads flags from a file, one per line, such as",
        "configs/lite0.flags; a flag that comes later overrides it.",
    ]
    for group, names in GROUPS.items():
        lines.append(f"\n{group}")
        for name in names:
            flag = FLAGS[name]
            text = flags.text_wrap(
                _modes(name) + flag.help + _shown_default(flag),
                length=78,
                indent="      ",
            )
            negation = "[no]" if flag.boolean else ""
            lines.append(f"  --{negation}{name}\n{text}")
    return "\n".join(lines)


def _modes(name: str) -> str:
    """Names the modes of a setting that has an effect in one or two."""
    for field in dataclasses.fields(config.Config):
        if field.name == name and field.metadata["modes"] != ("train",):
            modes = field.metadata["modes"]
            return f"{', '.join(modes)}: " if len(modes) < 3 else ""
    return ""


def _shown_default(flag: flags.Flag) -> str:
    if flag.default in (None, "", []):
        return ""
    if flag.boolean:
        return f" (default {str(flag.default).lower()})"
    if isinstance(flag.default, list):
        return f" (default {','.join(flag.default)})"
    return f" (default {flag.default})"
