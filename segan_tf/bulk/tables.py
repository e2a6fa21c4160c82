"""Writes the files and the tables of a pipeline."""

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam
from apache_beam import metrics, pvalue

from segan_tf import csv_files, files
from segan_tf.bulk import storage
from segan_tf.bulk.model_handler import Predicted
from segan_tf.bulk.sources import FAILURES, Failure
from segan_tf.inference import prediction_inputs, prediction_tables

COUNTERS = "segan_tf"
PREDICTED, FAILED = "predicted", "failed"
ROWS, HAS_DICOM = "rows", "has_dicom"
_SHARDS = "shards"


class WriteFiles(beam.DoFn):
    """Writes the files of each image; yields its row, or its failure."""

    def __init__(self, folder: storage.Folder) -> None:
        self._folder = folder

    def process(self, predicted: Predicted) -> Iterator[Any]:
        """Writes the files of an image.

        Raises:
          OSError: one cannot be written.
        """
        for name, data in predicted.files.items():
            self._folder.write(name, data)
        source, outcome = predicted.source, predicted.outcome
        if outcome.row is not None:
            yield outcome.row
        else:
            failure = Failure(source.id, source.shown_as, outcome.reason)
            yield pvalue.TaggedOutput(FAILURES, failure)


class WriteTables(beam.PTransform):
    """Writes rows and failures as CSV files, sorted and divided by name.

    The tables are those of `predict --num_shards`, so that a name is always in
    the same table.
    """

    def __init__(
        self,
        folder: storage.Folder,
        columns: Mapping[bool, Sequence[str]],
        num_shards: int,
    ) -> None:
        """Takes the columns without and with DICOM among the images."""
        super().__init__()
        self._folder = folder
        self._columns = columns
        self._num_shards = num_shards

    def expand(self, collections: Any) -> beam.PCollection:
        """Adds the steps.

        Args:
          collections: ROWS and FAILURES, and HAS_DICOM, one bool.
        """
        count = self._num_shards
        rows, failures = collections[ROWS], collections[FAILURES]
        shards = rows.pipeline | beam.Create([(n, None) for n in range(count)])
        return (
            {
                ROWS: rows | "shard rows" >> beam.Map(_key_row, count),
                FAILURES: failures
                | "shard failures" >> beam.Map(_key_failure, count),
                _SHARDS: shards,
            }
            | beam.CoGroupByKey()
            | beam.ParDo(
                _WriteShard(self._folder, self._columns, count),
                has_dicom=pvalue.AsSingleton(collections[HAS_DICOM]),
            )
        )


def _key_row(
    row: dict[str, Any], num_shards: int
) -> tuple[int, dict[str, Any]]:
    name = row[prediction_tables.ID]
    return prediction_inputs.shard_of(name, num_shards), row


def _key_failure(failure: Failure, num_shards: int) -> tuple[int, Failure]:
    return prediction_inputs.shard_of(failure.key, num_shards), failure


class _WriteShard(beam.DoFn):
    """Writes the tables of a shard whole, as each try of it does."""

    def __init__(
        self,
        folder: storage.Folder,
        columns: Mapping[bool, Sequence[str]],
        num_shards: int,
    ) -> None:
        self._folder = folder
        self._columns = columns
        self._num_shards = num_shards
        self._predicted = metrics.Metrics.counter(COUNTERS, PREDICTED)
        self._failed = metrics.Metrics.counter(COUNTERS, FAILED)

    def process(
        self, element: tuple[int, dict[str, Iterable[Any]]], has_dicom: bool
    ) -> None:
        """Writes the predictions, and the failures if there are any."""
        shard, found = element
        part = prediction_tables.shard_part(shard, self._num_shards)
        rows = sorted(found[ROWS], key=lambda row: row[prediction_tables.ID])
        failures = sorted(found[FAILURES])
        self._folder.write(
            f"predictions{part}.csv", _encode(rows, self._columns[has_dicom])
        )
        name = f"failed{part}.csv"
        if failures:
            data = [
                {"file": failure.shown_as, "reason": failure.reason}
                for failure in failures
            ]
            columns = prediction_tables.FAILURE_COLUMNS
            self._folder.write(name, _encode(data, columns))
        else:
            self._folder.remove(name)  # of an earlier prediction
        self._predicted.inc(len(rows))
        self._failed.inc(len(failures))


def _encode(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> bytes:
    text = io.StringIO()
    writer = csv_files.CsvWriter(text, columns)
    for row in rows:
        writer.write(row)
    return files.encode(text.getvalue())
