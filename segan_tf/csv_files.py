"""Writes CSV files whose cells no spreadsheet computes and no terminal obeys.

A spreadsheet takes a cell that begins with ``=`` for a formula, even where it
is the name of a file. Such text gets an apostrophe in front. Control characters
are escaped, as in messages.
"""

import csv
import io
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TextIO

from segan_tf import console, files

# What a spreadsheet takes for the start of a formula, also in full width.
_FORMULA = tuple("=+-@\t\r\uff1d\uff0b\uff0d\uff20")


class CsvWriter:
    """Writes rows one by one, so that those written so far are kept."""

    def __init__(
        self,
        stream: TextIO,
        columns: Sequence[str],
        *,
        has_header: bool = False,
    ) -> None:
        """Writes the header, unless the stream has one."""
        self._stream = stream
        self._writer = csv.DictWriter(stream, columns, lineterminator="\n")
        if not has_header:
            self._writer.writerow({name: text_cell(name) for name in columns})

    def write(self, row: Mapping[str, Any], *, undefined: str = "") -> None:
        """Writes a row.

        Args:
          row: numbers and text by column; missing cells are empty.
          undefined: is written for NaN.
        """
        self._writer.writerow(
            {name: _cell(value, undefined) for name, value in row.items()}
        )
        self._stream.flush()


def write_csv(
    path: str | os.PathLike[str],
    rows: Iterable[Mapping[str, Any]],
    columns: Sequence[str],
    *,
    undefined: str = "",
) -> None:
    """Writes a file, whole or not at all; see `CsvWriter`.

    Raises:
      OSError: the folder is missing or read-only, or the disk is full.
    """
    text = io.StringIO()
    writer = CsvWriter(text, columns)
    for row in rows:
        writer.write(row, undefined=undefined)
    files.write_text(path, text.getvalue())


def text_cell(text: str) -> str:
    """Returns text as a cell that stays text: "=1+1" becomes "'=1+1"."""
    guard = "'" if text.lstrip(" ").startswith(_FORMULA) else ""
    # Bytes of names that are not UTF-8 come as surrogates, which a file in
    # UTF-8 cannot hold.
    shown = console.printable(files.encode(text).decode("utf-8"), keep="")
    return guard + shown


def _cell(value: Any, undefined: str) -> Any:
    if isinstance(value, str):
        return text_cell(value)
    if isinstance(value, float):  # also NumPy's float64
        return undefined if math.isnan(value) else f"{value:.6f}"
    return value
