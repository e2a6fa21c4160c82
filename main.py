"""Command line for training, evaluating and exporting SegAN."""

import shlex
import sys

import segan_tf
from segan_tf import errors

try:
    from absl import app, logging
    from absl import flags as absl_flags

    import flags
    from segan_tf import config_checks, console, failures, startup
    from segan_tf.config import MODES, Config, UserError
    from segan_tf.inference import memory
    from segan_tf.training import launch
except ModuleNotFoundError as error:
    if not errors.missing_package(error):
        raise
    sys.exit(f"error: {errors.missing_package(error)}")
except KeyboardInterrupt:
    sys.exit(130)

FLAGS = flags.FLAGS


def check(config: Config) -> int:
    """Reads every pair and reports what it finds."""
    report = segan_tf.check(config)
    console.say(report.summary())
    return 0 if report.is_sound else 1


def convert(config: Config) -> int:
    """Writes the pairs to shards, at the size that training needs."""
    console.say(segan_tf.convert(config, command=sys.argv).summary())
    return 0


def train(config: Config) -> int:
    """Trains, or resumes, the run in model_dir."""
    if config.num_workers > 1 and config.worker_index is None:
        return launch.run(
            sys.argv, config.num_workers, model_dir=config.model_dir
        )
    summary = segan_tf.train(config, command=sys.argv)
    if summary:
        next_command = shlex.join(
            [
                *flags.program().split(),
                "--mode=evaluate",
                f"--model_dir={config.model_dir}",
            ]
        )
        console.say(
            f"trained to step {summary['last_step']} in "
            f"{summary['train_seconds'] / 60:.1f} min, "
            f"{summary['images_per_second']} images/s, at most "
            f"{summary['peak_memory_gb']} GB of memory\nnext: "
            f"{next_command}"
        )
    return 0


def calibrate(config: Config) -> int:
    """Fits the decision of a model to a few pairs."""
    console.say(segan_tf.calibrate(config, command=sys.argv).summary())
    return 0


def evaluate(config: Config) -> int:
    """Scores a model on a split."""
    console.say(segan_tf.evaluate(config, command=sys.argv).summary())
    return 0


def predict(config: Config) -> int:
    """Writes label maps and overlays of images."""
    memory.keep_freed()
    done = segan_tf.predict(config)
    console.say(done.summary())
    return 1 if done.skipped and not config.skip_bad_images else 0


def export(config: Config) -> int:
    """Writes SavedModel and TFLite models; serves the web page if asked to."""
    report = segan_tf.export(config)
    console.say(report.summary())
    for line in report.failures:
        console.say_error(line)
    if config.serve_port is not None:
        report.serve_page(config.serve_port)
    return 1 if report.failures else 0


RUN = {
    f.__name__: f
    for f in (check, convert, train, calibrate, evaluate, predict, export)
}


def main(argv: list[str]) -> int:
    """Runs one mode; a failure is one line, see `failures.run`."""
    return failures.run(lambda: run_mode(argv))


def run_mode(argv: list[str]) -> int:
    """Runs the mode that the flags give; returns the exit status.

    Raises:
      UserError: an argument is no flag, or the mode or a setting is a mistake.
    """
    if argv[1:]:
        raise UserError(f"{argv[1]!r} is not a flag; give --name=value.")
    if FLAGS.mode is None:
        modes = ", ".join(MODES)
        raise UserError(f"--mode is missing; give one of {modes}, or --help.")
    # Before TensorFlow, which takes seconds to start.
    given = flags.given()
    recipe = flags.in_flagfile(sys.argv)
    config = config_checks.check_mode(given, FLAGS.mode, recipe=recipe)
    for note in flags.notes(given, config):
        console.say(f"note: {note}")
    return RUN[FLAGS.mode](config)


def parse_flags(argv: list[str]) -> list[str]:
    """Parses the flags; a mistake in them is one line like any other."""
    try:
        return FLAGS(flags.find_recipes(argv))
    except absl_flags.Error as error:
        reason = str(error).removeprefix("ERROR:: ")
        sys.exit(f"error: {reason} (--help lists the flags)")


def show_help() -> int:
    """Prints every flag."""
    print(flags.help_text())
    return 0


def start() -> int:
    """Parses the flags and runs the mode."""
    # absl would raise it to INFO, where TensorFlow writes into the bar.
    logging.set_verbosity(logging.WARNING)
    app.run(main, flags_parser=parse_flags)
    return 0


def run() -> None:
    """Starts the program."""
    startup.use_utf8_names()
    console.prepare_output()
    startup.set_environment()
    helps = any(name in sys.argv[1:] for name in ("--help", "-h", "-help"))
    sys.exit(failures.run(show_help if helps else start))


if __name__ == "__main__":
    run()
