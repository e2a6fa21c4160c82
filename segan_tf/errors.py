"""The errors that the command line prints as one line."""

import importlib
from typing import Any

# If one of these is missing, the program is broken, not the installation.
_OWN_PACKAGES = ("flags", "segan_tf", "export")


class UserError(ValueError):
    """A mistake that the user can fix: one line with name, value and remedy."""


def missing_extra(what: str, package: str, extra: str) -> UserError:
    """Describes that an optional package is missing.

    Args:
      what: needs it, such as "a.heic".
      package: which is missing.
      extra: of this package that installs it.
    """
    return UserError(
        f"{what} needs the package {package}; install the extra {extra}: "
        f"python -m pip install 'segan-tf[{extra}]'"
    )


def import_extra(package: str, *, what: str, extra: str) -> Any:
    """Imports an optional package.

    Args:
      package: its module's name.
      what: needs it, such as "a.heic".
      extra: of this package that installs it.

    Raises:
      UserError: it is missing.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        name = package.replace("_", "-")
        raise missing_extra(what, name, extra) from error


def missing_package(error: ModuleNotFoundError) -> str | None:
    """Names a package that must be installed; None for a module of this one."""
    package = (error.name or "segan_tf").partition(".")[0]
    if package in _OWN_PACKAGES:
        return None
    return (
        f"the package {package} is missing; install the requirements first: "
        "python -m pip install -r requirements.txt"
    )
