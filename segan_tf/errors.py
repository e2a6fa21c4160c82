"""The errors that the command line prints as one line."""

# If one of these is missing, the program is broken, not the installation.
_OWN_PACKAGES = ("flags", "segan_tf", "export")


class UserError(ValueError):
    """A mistake that the user can fix: one line with name, value and remedy."""


def message(error: UserError | ModuleNotFoundError) -> str:
    """Describes an error that the user can fix.

    Raises:
      ModuleNotFoundError: the missing module is part of this project.
    """
    if isinstance(error, UserError):
        return str(error)
    package = (error.name or "segan_tf").partition(".")[0]
    if package in _OWN_PACKAGES:
        raise error
    return (
        f"the package {package} is missing; install the requirements first: "
        "python -m pip install -r requirements.txt"
    )
