"""Starts the server's command line."""

import sys

from segan_tf import console, failures, startup
from segan_tf.serve import command

if __name__ == "__main__":
    startup.use_utf8_names()
    console.prepare_output()
    sys.exit(failures.run(lambda: command.run(sys.argv[1:])))
