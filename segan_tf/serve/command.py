"""Command line of the server: python -m segan_tf.serve."""

import argparse
import importlib
import os
from collections.abc import Sequence
from typing import NoReturn

import segan_tf
from segan_tf import console, startup
from segan_tf.config import PRETRAINED, Config, UserError

_DESCRIPTION = (
    "Serves an exported model to this machine by TF Serving's REST protocol, "
    "to try clients. docs/serving.md says what it is not."
)
_PORT = 8501  # TF Serving's
_LARGEST_PORT = 65_535


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message} (--help lists the flags)")


def run(arguments: Sequence[str]) -> int:
    """Serves until it is stopped.

    Raises:
      UserError: a flag is unknown or has an impossible value, or there is no
        model that can be served.
    """
    options = parse(arguments)
    if find_newest(options.export_dir) is None:
        console.say(f"exporting the released model to {options.export_dir}")
        config = Config(model=PRETRAINED, export_dir=options.export_dir)
        report = segan_tf.export(config)
        for line in report.failures:
            console.say_error(line)
    path = find_newest(options.export_dir)
    if path is None:
        raise UserError(
            f"--export_dir ({options.export_dir}) got no SavedModel; the "
            "export says why."
        )
    startup.import_tensorflow()
    server = importlib.import_module("segan_tf.serve.server")
    with server.start(path, options.port) as started:
        console.say(
            f"{path} is served to this machine at http://localhost:"
            f"{started.server_port}/v1/models/{server.NAME}:predict, without "
            "password or encryption; Ctrl+C stops it"
        )
        started.serve_forever()
    return 0


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Parses the flags.

    Raises:
      UserError: one is unknown or has an impossible value.
    """
    parser = _Parser(
        prog="python -m segan_tf.serve",
        description=_DESCRIPTION,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--export_dir",
        default="exported",
        help="Folder of --mode=export, whose highest version is served; "
        "without one, the released model is exported to it. Default: exported.",
    )
    parser.add_argument(
        "--port", type=int, default=_PORT, help=f"Default: {_PORT}."
    )
    options = parser.parse_args(arguments)
    if not options.export_dir:
        raise UserError(
            "--export_dir is given without a value, as by a shell variable "
            "that is not set; give one, or leave the flag out."
        )
    if not 0 <= options.port <= _LARGEST_PORT:
        raise UserError(
            f"--port ({options.port}) must be 0, for any that is free, to "
            f"{_LARGEST_PORT:,}."
        )
    return options


def find_newest(export_dir: str) -> str | None:
    """Finds the folder of the highest version; None if there is none."""
    folder = os.path.join(export_dir, "saved_model")
    try:
        versions = [n for n in os.listdir(folder) if n.isdecimal()]
    except FileNotFoundError:
        return None
    newest = max(versions, key=int, default=None)
    return newest and os.path.join(folder, newest)
