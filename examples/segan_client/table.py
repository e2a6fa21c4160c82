"""The table of the label maps."""

import collections
import csv
import io
import pathlib
import uuid

from . import answers, images, printing

FILE_NAME = "label_maps.csv"
COLUMNS = (
    "image",
    "label",
    "fraction",
    "mean_probability",
    "expected_dice",  # of the image, in the row of each label
    "warning",
)
# Spreadsheets run a cell that begins so as a formula.
_FORMULAS = ("=", "+", "-", "@", "\t", "\r")


def add_rows(table: pathlib.Path, image: str, answer: answers.Answer) -> None:
    """Adds a row for each label to a table."""
    with open(table, "a", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        if not file.tell():
            writer.writerow(COLUMNS)
        dice = answer.expected_dice
        of_image = ("" if dice is None else f"{dice:.4f}", answer.warning)
        for name, fraction, mean in answer.labels:
            cells = (_as_text(image), _as_text(name))
            numbers = (f"{fraction:.6f}", f"{mean:.6f}")
            writer.writerow((*cells, *numbers, *of_image))


def keep_earlier(table: pathlib.Path) -> None:
    """Gives the table of an earlier run another name."""
    number, kept = 1, table
    while kept.exists():
        kept = table.with_stem(f"{table.stem}_{number}")
        number += 1
    if kept != table:
        table.rename(kept)
        printing.say(
            f"note: {printing.text_of(table)} of an earlier run is now "
            f"{kept.name}"
        )


def continue_table(
    table: pathlib.Path, sources: list[images.Source], output_dir: pathlib.Path
) -> list[images.Source]:
    """Finds what an earlier run has done, and continues its table.

    An image is done if it has a whole row and a label map that is not older
    than its file. The rows of others are removed.

    Returns:
      The images that are not done.
    """
    if not table.exists():
        return sources
    content = table.read_bytes().decode(errors="replace")
    rows = list(csv.reader(io.StringIO(content, newline="")))
    if rows and tuple(rows[0]) != COLUMNS:
        printing.fail(
            f"{printing.text_of(table)} has other columns than "
            f"{', '.join(COLUMNS)}; leave out --resume, or give another "
            "output_dir"
        )
    counts = collections.Counter(row[0] for row in rows[1:] if row)
    # A run that was killed may have written half a row, or fewer than the rows
    # of all labels.
    if rows and not content.endswith("\n"):
        counts.pop(rows[-1][0], None)
    whole = max(counts.values(), default=1)
    done = {
        _as_text(source.name): source
        for source in sources
        if counts[_as_text(source.name)] == whole
        and _is_newer(output_dir / f"{source.stem}_label_map.png", source.path)
    }
    temporary = output_dir / f".{uuid.uuid4().hex}.tmp"
    with open(temporary, "w", encoding="utf-8", newline="") as file:
        kept = [row for row in rows[1:] if row and row[0] in done]
        csv.writer(file).writerows([COLUMNS, *kept])
    temporary.replace(table)
    return [s for s in sources if _as_text(s.name) not in done]


def _is_newer(label_map: pathlib.Path, image: pathlib.Path) -> bool:
    try:
        return label_map.stat().st_mtime >= image.stat().st_mtime
    except OSError:
        return False


def _as_text(cell: str) -> str:
    """Keeps a spreadsheet from taking a cell for a formula."""
    return f"'{cell}" if cell.startswith(_FORMULAS) else cell
