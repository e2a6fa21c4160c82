"""The tables of a prediction, which grow row by row and can be continued."""

import csv
import itertools
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, TextIO

from segan_tf import csv_files, files
from segan_tf.errors import UserError

ID = "id"
FAILURE_COLUMNS = ("file", "reason")


def shard_part(shard: int, num_shards: int) -> str:
    """Returns what the tables of a shard have in their names."""
    return f"-{shard:05d}-of-{num_shards:05d}" if num_shards > 1 else ""


class GrowingTable:
    """A CSV file to which whole rows are added.

    A row is handed to the system at once, so that it stays when the process is
    killed. Only a stop of the machine can leave part of a row, which the next
    `keep` removes.
    """

    def __init__(self, path: str, columns: Sequence[str]) -> None:
        self.path = path
        self._columns = columns
        self._file: TextIO | None = None
        self._writer: csv_files.CsvWriter | None = None

    def __enter__(self) -> "GrowingTable":
        return self

    def __exit__(self, *_: object) -> None:
        if self._file:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()

    def read_ids(self) -> set[str]:
        """Returns the first cell of each whole row; empty if there is no file.

        Raises:
          UserError: the file has other columns.
        """
        return {row[0] for row, _ in self._read_rows()}

    def keep(self, dropped: Collection[str]) -> None:
        """Drops the rows with these ids, and a part of a row at the end."""
        size = sum(
            len(line.encode("utf-8", "surrogateescape"))
            for _, line in self._read_rows()
        )
        header = len(self._header().encode())
        if not dropped and os.path.getsize(self.path) == header + size:
            return
        with files.replacing(self.path) as file:
            file.write(self._header().encode())
            for row, line in self._read_rows():
                if row[0] not in dropped:
                    file.write(line.encode("utf-8", "surrogateescape"))

    def start(self) -> None:
        """Begins the file with its header, in place of an earlier one."""
        files.write_bytes(self.path, self._header().encode())

    def add(self, row: Mapping[str, Any]) -> None:
        """Adds a row to a file that exists."""
        if self._writer is None:
            self._file = open(  # noqa: SIM115
                self.path, "a", encoding="utf-8", newline=""
            )
            self._writer = csv_files.CsvWriter(
                self._file, self._columns, has_header=True
            )
        self._writer.write(row)

    def _header(self) -> str:
        return ",".join(map(csv_files.text_cell, self._columns)) + "\n"

    def _read_rows(self) -> Iterator[tuple[list[str], str]]:
        """Yields the cells and the line of each whole row."""
        if not os.path.exists(self.path):
            return
        with files.open_regular(
            self.path, encoding="utf-8", errors="surrogateescape", newline="\n"
        ) as file:
            header = next(file, "")
            if header.endswith("\n") and header != self._header():
                raise UserError(
                    f"{self.path} has other columns than this prediction, so "
                    "that it cannot be continued; give another --output_dir, "
                    "or --noresume to replace it."
                )
            whole = itertools.takewhile(lambda line: line.endswith("\n"), file)
            for line in whole:
                cells = next(csv.reader([line]))
                if cells:
                    yield cells, line


class FailureTable:
    """The files that were not predicted, with the reason; none, no file."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._table = GrowingTable(path, FAILURE_COLUMNS)
        self._is_started = False

    def __enter__(self) -> "FailureTable":
        if os.path.lexists(self.path):
            os.remove(self.path)  # failures of an earlier prediction
        return self

    def __exit__(self, *error: object) -> None:
        self._table.__exit__(*error)

    def add(self, path: str, reason: str) -> None:
        """Adds a file."""
        if not self._is_started:
            self._table.start()
            self._is_started = True
        self._table.add({"file": path, "reason": reason})
