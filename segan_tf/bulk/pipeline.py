"""Predicts images with Apache Beam: label maps, overlays and CSV files."""

import dataclasses
from typing import Any

import apache_beam as beam
from apache_beam.ml.inference import base
from apache_beam.options import pipeline_options

from segan_tf.bulk import model_handler, sources, tables
from segan_tf.bulk import plan as plan_lib
from segan_tf.config import Config
from segan_tf.errors import UserError


@dataclasses.dataclass(frozen=True)
class PipelineSummary:
    """The outcome of a pipeline.

    Attributes:
      output_dir: the folder of the label maps.
      predicted: the number of images that have a label map.
      failed: the number of those that have none.
    """

    output_dir: str
    predicted: int
    failed: int

    def summary(self) -> str:
        """Returns the numbers in a line."""
        failed = ""
        if self.failed:
            failed = f"; failed.csv names the other {self.failed}"
        return (
            f"{self.predicted} of {self.predicted + self.failed} images have a "
            f"label map in {self.output_dir}{failed}"
        )


def predict(
    config: Config, options: pipeline_options.PipelineOptions
) -> PipelineSummary:
    """Does what `--mode=predict` does, on the machines of a runner.

    Args:
      config: of which input (patterns of paths), input_list, output_dir,
        model, decision, style, tta, runtime, overlays and num_shards matter.
      options: of Beam, such as the runner.

    Raises:
      UserError: there is no input, or the model or output_dir cannot be used.
    """
    pipeline = _make_pipeline(options)
    plan = plan_lib.make_plan(config)
    build(pipeline, plan)
    try:
        result = pipeline.run()
        result.wait_until_finish()
    except Exception as error:  # of any step, as the runner words it
        raise UserError(
            f"the pipeline stopped ({_last_line(error)}); what it wrote stays "
            "and is written again when it is started again."
        ) from error
    finally:
        plan.folder.remove_temporary()
    return PipelineSummary(
        plan.folder.path,
        _count(result, tables.PREDICTED),
        _count(result, tables.FAILED),
    )


def _make_pipeline(options: pipeline_options.PipelineOptions) -> beam.Pipeline:
    """Makes an empty pipeline.

    Raises:
      UserError: the runner is unknown, or lacks a package or an option.
    """
    try:
        return beam.Pipeline(options=options)
    except (ValueError, ImportError, AttributeError) as error:
        raise UserError(
            f"Beam cannot start its runner: {' '.join(str(error).split())}"
        ) from error


def build(pipeline: beam.Pipeline, plan: plan_lib.Plan) -> None:
    """Adds all steps to a pipeline."""
    if plan.input_list:
        paths: Any = pipeline | sources.ReadList(plan.input_list)
    else:
        paths = pipeline | sources.MatchImages(
            plan.patterns, root=plan.root, output_dir=plan.folder.path
        )
    find = sources.FindImage(root=plan.root, is_listed=bool(plan.input_list))
    found = (
        paths
        | beam.Reshuffle()
        | beam.ParDo(find).with_outputs(sources.FAILURES, main="images")
    )
    # Grouping also spreads the images over all workers.
    one_each = (
        found.images
        | beam.GroupByKey()
        | beam.ParDo(sources.TakeOne()).with_outputs(
            sources.FAILURES, main="images"
        )
    )
    has_dicom = (
        one_each.images
        | beam.Map(lambda source: source.is_dicom)
        | beam.CombineGlobally(any)
    )
    written = (
        one_each.images
        | base.RunInference(model_handler.ImageHandler(plan.job))
        | beam.ParDo(tables.WriteFiles(plan.folder)).with_outputs(
            sources.FAILURES, main="rows"
        )
    )
    failures = (
        found[sources.FAILURES],
        one_each[sources.FAILURES],
        written[sources.FAILURES],
    ) | beam.Flatten()
    _ = {
        tables.ROWS: written.rows,
        sources.FAILURES: failures,
        tables.HAS_DICOM: has_dicom,
    } | tables.WriteTables(plan.folder, plan.columns, plan.num_shards)


def _count(result: Any, name: str) -> int:
    """Reads a counter of a pipeline that has finished."""
    chosen = beam.metrics.MetricsFilter().with_namespace(tables.COUNTERS)
    counters = result.metrics().query(chosen.with_name(name))["counters"]
    return sum(counter.result for counter in counters)


def _last_line(error: Exception) -> str:
    """Returns what an error says; that of a worker begins with a traceback."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1].strip() if lines else type(error).__name__
