"""Command line for training, evaluating and exporting SegAN."""

import sys

try:
    from absl import app, logging
    from absl import flags as absl_flags

    import flags
    import segan_tf
    from segan_tf import config_checks, console, startup
    from segan_tf.config import MODES, Config, UserError
except ModuleNotFoundError as error:
    sys.exit(
        f"error: the package {error.name} is missing; install the requirements "
        "first: python -m pip install -r requirements.txt"
    )

FLAGS = flags.FLAGS


def check(config: Config) -> int:
    """Reads every pair and reports what it finds."""
    report = segan_tf.check(config)
    print(report.summary())
    return 1 if report.blocks_training else 0


def train(config: Config) -> int:
    """Trains, or resumes, the run in model_dir."""
    summary = segan_tf.train(config, command=sys.argv)
    if summary:
        print(
            f"trained to step {summary['last_step']} in "
            f"{summary['train_seconds'] / 60:.1f} min, "
            f"{summary['images_per_second']} images/s, at most "
            f"{summary['peak_memory_gb']} GB of memory\nnext: python main.py "
            f"--mode=evaluate --model_dir={config.model_dir}"
        )
    return 0


def evaluate(config: Config) -> int:
    """Scores a model on a split."""
    print(segan_tf.evaluate(config, command=sys.argv).summary())
    return 0


def predict(config: Config) -> int:
    """Writes label maps and overlays of images."""
    done = segan_tf.predict(config)
    print(
        f"{done.predicted} of {done.predicted + len(done.skipped)} images have "
        f"a label map and an overlay in {done.output_dir}"
    )
    return 1 if done.skipped else 0


def export(config: Config) -> int:
    """Writes SavedModel and TFLite models, each verified against Keras."""
    report = segan_tf.export(config)
    print(report.summary())
    if report.page:
        print(
            f"{report.page}: serve it, for example with python -m http.server "
            f"--directory {report.page}"
        )
    for line in report.failures:
        print(f"error: {line}", file=sys.stderr)
    return 1 if report.failures else 0


RUN = {f.__name__: f for f in (check, train, evaluate, predict, export)}


def main(argv: list[str]) -> int:
    """Runs one mode; a user's mistake is one line and exit status 1."""
    try:
        if len(argv) > 1:
            raise UserError(
                f"{argv[1]!r} is not a flag; flags are --name=value."
            )
        if FLAGS.mode is None:
            raise UserError(
                f"--mode is missing; give one of {', '.join(MODES)}, or --help."
            )
        for note in flags.old_names():
            console.say(f"note: {note}")
        # Before TensorFlow, which takes seconds to start: an impossible value
        # is known at once.
        config = flags.given()
        config_checks.check_mode(config, FLAGS.mode)
        return RUN[FLAGS.mode](config)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def parse_flags(argv: list[str]) -> list[str]:
    """Parses the flags; a mistake in them is one line like any other."""
    try:
        return FLAGS(argv)
    except absl_flags.Error as error:
        reason = str(error).removeprefix("ERROR:: ")
        print(f"error: {reason} (--help lists the flags)", file=sys.stderr)
        sys.exit(1)


def run() -> None:
    """Starts the program."""
    startup.set_environment()
    if any(name in sys.argv[1:] for name in ("--help", "-h", "-help")):
        print(flags.help_text())
        return
    # absl would raise it to INFO, where TensorFlow writes into the bar.
    FLAGS.verbosity = logging.WARNING
    app.run(main, flags_parser=parse_flags)


if __name__ == "__main__":
    run()
