"""Expands the paths that users give, once, as a shell would."""

import os
import re

from segan_tf.errors import UserError

_VARIABLE = re.compile(r"\$(\w+|\{[^}]*\})")


def expand(path: str | os.PathLike[str], *, flag: str) -> str:
    """Expands ~ and $NAME at the places where a shell would have.

    A shell leaves ~ as it is after an equals sign, and both in a flagfile or in
    quotes. A path that exists as it is written is not changed.

    Args:
      path: as it was given.
      flag: the name of its setting.

    Raises:
      UserError: it names an unknown variable or user, or holds a null
        character, which no path can.
    """
    path = os.fspath(path)
    if "\0" in path:
        shown = path.replace("\0", "\\0")
        raise UserError(
            f"--{flag} ({shown}) holds a null character; give another path."
        )
    if os.path.lexists(path):
        return path
    expanded = os.path.expanduser(os.path.expandvars(path))
    unknown = _VARIABLE.search(expanded)
    if unknown:
        raise UserError(
            f"--{flag} ({path}) names the variable {unknown[0]}, which is not "
            "set; set it, or give the path itself."
        )
    if expanded.startswith("~"):
        raise UserError(
            f"--{flag} ({path}) names the home folder of an unknown user; give "
            "the path itself, or ./~ for a folder of that name."
        )
    return expanded
