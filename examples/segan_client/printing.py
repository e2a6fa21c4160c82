"""Lines for people, on stderr."""

import os
import sys
from typing import NoReturn


def text_of(path: str | os.PathLike[str]) -> str:
    """Returns a path as UTF-8, whatever the locale is."""
    return os.fsencode(path).decode(errors="backslashreplace")


def printable(line: str) -> str:
    """Escapes what a terminal would act on."""
    return "".join(
        char if char.isprintable() else ascii(char)[1:-1] for char in line
    )


def say(line: str) -> None:
    """Prints a line on stderr."""
    print(printable(line), file=sys.stderr, flush=True)


def fail(line: str) -> NoReturn:
    """Ends the program with a line on stderr."""
    sys.exit(printable(f"error: {line}"))
