"""The error that the command line prints as one line."""


class UserError(ValueError):
    """A mistake that the user can fix: one line with name, value and remedy."""
