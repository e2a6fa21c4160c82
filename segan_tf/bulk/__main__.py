"""Starts the command line of the pipeline."""

import importlib
import logging
import sys

from segan_tf import console, errors, failures, startup


def run() -> int:
    """Runs the command; returns the exit status.

    Raises:
      UserError: see `command.run`, or Beam is not installed.
    """
    # Beam warns of what it could also use, from its import on.
    logging.basicConfig(level=logging.ERROR)
    try:
        command = importlib.import_module("segan_tf.bulk.command")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "apache_beam":
            raise
        raise errors.missing_extra(
            "python -m segan_tf.bulk", "apache-beam", "beam"
        ) from error
    return command.run(sys.argv[1:])


if __name__ == "__main__":
    startup.use_utf8_names()
    console.prepare_output()
    sys.exit(failures.run(run))
