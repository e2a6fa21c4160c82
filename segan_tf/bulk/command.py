"""Command line of the pipeline: python -m segan_tf.bulk."""

import argparse
import dataclasses
import logging
from collections.abc import Sequence
from typing import Any, NoReturn

from apache_beam.options import pipeline_options

from segan_tf import console
from segan_tf.bulk import pipeline
from segan_tf.config import Config
from segan_tf.errors import UserError

_DESCRIPTION = (
    "Predicts images with Apache Beam, on this machine or on those of a "
    "runner: docs/beam.md. Other flags, such as --runner, are Beam's."
)
# The settings of predict that have an effect; "input" means patterns here.
_SETTINGS = (
    "input",
    "input_list",
    "output_dir",
    "model",
    "runtime",
    "decision",
    "style",
    "tta",
    "overlays",
    "num_shards",
    "skip_bad_images",
)
_HELP = {
    "input": "An image, a folder, or a pattern such as gs://bucket/**.jpg, in "
    "which ** also matches subfolders; may be given several times.",
    "input_list": "File that names an image in each line.",
    "num_shards": "Number of tables that the rows are divided between.",
}
_LOCAL_RUNNERS = ("", "DirectRunner")
# Of runners that add flags of their own, when the pipeline is submitted.
_ADDING_RUNNERS = ("PortableRunner", "FlinkRunner", "SparkRunner")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message} (--help lists the flags)")


def run(arguments: Sequence[str]) -> int:
    """Parses flags and runs the pipeline; returns the exit status.

    Raises:
      UserError: a flag is unknown or has an impossible value, or the pipeline
        cannot start.
    """
    config, rest = parse(arguments)
    options = make_options(rest)
    set_log_level(options)
    done = pipeline.predict(config, options)
    console.say(done.summary())
    return 1 if done.failed and not config.skip_bad_images else 0


def parse(arguments: Sequence[str]) -> tuple[Config, list[str]]:
    """Parses the settings; returns them and the flags for Beam.

    Raises:
      UserError: a value is impossible.
    """
    parser = _Parser(
        prog="python -m segan_tf.bulk",
        description=_DESCRIPTION,
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
    )
    fields = {field.name: field for field in dataclasses.fields(Config)}
    for name in _SETTINGS:
        _add(parser, fields[name])
    found, rest = parser.parse_known_args(arguments)
    given = vars(found)
    for name, value in given.items():
        if value == "" or (isinstance(value, list) and "" in value):
            raise UserError(
                f"--{name} is given without a value, as by a shell variable "
                "that is not set; give one, or leave the flag out."
            )
    return Config(**given), rest


def make_options(flags: Sequence[str]) -> pipeline_options.PipelineOptions:
    """Makes Beam's options; without a runner, all cores of this machine.

    Raises:
      UserError: Beam does not know a flag.
    """
    parser = _Parser(add_help=False, allow_abbrev=False)
    for kind in pipeline_options.PipelineOptions.__subclasses__():
        kind._add_argparse_args(parser)
    known, unknown = parser.parse_known_args(list(flags))
    runner = known.runner or ""
    if unknown and runner not in _ADDING_RUNNERS:
        raise UserError(
            f"{unknown[0]!r} is no flag of this command nor of Beam; --help "
            "lists those of this command."
        )
    options = pipeline_options.PipelineOptions(list(flags))
    if runner in _LOCAL_RUNNERS:
        _set_up_local_runner(options, flags)
    return options


def set_log_level(options: pipeline_options.PipelineOptions) -> None:
    """Shows what a runner elsewhere reports, such as the address of its job."""
    runner = options.view_as(pipeline_options.StandardOptions).runner
    is_local = (runner or "") in _LOCAL_RUNNERS
    logging.getLogger().setLevel(logging.ERROR if is_local else logging.INFO)


def _set_up_local_runner(
    options: pipeline_options.PipelineOptions, flags: Sequence[str]
) -> None:
    """Has Beam's Python runner use all cores, and be quiet."""
    # By default DirectRunner first downloads another runner, but not for
    # pipelines that might use such triggers; this one has no triggers.
    kind = options.view_as(pipeline_options.TypeOptions)
    kind.allow_unsafe_triggers = True
    if not _is_given("default_sdk_harness_log_level", flags):
        workers = options.view_as(pipeline_options.WorkerOptions)
        workers.default_sdk_harness_log_level = "ERROR"
    if not _is_given("direct_num_workers", flags):
        direct = options.view_as(pipeline_options.DirectOptions)
        direct.direct_num_workers = 0  # all cores
        direct.direct_running_mode = "multi_processing"


def _is_given(name: str, flags: Sequence[str]) -> bool:
    return any(flag.partition("=")[0] == f"--{name}" for flag in flags)


def _add(parser: argparse.ArgumentParser, field: dataclasses.Field) -> None:
    """Adds the flag of a setting."""
    facts, default = field.metadata, field.default
    help_text = _HELP.get(field.name, facts["help"]).replace("%", "%%")
    if default not in ("", (), False):
        help_text += f" (default {default})"
    options: dict[str, Any] = {"help": help_text}
    if isinstance(default, bool):
        options["action"] = argparse.BooleanOptionalAction
    elif facts["is_repeated"]:
        options["action"] = "append"
    elif isinstance(default, int):
        options["type"] = int
    if facts["choices"]:
        options["choices"] = facts["choices"]
    parser.add_argument(f"--{field.name}", **options)
