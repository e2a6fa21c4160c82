"""One progress bar for all long work: how far, how fast, how long still."""

import functools
import sys

import tqdm


def bar(*args, **kwargs) -> tqdm.tqdm:
    """Makes a tqdm bar on standard error.

    On a terminal it moves ten times a second; in a file or a pipe, where
    every change is a new line, every half minute.
    """
    terminal = sys.stderr.isatty()
    return tqdm.tqdm(
        *args,
        mininterval=0.1 if terminal else 30,
        dynamic_ncols=terminal,
        **kwargs,
    )


quiet = functools.partial(tqdm.tqdm, disable=True)


def say(text: str) -> None:
    """Prints a line without tearing a bar that stands there."""
    tqdm.tqdm.write(text, file=sys.stdout)
    sys.stdout.flush()
