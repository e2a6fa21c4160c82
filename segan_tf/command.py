"""The command segan-tf, which runs main.py."""

import importlib
import os
import sys


def run() -> None:
    """Runs the main.py of this installation or, in a checkout, of that."""
    package = os.path.dirname(os.path.abspath(__file__))
    folder = os.path.join(package, "program")  # see setup.py
    if not os.path.isdir(folder):
        folder = os.path.dirname(package)
    sys.path.insert(0, folder)
    importlib.import_module("main").run()
